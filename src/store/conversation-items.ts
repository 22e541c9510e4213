import { setImmediate } from 'node:timers/promises'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId } from '../ids.ts'
import { wholeNumber } from '../model/json-object.ts'
import { isLeft, type KeptItem } from '../model/responses/kept-items.ts'
import type { ListedItem } from '../model/responses/message-items.ts'
import type { Reading } from './contents.ts'
import { itemsOfRows } from './items-of-rows.ts'
import { messageStore } from './messages.ts'

export interface ItemPage {
  readonly userId: string
  readonly conversationId: string
  readonly limit: number
  /** 'desc': the newest first. */
  readonly order: 'asc' | 'desc'
  /** Only items behind this one in that order; it may be deleted. */
  readonly after?: string | undefined
}

/** An item and the message that stands for it. */
export interface PlacedItem {
  readonly row: Row<'messages'>
  /** All items of the message. */
  readonly items: readonly KeptItem[]
  readonly index: number
}

/** Messages that are read at once where few of them are left. */
const longestRun = 1_000

const madeId = /^[a-z]+_([0-7][0-9a-hjkmnp-tv-z]{25})i?\d+$/

export function conversationItemStore(reading: Reading) {
  const { kysely } = reading
  const messages = messageStore(reading)

  /** The messages of a conversation in an order, with the items that they stand for, deleted ones too. */
  async function* walk(
    { userId, conversationId, order }: Omit<ItemPage, 'limit'>,
    limit: number,
    fromSeq: number | undefined,
  ): AsyncGenerator<[Row<'messages'>, readonly KeptItem[]]> {
    const isAscending = order === 'asc'
    let before = isAscending || fromSeq === undefined ? undefined : fromSeq + 1
    let after = isAscending ? (fromSeq ?? 0) - 1 : undefined
    // Behind many that are deleted, pages grow, and others get their turn in between.
    for (let size = limit; ; size = Math.min(size * 2, longestRun), await setImmediate()) {
      const rows = await messages.rows({ userId, conversationId, limit: size, order, before, after })
      const items = await itemsOfRows(reading, userId, rows)
      for (const [index, row] of rows.entries()) yield [row, items[index] ?? []]
      const last = rows.at(-1)
      if (last === undefined || rows.length < size) return
      if (isAscending) after = last.seq
      else before = last.seq
    }
  }

  /** The rows in which ids that were made from theirs, or from their calls', are to be found. */
  const likelyRows = async (
    userId: string,
    conversationId: string,
    itemIds: readonly string[],
  ): Promise<Row<'messages'>[]> => {
    const suffixes = [...new Set(itemIds.flatMap(id => madeId.exec(id)?.[1] ?? []))]
    if (suffixes.length === 0) return []
    const callIds = suffixes.map(suffix => `call_${suffix}`)
    const calls = await kysely
      .selectFrom('llm_requests')
      .select(['id', 'conversation_id', 'up_to_seq'])
      .where('user_id', '=', userId)
      .where(eb =>
        eb.or([
          eb('id', 'in', callIds),
          eb.and([eb('group_id', 'in', callIds), eb('route_mode', 'is not', null)]),
        ]),
      )
      .execute()
    const replies = await kysely
      .selectFrom('llm_responses')
      .select(['request_id', 'conversation_id', 'seq'])
      .where('user_id', '=', userId)
      .where('request_id', 'in', ['', ...calls.map(call => call.id)])
      .execute()
    return messages.rowsOf(userId, conversationId, {
      messageIds: suffixes.map(suffix => `msg_${suffix}`),
      calls: [
        ...calls.map(call => ({
          callId: call.id,
          conversationId: call.conversation_id,
          upToSeq: call.up_to_seq,
        })),
        ...replies.flatMap(({ request_id, conversation_id, seq }) =>
          conversation_id === null || seq === null
            ? []
            : [{ callId: request_id, conversationId: conversation_id, upToSeq: seq }],
        ),
      ],
    })
  }

  /** Where items are, deleted or not: those of these ids that the conversation has. */
  const findAll = async (
    userId: string,
    conversationId: string,
    itemIds: readonly string[],
  ): Promise<Map<string, PlacedItem>> => {
    if (!isId('conversation', conversationId)) throw notFound(conversationId)
    const found = new Map<string, PlacedItem>()
    const look = async (rows: readonly Row<'messages'>[]): Promise<boolean> => {
      for (const [at, items] of (await itemsOfRows(reading, userId, rows)).entries()) {
        const row = rows[at]
        for (const [index, { id }] of items.entries())
          if (row !== undefined && itemIds.includes(id) && !found.has(id))
            found.set(id, { row, items, index })
      }
      return found.size === itemIds.length
    }
    if (await look(await likelyRows(userId, conversationId, itemIds))) return found
    // Ids that clients and providers gave are written in the items alone.
    for await (const rows of messages.rowsWithGivenIds(userId, conversationId)) if (await look(rows)) break
    return found
  }

  const find = async (
    userId: string,
    conversationId: string,
    itemId: string,
  ): Promise<PlacedItem | undefined> => (await findAll(userId, conversationId, [itemId])).get(itemId)

  return {
    /** Where an item is, deleted or not. @throws SteleError conversation_not_found */
    find,
    /** Of these items, those that a conversation has, deleted or not. @throws SteleError conversation_not_found */
    findAll,
    /**
     * The items of so many messages that stand one behind the other.
     * @throws SteleError conversation_not_found, content_not_kept when the first of them is gone
     */
    async ofMessages(asked: {
      readonly userId: string
      readonly conversationId: string
      readonly messageId: string
      readonly count: number
    }): Promise<ListedItem[]> {
      const { userId, conversationId, messageId, count } = asked
      const [first] = await messages.rowsOf(userId, conversationId, { messageIds: [messageId], calls: [] })
      if (first === undefined) throw new SteleError('content_not_kept')
      const rows = await messages.rows({ userId, conversationId, after: first.seq - 1, limit: count })
      const items = await itemsOfRows(reading, userId, rows)
      return items.flatMap((some, at) => (rows[at]?.deleted_at === null ? some.filter(isLeft) : []))
    },
    /** @throws SteleError conversation_not_found, item_not_found */
    async get(userId: string, conversationId: string, itemId: string): Promise<ListedItem> {
      const found = await find(userId, conversationId, itemId)
      const item = found?.items[found.index]
      if (found === undefined || item === undefined || found.row.deleted_at !== null || !isLeft(item))
        throw new SteleError('item_not_found', { item: itemId })
      return item
    },
    /** @throws SteleError conversation_not_found, invalid_value when there never was an item to go on behind */
    async list(asked: ItemPage): Promise<{ items: ListedItem[]; hasMore: boolean }> {
      const { userId, conversationId, order, after } = asked
      const limit = wholeNumber('limit', asked.limit, 0)
      if (!isId('conversation', conversationId)) throw notFound(conversationId)
      const place = after === undefined ? undefined : await find(userId, conversationId, after)
      if (after !== undefined && place === undefined)
        throw new SteleError(
          'invalid_value',
          { name: 'after', reason: 'it names no item of this conversation' },
          { param: 'after' },
        )
      const found: ListedItem[] = []
      for await (const [row, items] of walk(asked, limit + 1, place?.row.seq)) {
        const ordered = order === 'asc' ? items : items.toReversed()
        const behind = row.seq === place?.row.seq ? ordered.findIndex(({ id }) => id === after) + 1 : 0
        if (row.deleted_at === null) found.push(...ordered.slice(behind).filter(isLeft))
        if (found.length > limit) break
      }
      return { items: found.slice(0, limit), hasMore: found.length > limit }
    },
  }
}

function notFound(id: string): SteleError {
  return new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
}
