import { arrayElements, objectMembers, type Span } from '../model/json-text.ts'
import { isFields } from '../model/reply.ts'
import { type Edit, edited } from '../privacy/masking/json-strings.ts'

/** Whose messages are compressed; `developer` is what newer models call `system`. */
const roles: ReadonlySet<unknown> = new Set(['user', 'system', 'developer'])
const textParts: ReadonlySet<unknown> = new Set(['text', 'input_text'])
/** Characters after which others get their turn. */
const breath = 50_000

/**
 * A request for a chat completion or a response, what users and systems say in it compressed. Everything else stays as it was
 * written: what assistants and tools said, calls of tools, images, files, parameters, names.
 * @param text JSON that was read before
 */
export async function compressRequest(text: string, compress: (text: string) => string): Promise<string> {
  const texts: (Span & { readonly value: string })[] = []
  const visit = (value: unknown, { start, end }: Span): void => {
    if (typeof value === 'string') texts.push({ start, end, value })
  }
  const members = (value: unknown, { start }: Span): Map<string, { value: unknown; span: Span }> =>
    new Map(
      isFields(value)
        ? objectMembers(text, start).map(member => [member.name, { value: value[member.name], span: member }])
        : [],
    )
  const elements = (value: unknown, { start }: Span): { value: unknown; span: Span }[] => {
    if (!Array.isArray(value)) return []
    return arrayElements(text, start).map((span, index) => ({ value: value[index] as unknown, span }))
  }
  const said = (value: unknown, span: Span): void => {
    visit(value, span)
    for (const part of elements(value, span)) {
      if (!isFields(part.value) || !textParts.has(part.value['type'])) continue
      const found = members(part.value, part.span).get('text')
      if (found !== undefined) visit(found.value, found.span)
    }
  }
  const messages = (value: unknown, span: Span): void => {
    for (const message of elements(value, span)) {
      if (!isFields(message.value) || !roles.has(message.value['role'])) continue
      const content = members(message.value, message.span).get('content')
      if (content !== undefined) said(content.value, content.span)
    }
  }
  const all = members(JSON.parse(text), { start: 0, end: text.length })
  for (const [name, { value, span }] of all) {
    if (name === 'messages') messages(value, span)
    if (name === 'instructions') visit(value, span)
    if (name === 'input') {
      visit(value, span)
      messages(value, span)
    }
  }
  const edits: Edit[] = []
  let sinceBreath = 0
  for (const { start, end, value } of texts.sort((one, other) => one.start - other.start)) {
    const compressed = compress(value)
    if (compressed !== value) edits.push({ start, end, text: JSON.stringify(compressed) })
    sinceBreath += value.length
    if (sinceBreath < breath) continue
    sinceBreath = 0
    await new Promise(resolve => setImmediate(resolve))
  }
  return edited(text, edits)
}
