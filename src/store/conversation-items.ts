import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId } from '../ids.ts'
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

/** Rows that are read at a time while looking for one. */
const page = 200

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
    for (;;) {
      const rows = await messages.rows({ userId, conversationId, limit, order, before, after })
      const items = await itemsOfRows(reading, userId, rows)
      for (const [index, row] of rows.entries()) yield [row, items[index] ?? []]
      const last = rows.at(-1)
      if (last === undefined || rows.length < limit) return
      if (isAscending) after = last.seq
      else before = last.seq
    }
  }

  /** The rows in which an id that was made from theirs, or from their call's, is to be found. */
  const likelyRows = async (
    userId: string,
    conversationId: string,
    itemId: string,
  ): Promise<Row<'messages'>[]> => {
    const suffix = madeId.exec(itemId)?.[1]
    if (suffix === undefined) return []
    const calls = await kysely
      .selectFrom('llm_requests')
      .select('id')
      .where('user_id', '=', userId)
      .where(eb =>
        eb.or([
          eb('id', '=', `call_${suffix}`),
          eb.and([eb('group_id', '=', `call_${suffix}`), eb('route_mode', 'is not', null)]),
        ]),
      )
      .execute()
    return messages.rowsOf(
      userId,
      conversationId,
      `msg_${suffix}`,
      calls.map(call => call.id),
    )
  }

  const find = async (
    userId: string,
    conversationId: string,
    itemId: string,
  ): Promise<PlacedItem | undefined> => {
    if (!isId('conversation', conversationId)) throw notFound(conversationId)
    const rows = await likelyRows(userId, conversationId, itemId)
    for (const [at, items] of (await itemsOfRows(reading, userId, rows)).entries()) {
      const row = rows[at]
      const index = items.findIndex(({ id }) => id === itemId)
      if (row !== undefined && index !== -1) return { row, items, index }
    }
    // Ids that clients and providers gave are written in the items alone.
    for await (const [row, items] of walk({ userId, conversationId, order: 'desc' }, page, undefined)) {
      const index = items.findIndex(({ id }) => id === itemId)
      if (index !== -1) return { row, items, index }
    }
    return undefined
  }

  return {
    /** Where an item is, deleted or not. @throws SteleError conversation_not_found */
    find,
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
      const { userId, conversationId, limit, order, after } = asked
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
