import { isDeepStrictEqual } from 'node:util'
import { SteleError } from '../../errors.ts'
import { givenList } from '../json-object.ts'
import { isFields } from '../reply.ts'
import type { ChatMessageFields } from './chat-messages.ts'
import { type Item, itemPrefix, readInput } from './input-items.ts'
import { groupItems } from './item-groups.ts'
import { itemId } from './item-ids.ts'
import { type ListedItem, messageItems } from './message-items.ts'
import { invalid } from './request.ts'

type Fields = Readonly<Record<string, unknown>>

/** A message that items are kept as. */
export interface MessageOfItems {
  readonly message: ChatMessageFields
  /** The items, each with its id. */
  readonly items: readonly ListedItem[]
  /** False when the message itself tells all of them. */
  readonly mustBeKept: boolean
}

/** Of messages that stand for nothing but items which chat completions have no words for. */
export const itemRole = 'item'

const longestId = 512

const status = 'completed'

/** What items are listed with that may be left out of those that are given. */
const listedWith: Readonly<Record<string, Fields>> = {
  message: { status },
  function_call: { status },
  function_call_output: { status },
  custom_tool_call: { status },
  custom_tool_call_output: { status },
  computer_call_output: { status },
  tool_search_call: { status, execution: 'server', call_id: null },
  tool_search_output: { status, execution: 'server', call_id: null },
  shell_call: { status, environment: null },
  shell_call_output: { status, max_output_length: null },
}

/**
 * Reads the items that a client adds to a conversation: messages and calls of functions in the form in which OpenAI
 * lists them, anything else as it is. Those that came without an id get theirs with their message.
 * @throws SteleError invalid_value, missing_required_parameter
 */
export function readGivenItems(given: readonly unknown[], name = 'items'): Item[] {
  const items = givenList(name, given).map((item, index) => readGiven(item, `${name}[${index}]`))
  const seen = new Set<unknown>()
  for (const [index, { id }] of items.entries()) {
    if (id !== undefined && seen.has(id))
      throw invalid(`${name}[${index}].id`, 'another item of this request has it')
    seen.add(id)
  }
  return items
}

/**
 * Puts items together as the messages that they are kept as.
 * @param newMessageId makes the id of a message, from which those of its items are made
 */
export function messagesOfItems(
  given: readonly Item[],
  newMessageId: () => string,
): (MessageOfItems & { readonly id: string })[] {
  return groupItems(given).map(({ items, message = { role: itemRole, content: null } }) => {
    const id = newMessageId()
    const idOf = (prefix: string, index: number): string => itemId(id, 'output', index)(prefix)
    const named = items.map((item, index) => ({ ...item, id: givenId(item) ?? idOf(prefixOf(item), index) }))
    return { id, message, items: named, mustBeKept: !isDeepStrictEqual(messageItems(message, idOf), named) }
  })
}

/** The ids that their items came with. */
export function givenIds(items: readonly Item[]): string[] {
  return items.flatMap(item => givenId(item) ?? [])
}

function readGiven(given: unknown, path: string): Item {
  if (!isFields(given)) throw invalid(path, 'it must be an object')
  const { id } = given
  const isId = id == null || (typeof id === 'string' && id.length > 0 && id.length <= longestId)
  if (!isId) throw invalid(`${path}.id`, `it must be text of 1 to ${longestId} characters`)
  const { id: _, status: read, ...rest } = readOne(given, path)
  const listed = listedWith[rest.type] ?? {}
  // Everything is read with one, but not everything is listed with one.
  const hasStatus = 'status' in listed || given['status'] !== undefined
  return { ...(id == null ? {} : { id }), ...listed, ...rest, ...(hasStatus ? { status: read } : {}) }
}

function readOne(given: Fields, path: string): Item {
  try {
    const [item] = readInput([given], path)
    if (item === undefined) throw new Error('an item that is given is read')
    return item
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    const param = error.param?.replace(/^input\[0\]/, path) ?? path
    throw new SteleError(error.code, { ...error.details, name: param }, { param })
  }
}

function prefixOf({ type }: Fields & { readonly type: string }): string {
  return type === 'message' ? 'msg' : itemPrefix(type)
}

function givenId({ id }: Item): string | undefined {
  return typeof id === 'string' ? id : undefined
}
