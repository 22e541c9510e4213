import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { newConversationRow } from './new-rows.ts'

/** A conversation that an application finds again by a name of its own. */
export interface Session {
  readonly sessionId: string
  /** The conversation that goes on under this name. */
  readonly conversationId: string
  /** How many messages it has; counts those that it shares with another. */
  readonly nextSeq: number
  /** The conversation that this one took the name of, if its context was cleared. */
  readonly parentId: string | undefined
  readonly parentSeq: number | undefined
  readonly updatedAt: number
}

/** Sessions of a user: conversations by name and by when they were last used. */
export function sessionStore({ kysely }: Pick<Database, 'kysely'>) {
  const named = (userId: string) =>
    kysely
      .selectFrom('conversations')
      .selectAll()
      .where('user_id', '=', userId)
      .where('session_id', 'is not', null)
      .where('deleted_at', 'is', null)

  return {
    /** Makes an empty conversation that is named by its own id. */
    async create(userId: string): Promise<Session> {
      const id = newId('conversation')
      const row = emptyRow({ user_id: userId, id, session_id: id })
      await kysely.insertInto('conversations').values(row).execute()
      return fromRow(row)
    },
    /**
     * Lets an empty conversation take the name of this one, in one transaction; with `keepsParent` it says where it comes
     * from. What was said before stays where it is. @throws SteleError conversation_not_found
     */
    replace(
      userId: string,
      sessionId: string,
      { keepsParent }: { readonly keepsParent: boolean },
    ): Promise<Session> {
      return kysely.transaction().execute(async tx => {
        const old = await tx
          .updateTable('conversations')
          .set({ session_id: null })
          .where('user_id', '=', userId)
          .where('session_id', '=', sessionId)
          .where('deleted_at', 'is', null)
          .returning('id')
          .executeTakeFirst()
        if (old === undefined)
          throw new SteleError('conversation_not_found', { conversation: sessionId }, { param: 'session' })
        const parent = keepsParent ? { parent_id: old.id, parent_seq: -1 } : {}
        const row = emptyRow({
          user_id: userId,
          id: newId('conversation'),
          session_id: sessionId,
          ...parent,
        })
        await tx.insertInto('conversations').values(row).execute()
        return fromRow(row)
      })
    },
    /** Names a conversation by its own id, unless it has a name. */
    async name(userId: string, conversationId: string): Promise<void> {
      await kysely
        .updateTable('conversations')
        .set({ session_id: conversationId })
        .where('user_id', '=', userId)
        .where('id', '=', conversationId)
        .where('session_id', 'is', null)
        .execute()
    },
    /** The sessions that were used last, the latest first. */
    async list(userId: string, limit: number): Promise<Session[]> {
      const rows = await named(userId)
        .orderBy('updated_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit)
        .execute()
      return rows.map(fromRow)
    },
    async get(userId: string, sessionId: string): Promise<Session | undefined> {
      const row = await named(userId).where('session_id', '=', sessionId).executeTakeFirst()
      return row && fromRow(row)
    },
  }
}

function emptyRow(
  fields: Pick<Row<'conversations'>, 'user_id' | 'id'> & Partial<Row<'conversations'>>,
): Row<'conversations'> {
  return newConversationRow({ next_seq: 0, created_at: Date.now(), ...fields })
}

function fromRow(row: Row<'conversations'>): Session {
  return {
    sessionId: row.session_id ?? row.id,
    conversationId: row.id,
    nextSeq: row.next_seq,
    parentId: row.parent_id ?? undefined,
    parentSeq: row.parent_seq ?? undefined,
    updatedAt: row.updated_at,
  }
}
