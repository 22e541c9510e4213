import { isFields } from '../reply.ts'
import { historyItems } from './history-items.ts'
import { type Item, itemPrefix } from './input-items.ts'

/** An item as it is listed. */
export type ListedItem = Item & { readonly id: string }

type Fields = Readonly<Record<string, unknown>>

/** Roles that items may have. */
const roles: ReadonlySet<unknown> = new Set(['user', 'assistant', 'system', 'developer', 'critic', 'tool'])

/**
 * The items that a chat message stands for, as OpenAI lists them: what was said, then the calls of tools. Never none.
 * @param idOf makes the id of the item at an index, beginning with a prefix such as `msg`
 */
export function messageItems(message: Fields, idOf: (prefix: string, index: number) => string): ListedItem[] {
  const items = historyItems([message]).map(item => asListed(item, message))
  const shown = items.length > 0 ? items : [{ type: 'message', role: 'assistant', content: [] }]
  return shown.map((item, index): ListedItem => {
    const type = String(item['type'])
    return {
      ...item,
      type,
      id: idOf(type === 'message' ? 'msg' : itemPrefix(type), index),
      status: 'completed',
    }
  })
}

/** A message has a list of parts, and a role that OpenAI knows. */
function asListed(item: Fields, message: Fields): Fields {
  if (item['type'] !== 'message')
    return { ...item, ...('output' in item ? { output: item['output'] ?? '' } : {}) }
  const { role, content } = item
  if (role === 'assistant') return { ...item, content: saidParts(message) }
  const said = typeof content === 'string' && content !== '' ? [{ type: 'input_text', text: content }] : []
  const parts = Array.isArray(content) ? content.filter(isFields) : said
  return { ...item, role: roles.has(role) ? role : 'unknown', content: parts }
}

/** What a model said, in the parts in which it says so in a response. */
function saidParts({ content, refusal }: Fields): Fields[] {
  const given: readonly unknown[] = Array.isArray(content) ? content : [{ type: 'text', text: content }]
  const refused = typeof refusal === 'string' ? [{ type: 'refusal', refusal }] : []
  return [...given, ...refused].flatMap((part): Fields[] => {
    if (!isFields(part)) return []
    if (typeof part['refusal'] === 'string') return [{ type: 'refusal', refusal: part['refusal'] }]
    const { text } = part
    return typeof text === 'string' && text !== ''
      ? [{ type: 'output_text', text, annotations: [], logprobs: [] }]
      : []
  })
}
