import type { Row } from '../db/tables.ts'
import { responseIdOf } from '../ids.ts'
import { itemRole } from '../model/responses/given-items.ts'
import { groupItems } from '../model/responses/item-groups.ts'
import { itemId } from '../model/responses/item-ids.ts'
import { type KeptItem, readKeptItems } from '../model/responses/kept-items.ts'
import { type ListedItem, messageItems } from '../model/responses/message-items.ts'
import { decodeText, isAbsent } from '../privacy/content.ts'
import type { Reading } from './contents.ts'

/** A call that brought messages, and the items of the response that was made by it, if one was. */
interface Bringer {
  readonly responseId: string
  /** The place of the last message of its request. */
  readonly upToSeq: number
  /** Of the request's messages, those at its end. */
  readonly input: readonly (readonly ListedItem[])[]
  readonly output: readonly ListedItem[]
}

/**
 * The items that messages stand for, in the order of the rows: as they were given, else as the response has them that
 * brought the message, else as the message tells. What a call replied has the ids that its response would have.
 * @throws SteleError content_unreadable
 */
export async function itemsOfRows(
  reading: Reading,
  userId: string,
  rows: readonly Row<'messages'>[],
): Promise<(readonly KeptItem[])[]> {
  const untold = rows.filter(({ items, content }) => !isKept(items) && !isAbsent(content))
  const bringers = await bringersOf(
    reading,
    userId,
    untold.flatMap(({ call_id }) => call_id ?? []),
  )
  return rows.map(row => {
    if (isKept(row.items)) return readKeptItems(decodeText(row.items))
    if (row.role === itemRole) return []
    const bringer = row.call_id === null ? undefined : bringers.get(row.call_id)
    return itemsOf(row, bringer)
  })
}

/** A message whose items are kept as digests stands for what is known of it without them. */
function isKept(items: Uint8Array | null): items is Uint8Array {
  return items !== null && !isAbsent(items)
}

function itemsOf(row: Row<'messages'>, bringer: Bringer | undefined): readonly KeptItem[] {
  const isReply = bringer !== undefined && row.seq > bringer.upToSeq
  const source = isReply ? bringer.responseId : row.id
  const known = isReply ? bringer.output : (bringer?.input.at(row.seq - bringer.upToSeq - 1) ?? [])
  if (known.length > 0) return known
  return messageItems(messageOf(row), (prefix, index) => itemId(source, 'output', index)(prefix))
}

function messageOf({ role, content }: Row<'messages'>): Readonly<Record<string, unknown>> {
  return isAbsent(content) ? { role } : (JSON.parse(decodeText(content)) as Record<string, unknown>)
}

async function bringersOf(
  reading: Reading,
  userId: string,
  callIds: readonly string[],
): Promise<Map<string, Bringer>> {
  if (callIds.length === 0) return new Map()
  const { kysely, contents } = reading
  const calls = await kysely
    .selectFrom('llm_requests')
    .select(['id', 'group_id', 'up_to_seq'])
    .where('user_id', '=', userId)
    .where('id', 'in', [...new Set(callIds)])
    .execute()
  const idOf = (call: (typeof calls)[number]): string => responseIdOf(call.group_id ?? call.id)
  const responses = await kysely
    .selectFrom('responses')
    .select(['id', 'user_id', 'input', 'body'])
    .where('user_id', '=', userId)
    .where('id', 'in', [...new Set(['', ...calls.map(idOf)])])
    .execute()
  const opened = await contents.open(kysely, 'responses', responses)
  const made = new Map(opened.map(row => [row.id, row]))
  return new Map(
    calls.map((call): [string, Bringer] => {
      const responseId = idOf(call)
      const response = made.get(responseId)
      return [
        call.id,
        {
          responseId,
          upToSeq: call.up_to_seq,
          input: response === undefined ? [] : inputOf(response.input),
          output: response === undefined ? [] : outputOf(response.body),
        },
      ]
    }),
  )
}

/** The items of each message of a request, in order. */
function inputOf(stored: Uint8Array): ListedItem[][] {
  if (isAbsent(stored)) return []
  const items = JSON.parse(decodeText(stored)) as ListedItem[]
  return groupItems(items).flatMap(group => (group.message === undefined ? [] : [[...group.items]]))
}

function outputOf(stored: Uint8Array): readonly ListedItem[] {
  if (isAbsent(stored)) return []
  return (JSON.parse(decodeText(stored)) as { output?: ListedItem[] }).output ?? []
}
