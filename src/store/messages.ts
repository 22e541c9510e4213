import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId } from '../ids.ts'
import {
  givenList,
  type JsonObject,
  keyText,
  objectFrom,
  pageLimit,
  wholeNumber,
} from '../model/json-object.ts'
import { decodeText, isAbsent } from '../privacy/content.ts'
import type { Reading } from './contents.ts'
import { messageFinder, type Stretch } from './find-messages.ts'
import { shownText } from './shown-message.ts'

export interface Message {
  readonly id: string
  /** The conversation that has it as its own: another one when a fork shares it. */
  readonly conversationId: string
  readonly seq: number
  readonly role: string
  /**
   * The message as JSON text, as it was sent or received, without those of its items that are deleted; its role alone when
   * its content was not kept.
   */
  readonly raw: string
  /** False when its content was not kept. */
  readonly isKept: boolean
  readonly model: string | undefined
  /** The call that brought it; undefined when it was appended by itself. */
  readonly callId: string | undefined
  readonly intent: string | undefined
  /** Nano-US-dollars, as whoever appended it said. What calls cost is told by the calls. */
  readonly costNanousd: number | undefined
  readonly metadata: JsonObject | undefined
  readonly createdAt: number
  readonly deletedAt: number | undefined
}

export interface MessagePage {
  readonly userId: string
  readonly conversationId: string
  /** 50 when left out. */
  readonly limit?: number | undefined
  /** Only messages with a lower seq. */
  readonly before?: number | undefined
  /** Only messages with a higher seq; -1 begins with the first. */
  readonly after?: number | undefined
  /** Only messages of these roles. */
  readonly roles?: readonly string[] | undefined
  /** The order within the page: 'asc', oldest first, when left out. */
  readonly order?: 'asc' | 'desc' | undefined
  /** Deleted ones too, and those of a deleted conversation. */
  readonly includeDeleted?: boolean | undefined
}

/** Where the messages that a call brought, or was answered with, stand: the last of them at `upToSeq`. */
export interface PlacedMessages {
  readonly callId: string
  readonly conversationId: string
  readonly upToSeq: number
}

/** Which messages are shown. */
type Shown = Pick<MessagePage, 'includeDeleted' | 'roles'>

type Beginning = Pick<Row<'conversations'>, 'id' | 'parent_id' | 'parent_seq' | 'deleted_at'>

