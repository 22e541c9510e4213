import { isFields } from '../reply.ts'

/**
 * How many tokens a request is likely to cost a model, whichever it is: no tokenizer is asked, so it is an estimate. A token
 * for every four characters of ASCII and for each other character, as byte-pair encodings come out on average; what frames a
 * message counts as `perMessage`, an image as `perImage`, however large it is.
 */
const charactersPerToken = 4
const perMessage = 4
const perImage = 765

/** @param parts chat messages, tools and formats: anything whose texts a model reads */
export function estimateTokens(messages: readonly unknown[], others: readonly unknown[]): number {
  const read = [...messages, ...others].reduce<number>((sum, part) => sum + tokensOf(part), 0)
  return read + messages.length * perMessage
}

function tokensOf(value: unknown): number {
  if (typeof value === 'string') return textTokens(value)
  if (typeof value === 'number' || typeof value === 'boolean') return 1
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + tokensOf(item), 0)
  if (!isFields(value)) return 0
  if (value['type'] === 'image_url' || value['type'] === 'input_image') return perImage
  return Object.entries(value).reduce(
    (sum, [name, member]) => sum + (framing.has(name) ? 0 : tokensOf(member) + nameTokens(name)),
    0,
  )
}

/** Members that say what a part is, not what it says. */
const framing: ReadonlySet<string> = new Set(['type', 'role', 'id', 'call_id', 'tool_call_id', 'status'])

/** Members under which the text itself stands: their names are no part of it. */
const plain: ReadonlySet<string> = new Set(['content', 'text', 'refusal', 'output'])

function nameTokens(name: string): number {
  return plain.has(name) ? 0 : textTokens(name)
}

function textTokens(text: string): number {
  const ascii = text.match(/[\0-\x7f]/g)?.length ?? 0
  return Math.ceil(ascii / charactersPerToken) + ([...text].length - ascii)
}
