import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import { decodeText, isAbsent } from '../privacy/content.ts'

export interface Conversation {
  readonly id: string
  readonly userId: string
  readonly title: string | undefined
  readonly status: string
  /** Where it forked from another, if it did: it shares the messages up to `parentSeq`. */
  readonly parentId: string | undefined
  readonly parentSeq: number | undefined
  /** The sequence number that its next message will have; counts shared messages too. */
  readonly nextSeq: number
  readonly createdAt: number
  readonly updatedAt: number
}

export interface Message {
  readonly id: string
  readonly conversationId: string
  readonly seq: number
  readonly role: string
  /** The message as JSON text, as it was sent or received; its role alone when its content was not kept. */
  readonly raw: string
  /** False when its content was not kept. */
  readonly isKept: boolean
  readonly model: string | undefined
  readonly callId: string | undefined
  readonly createdAt: number
}

/** One conversation's share of a history: its own messages up to a sequence number. */
interface Stretch {
  readonly conversationId: string
  readonly upToSeq: number
}

type Fork = Pick<Row<'conversations'>, 'parent_id' | 'parent_seq'>

export function conversationStore({ kysely }: Pick<Database, 'kysely'>) {
  const find = (userId: string, id: string) =>
    kysely
      .selectFrom('conversations')
      .selectAll()
      .where('user_id', '=', userId)
      .where('id', '=', id)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()

  /** The conversation and those it was forked from, nearest first. */
  const lineage = async (userId: string, id: string, upToSeq: number): Promise<Stretch[]> => {
    const stretches: Stretch[] = [{ conversationId: id, upToSeq }]
    for (let last = stretches[0]; last !== undefined; ) {
      const row: Fork | undefined = await kysely
        .selectFrom('conversations')
        .select(['parent_id', 'parent_seq'])
        .where('user_id', '=', userId)
        .where('id', '=', last.conversationId)
        .executeTakeFirst()
      if (row?.parent_id == null || row.parent_seq === null || row.parent_seq < 0) break
      last = { conversationId: row.parent_id, upToSeq: Math.min(row.parent_seq, last.upToSeq) }
      stretches.push(last)
    }
    return stretches
  }

  /** Rows of a conversation's history before `before`, newest first, across its forks. */
  const historyRows = async (
    userId: string,
    id: string,
    before: number,
    limit: number,
  ): Promise<Row<'messages'>[]> => {
    const rows: Row<'messages'>[] = []
    for (const { conversationId, upToSeq } of await lineage(userId, id, before - 1)) {
      if (rows.length >= limit) break
      const more = await kysely
        .selectFrom('messages')
        .selectAll()
        .where('user_id', '=', userId)
        .where('conversation_id', '=', conversationId)
        .where('seq', '<=', upToSeq)
        .orderBy('seq', 'desc')
        .limit(limit - rows.length)
        .execute()
      rows.push(...more)
    }
    return rows
  }

  return {
    async get(userId: string, id: string): Promise<Conversation | undefined> {
      const row = await find(userId, id)
      return row && fromRow(row)
    },
    /** A conversation by its id alone, for operators. */
    async find(id: string): Promise<Conversation | undefined> {
      const row = await kysely
        .selectFrom('conversations')
        .selectAll()
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
      return row && fromRow(row)
    },
    /** The conversations that were forked from this one, oldest first. */
    async forks(userId: string, id: string): Promise<Conversation[]> {
      const rows = await kysely
        .selectFrom('conversations')
        .selectAll()
        .where('user_id', '=', userId)
        .where('parent_id', '=', id)
        .where('deleted_at', 'is', null)
        .orderBy('id')
        .execute()
      return rows.map(fromRow)
    },
    /** The newest conversations of a user (of everyone, when left out), made before `before`. */
    async list(
      options: { userId?: string | undefined; limit?: number; before?: string | undefined } = {},
    ): Promise<Conversation[]> {
      const rows = await kysely
        .selectFrom('conversations')
        .selectAll()
        .where('deleted_at', 'is', null)
        .$if(options.userId !== undefined, query => query.where('user_id', '=', options.userId ?? ''))
        .$if(options.before !== undefined, query => query.where('id', '<', options.before ?? ''))
        .orderBy('id', 'desc')
        .limit(options.limit ?? 50)
        .execute()
      return rows.map(fromRow)
    },
    /** Messages of a conversation before `before`, newest page first in, oldest message first out. */
    async messages(options: {
      userId: string
      conversationId: string
      limit?: number
      before?: number | undefined
    }): Promise<Message[]> {
      const { userId, conversationId, limit = 50, before = Number.MAX_SAFE_INTEGER } = options
      const rows = await historyRows(userId, conversationId, before, limit)
      return rows.reverse().map(messageFromRow)
    },
    /** Every message row from the first up to `upToSeq`, oldest first: what a request is rebuilt from. */
    async history(userId: string, id: string, upToSeq: number): Promise<Row<'messages'>[]> {
      const rows = await historyRows(userId, id, upToSeq + 1, Number.MAX_SAFE_INTEGER)
      return rows.reverse()
    },
  }
}

function fromRow(row: Row<'conversations'>): Conversation {
  return {
    id: row.id,
    userId: row.user_id,
    title: row.title ?? undefined,
    status: row.status,
    parentId: row.parent_id ?? undefined,
    parentSeq: row.parent_seq ?? undefined,
    nextSeq: row.next_seq,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

function messageFromRow(row: Row<'messages'>): Message {
  const isKept = !isAbsent(row.content)
  return {
    id: row.id,
    conversationId: row.conversation_id,
    seq: row.seq,
    role: row.role,
    raw: isKept ? decodeText(row.content) : JSON.stringify({ role: row.role, content: null }),
    isKept,
    model: row.model ?? undefined,
    callId: row.call_id ?? undefined,
    createdAt: row.created_at,
  }
}
