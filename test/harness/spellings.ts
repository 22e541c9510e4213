/**
 * Ways in which real clients write the same request: each takes the messages of a history and gives the text of a
 * request. Assistant messages are those that a reply was recorded with.
 */

export type Spell = (messages: readonly Record<string, unknown>[]) => string

const request = (messages: readonly unknown[]): unknown => ({ model: 'test-model', messages })

/** Python's json.dumps: a space after commas and colons, everything beyond ASCII escaped. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value).map(
      ([name, member]) => `${pythonJson(name)}: ${pythonJson(member)}`,
    )
    return `{${members.join(', ')}}`
  }
  const text = JSON.stringify(value)
  return typeof value === 'string' ? text.replace(/[\u007f-\uffff]/g, unicodeEscape) : text
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function mapAssistant(
  messages: readonly Record<string, unknown>[],
  change: (message: Record<string, unknown>) => Record<string, unknown>,
): Record<string, unknown>[] {
  return messages.map(message => (message['role'] === 'assistant' ? change(message) : { ...message }))
}

/** A client that writes no two of its messages apart alike: no real one does, and what it sends is kept whole. */
export const unevenSpelling: Spell = messages =>
  `{"model":"test-model","messages":[${messages.map((message, index) => `${' '.repeat(index % 4)}${JSON.stringify(message)}`).join(',')}  ]}`

export const spellings: Record<string, Spell> = {
  'compact, assistant messages minimal': messages => JSON.stringify(request(messages)),
  'assistant messages resent whole': messages =>
    JSON.stringify(
      request(
        mapAssistant(messages, message => ({
          role: '',
          content: null,
          refusal: null,
          annotations: [],
          audio: null,
          function_call: null,
          tool_calls: null,
          ...message,
        })),
      ),
    ),
  "Python's spacing and escapes": messages => pythonJson(request(messages)),
  'pretty-printed': messages => JSON.stringify(request(messages), null, 2),
  'members in another order': messages =>
    JSON.stringify({
      messages: messages.map(message => Object.fromEntries(Object.entries(message).reverse())),
      model: 'test-model',
    }),
  'content as a lone text part': messages =>
    JSON.stringify(
      request(
        messages.map(message =>
          typeof message['content'] === 'string' && message['content'] !== ''
            ? { ...message, content: [{ type: 'text', text: message['content'] }] }
            : message,
        ),
      ),
    ),
  'tabs and line breaks everywhere': messages =>
    JSON.stringify(request(messages), null, '\t').replaceAll('\n', '\r\n \n'),
}