export function messageStore(reading: Reading) {
  const { kysely, contents } = reading
  const finder = messageFinder(reading)

  const beginningOf = (userId: string, id: string): Promise<Beginning | undefined> =>
    kysely
      .selectFrom('conversations')
      .select(['id', 'parent_id', 'parent_seq', 'deleted_at'])
      .where('user_id', '=', keyText('userId', userId))
      .where('id', '=', keyText('conversationId', id))
      .executeTakeFirst()

  /** The conversation and those it was forked from, nearest first; each is looked up when it is asked for. */
  async function* stretches(
    userId: string,
    beginning: Beginning | undefined,
    upToSeq: number,
  ): AsyncGenerator<Stretch> {
    const seen = new Set<string>()
    for (let row = beginning, last = upToSeq; row !== undefined; ) {
      if (seen.has(row.id))
        throw new SteleError('content_unreadable', { reason: `conversation ${row.id} goes on from itself` })
      seen.add(row.id)
      const parentSeq = row.parent_seq ?? -1
      yield { conversationId: row.id, fromSeq: parentSeq + 1, upToSeq: last }
      if (row.parent_id === null || parentSeq < 0) break
      last = Math.min(parentSeq, last)
      row = await beginningOf(userId, row.parent_id)
    }
  }

  const rowsOf = async (
    userId: string,
    { conversationId, fromSeq, upToSeq }: Stretch,
    direction: 'asc' | 'desc',
    limit: number,
    { includeDeleted, roles }: Shown,
  ): Promise<Row<'messages'>[]> => {
    const rows = await kysely
      .selectFrom('messages')
      .selectAll()
      .where('user_id', '=', userId)
      .where('conversation_id', '=', conversationId)
      .where('seq', '>=', fromSeq)
      .where('seq', '<=', upToSeq)
      .$if(includeDeleted !== true, query => query.where('deleted_at', 'is', null))
      .$if(roles !== undefined, query => query.where('role', 'in', roles ?? []))
      .orderBy('seq', direction)
      .limit(limit)
      .execute()
    return contents.open(kysely, 'messages', rows)
  }

  /** Rows of a history, the newest first, across its forks. */
  const newestRows = async (
    userId: string,
    beginning: Beginning | undefined,
    upToSeq: number,
    limit: number,
    shown: Shown,
  ): Promise<Row<'messages'>[]> => {
    const rows: Row<'messages'>[] = []
    for await (const stretch of stretches(userId, beginning, upToSeq)) {
      const more = await rowsOf(userId, stretch, 'desc', limit - rows.length, shown)
      for (const row of more) rows.push(row)
      if (rows.length >= limit) break
    }
    return rows
  }

  const oldestRows = async (
    userId: string,
    beginning: Beginning,
    fromSeq: number,
    upToSeq: number,
    limit: number,
    shown: Shown,
  ): Promise<Row<'messages'>[]> => {
    const backwards: Stretch[] = []
    for await (const stretch of stretches(userId, beginning, upToSeq)) {
      backwards.push({ ...stretch, fromSeq: Math.max(stretch.fromSeq, fromSeq) })
      if (stretch.fromSeq <= fromSeq) break
    }
    const rows: Row<'messages'>[] = []
    for (const stretch of backwards.reverse()) {
      const more = await rowsOf(userId, stretch, 'asc', limit - rows.length, shown)
      for (const row of more) rows.push(row)
      if (rows.length >= limit) break
    }
    return rows
  }

  /** @throws SteleError conversation_not_found */
  const required = async (userId: string, id: string, includeDeleted: boolean): Promise<Beginning> => {
    const row = await beginningOf(userId, id)
    if (row === undefined || (row.deleted_at !== null && !includeDeleted))
      throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
    return row
  }

  const page = async (asked: MessagePage, shown: Shown): Promise<Row<'messages'>[]> => {
    const { userId, conversationId, order = 'asc' } = asked
    if (order !== 'asc' && order !== 'desc')
      throw new SteleError(
        'invalid_value',
        { name: 'order', reason: "it must be 'asc' or 'desc'" },
        { param: 'order' },
      )
    const limit = pageLimit(asked.limit, 50)
    const after = asked.after === undefined ? undefined : wholeNumber('after', asked.after, -1)
    const before =
      asked.before === undefined ? Number.MAX_SAFE_INTEGER : wholeNumber('before', asked.before, 0)
    const upToSeq = before - 1
    if (shown.roles !== undefined) for (const role of givenList('roles', shown.roles)) keyText('roles', role)
    const beginning = await required(userId, conversationId, asked.includeDeleted === true)
    if (shown.roles?.length === 0) return []
    const rows =
      after === undefined
        ? await newestRows(userId, beginning, upToSeq, limit, shown)
        : await oldestRows(userId, beginning, after + 1, upToSeq, limit, shown)
    const isAscending = after !== undefined
    return isAscending === (order === 'asc') ? rows : rows.reverse()
  }

  return {
    /**
     * A page of the messages of a conversation, those that it shares with the one it was forked from included: with
     * `after` the next ones, else the last ones before `before`. Deleted messages are left out; the seqs of the others stay.
     * @throws SteleError conversation_not_found
     */
    async list(asked: MessagePage): Promise<Message[]> {
      return (await page(asked, asked)).map(messageFromRow)
    },
    /** The same as rows, deleted messages always among them. @throws SteleError conversation_not_found */
    rows: (asked: MessagePage): Promise<Row<'messages'>[]> => page(asked, { ...asked, includeDeleted: true }),
    /**
     * The rows that have these ids, deleted ones too, and those that these calls brought or were answered with, in no order.
     * @throws SteleError conversation_not_found
     */
    async rowsOf(
      userId: string,
      conversationId: string,
      { messageIds, calls }: { messageIds: readonly string[]; calls: readonly PlacedMessages[] },
    ): Promise<Row<'messages'>[]> {
      const beginning = await required(userId, conversationId, false)
      const rows = new Map<string, Row<'messages'>>()
      for await (const stretch of stretches(userId, beginning, Number.MAX_SAFE_INTEGER)) {
        const missing = messageIds.filter(id => !rows.has(id))
        const named = missing.length === 0 ? [] : await finder.byIds(userId, stretch, missing)
        for (const row of named) rows.set(row.id, row)
        for (const call of calls) {
          if (call.conversationId !== stretch.conversationId) continue
          const upToSeq = Math.min(call.upToSeq, stretch.upToSeq)
          const brought = await finder.broughtBy(userId, { ...stretch, upToSeq }, call.callId)
          for (const row of brought) rows.set(row.id, row)
        }
      }
      return [...rows.values()]
    },
    /**
     * The rows whose items may have ids that clients or providers gave, deleted ones too, the newest first.
     * @throws SteleError conversation_not_found
     */
    async *rowsWithGivenIds(userId: string, conversationId: string): AsyncGenerator<Row<'messages'>[]> {
      const beginning = await required(userId, conversationId, false)
      for await (const stretch of stretches(userId, beginning, Number.MAX_SAFE_INTEGER))
        yield* finder.withGivenIds(userId, stretch)
    },
    /**
     * A message by its id; undefined when it is unknown or deleted.
     * @throws SteleError conversation_not_found
     */
    async get(userId: string, conversationId: string, messageId: string): Promise<Message | undefined> {
      if (!isId('message', keyText('messageId', messageId))) return undefined
      const beginning = await required(userId, conversationId, false)
      for await (const stretch of stretches(userId, beginning, Number.MAX_SAFE_INTEGER)) {
        const [row] = await finder.byIds(userId, stretch, [messageId])
        if (row !== undefined) return row.deleted_at === null ? messageFromRow(row) : undefined
      }
      return undefined
    },
    /** Every message row from the first up to `upToSeq`, oldest first, deleted ones too. */
    async history(userId: string, id: string, upToSeq: number): Promise<Row<'messages'>[]> {
      const beginning = await beginningOf(userId, id)
      const rows = await newestRows(userId, beginning, upToSeq, Number.MAX_SAFE_INTEGER, {
        includeDeleted: true,
      })
      return rows.reverse()
    },
  }
}

function messageFromRow(row: Row<'messages'>): Message {
  const isKept = !isAbsent(row.content)
  return {
    id: row.id,
    conversationId: row.conversation_id,
    seq: row.seq,
    role: row.role,
    raw: isKept
      ? (shownText(row) ?? decodeText(row.content))
      : JSON.stringify({ role: row.role, content: null }),
    isKept,
    model: row.model ?? undefined,
    callId: row.call_id ?? undefined,
    intent: row.intent ?? undefined,
    costNanousd: row.cost_nanousd ?? undefined,
    metadata: objectFrom(row.metadata),
    createdAt: row.created_at,
    deletedAt: row.deleted_at ?? undefined,
  }
}
