import type { Row } from '../db/tables.ts'
import { keyText, pageLimit, wholeNumber } from '../model/json-object.ts'
import { decodeText } from '../privacy/content.ts'
import type { Reading } from './contents.ts'

/** What an application keeps in place of the messages up to a seq: a summary, say. */
export interface ContextSnapshot {
  readonly id: string
  readonly userId: string
  readonly conversationId: string
  /** The last message that it stands for. */
  readonly upToSeq: number
  readonly content: string
  readonly createdAt: number
}

/** Context snapshots of conversations that are not deleted. */
export function contextSnapshotStore({ kysely, contents }: Reading) {
  const newest = (userId: string, conversationId: string, limit: number) =>
    kysely
      .selectFrom('context_snapshots as s')
      .innerJoin('conversations as c', join =>
        join.onRef('c.id', '=', 's.conversation_id').onRef('c.user_id', '=', 's.user_id'),
      )
      .selectAll('s')
      .where('s.conversation_id', '=', keyText('conversationId', conversationId))
      .where('s.user_id', '=', keyText('userId', userId))
      .where('c.deleted_at', 'is', null)
      .orderBy('s.up_to_seq', 'desc')
      .orderBy('s.id', 'desc')
      .limit(limit)

  return {
    /** The one that stands for most messages; of several, the last made. */
    async latest(userId: string, conversationId: string): Promise<ContextSnapshot | undefined> {
      const stored = await newest(userId, conversationId, 1).executeTakeFirst()
      const row = await contents.openOne(kysely, 'context_snapshots', stored)
      return row && snapshotFromRow(row)
    },
    /** Those that stand for most messages first; `before` goes on behind a page. */
    async list(options: {
      readonly userId: string
      readonly conversationId: string
      readonly limit?: number | undefined
      readonly before?: Pick<ContextSnapshot, 'upToSeq' | 'id'> | undefined
    }): Promise<ContextSnapshot[]> {
      const { userId, conversationId, limit, before } = options
      let query = newest(userId, conversationId, pageLimit(limit, 50))
      if (before !== undefined)
        query = query.where(eb =>
          eb(
            eb.refTuple('s.up_to_seq', 's.id'),
            '<',
            eb.tuple(wholeNumber('before.upToSeq', before.upToSeq, 0), keyText('before.id', before.id)),
          ),
        )
      const rows = await contents.open(kysely, 'context_snapshots', await query.execute())
      return rows.map(snapshotFromRow)
    },
  }
}

export function snapshotFromRow(row: Row<'context_snapshots'>): ContextSnapshot {
  return {
    id: row.id,
    userId: row.user_id,
    conversationId: row.conversation_id,
    upToSeq: row.up_to_seq,
    content: decodeText(row.content),
    createdAt: row.created_at,
  }
}
