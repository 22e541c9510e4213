import { SteleError } from '../../errors.ts'
import { arrayElements } from '../../model/json-text.ts'
import { isFields } from '../../model/reply.ts'
import type { Item } from '../../model/responses/input-items.ts'
import { responseOfItem } from '../../model/responses/item-ids.ts'
import { invalid, parseResponseRequest, type ResponseRequest } from '../../model/responses/request.ts'
import type { Stele } from '../../stele.ts'
import { promptly } from '../../store/contents.ts'
import { responseStore } from '../../store/responses.ts'
import { inClientsTerms } from '../store-failure.ts'

export type Input = string | readonly Readonly<Record<string, unknown>>[] | null | undefined

/** Responses that are looked up at a time. */
const responsesAtATime = 20

/**
 * Puts the items of one's earlier responses in the place of their ids.
 * @param bodyLimit bytes that the items may amount to, as of a request that holds them
 */
export function referenceReader(
  { database }: Pick<Stele, 'database'>,
  { bodyLimit }: { readonly bodyLimit: number },
) {
  const responses = responseStore(promptly(database))

  const itemsOf = async (userId: string, ids: ReadonlySet<string>): Promise<ReadonlyMap<unknown, Item>> => {
    const items = new Map<unknown, Item>()
    const sources = [...new Set([...ids].flatMap(id => responseOfItem(id) ?? []))]
    let bytes = 0
    for (let at = 0; at < sources.length; at += responsesAtATime) {
      const read = await responses.itemsOf(userId, sources.slice(at, at + responsesAtATime))
      for (const item of read.filter(({ id }) => ids.has(id))) {
        items.set(item.id, item)
        bytes += Buffer.byteLength(JSON.stringify(item))
        if (bytes > bodyLimit) throw new SteleError('body_too_large', { limit: bodyLimit })
      }
    }
    return items
  }

  /** The items that an input names by their ids, by their places in it. */
  const referenced = async (userId: string, input: Input): Promise<ReadonlyMap<number, Item>> => {
    const ids = new Map<number, string>()
    const named = new Set<string>()
    if (Array.isArray(input))
      for (const [index, item] of input.entries()) {
        const id = referenceOf(item)
        if (id === undefined) continue
        if (named.has(id)) throw invalid(`input[${index}].id`, 'another item of this request has it')
        named.add(id)
        ids.set(index, id)
      }
    if (ids.size === 0) return new Map()
    const items = await inClientsTerms(database)(itemsOf(userId, named))
    return new Map(
      [...ids].map(([index, id]): [number, Item] => {
        const item = items.get(id)
        if (item === undefined)
          throw invalid(
            `input[${index}].id`,
            `'${id}' is no item of a response kept here; send the item itself`,
          )
        return [index, item]
      }),
    )
  }

  return {
    /** The same request with the items spelled out. @throws SteleError invalid_value, content_not_kept, store_unavailable */
    async spelledOut(userId: string, request: ResponseRequest): Promise<ResponseRequest> {
      const { text, members, fields } = request
      const items = await referenced(userId, fields.input)
      const input = members.find(({ name }) => name === 'input')
      if (items.size === 0 || input === undefined) return request
      let written = ''
      let at = 0
      for (const [index, { start, end }] of arrayElements(text, input.start).entries()) {
        const item = items.get(index)
        if (item === undefined) continue
        written += text.slice(at, start) + JSON.stringify(item)
        at = end
      }
      return parseResponseRequest(written + text.slice(at))
    },
    /** The same of an input alone. */
    async input(userId: string, input: Input): Promise<Input> {
      const items = await referenced(userId, input)
      return Array.isArray(input) ? input.map((item, index) => items.get(index) ?? item) : input
    },
  }
}

/** The responses of which an input names items. */
export function namedResponses(input: Input): string[] {
  if (!Array.isArray(input)) return []
  const ids = input.flatMap(item => referenceOf(item) ?? []).flatMap(id => responseOfItem(id) ?? [])
  return [...new Set(ids)]
}

/** The id by which an input item is named instead of given. */
function referenceOf(item: unknown): string | undefined {
  if (!isFields(item)) return undefined
  const { type, role, id } = item
  const isReference = type === 'item_reference' || (type == null && role === undefined)
  return isReference && typeof id === 'string' ? id : undefined
}
