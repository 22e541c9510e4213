/**
 * The normal form in which two messages that mean the same compare equal, however a client wrote them down:
 * members sorted, absent and null alike, a lone text part alike its string. An assistant message keeps only what a
 * client must send back, because clients drop the rest (annotations, reasoning, null members) when they resend it.
 */

const assistantMembers = new Set(['role', 'content', 'name', 'refusal', 'tool_calls', 'function_call'])

/** The normal form of one chat message as JSON text. */
export function canonicalMessage(message: Readonly<Record<string, unknown>>): string {
  const role = message['role']
  const entries = Object.entries(message)
    .filter(([name, value]) =>
      role === 'assistant' ? assistantMembers.has(name) && !isBlank(value) : value !== null,
    )
    .map(([name, value]): [string, unknown] => [name, name === 'content' ? plainContent(value) : value])
  return canonicalJson(Object.fromEntries(entries))
}

/** JSON text with object members in code-unit order and no spacing; `undefined` members are left out. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const object = value as Readonly<Record<string, unknown>>
  const members = Object.keys(object)
    .filter(name => object[name] !== undefined)
    .sort()
    .map(name => `${JSON.stringify(name)}:${canonicalJson(object[name])}`)
  return `{${members.join(',')}}`
}

function isBlank(value: unknown): boolean {
  return value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

function plainContent(content: unknown): unknown {
  if (!Array.isArray(content) || content.length !== 1) return content
  const part = content[0] as Readonly<Record<string, unknown>> | null
  const isPlain =
    part?.['type'] === 'text' && typeof part['text'] === 'string' && Object.keys(part).length === 2
  return isPlain ? part['text'] : content
}
