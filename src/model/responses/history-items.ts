import { isFields } from '../reply.ts'

type Fields = Readonly<Record<string, unknown>>

/** Chat messages as the input items of a request to create a response: the inverse of `chatMessages`. */
export function historyItems(messages: readonly Fields[]): Fields[] {
  const customCalls = new Set<unknown>()
  return messages.flatMap(message => {
    switch (message['role']) {
      case 'assistant': {
        const items = assistantItems(message)
        for (const { type, call_id } of items) if (type === 'custom_tool_call') customCalls.add(call_id)
        return items
      }
      case 'tool': {
        const call_id = message['tool_call_id']
        const type = customCalls.has(call_id) ? 'custom_tool_call_output' : 'function_call_output'
        return [{ type, call_id, output: toolOutput(message) }]
      }
      default:
        return [{ type: 'message', role: message['role'], content: inputContent(message['content']) }]
    }
  })
}

/** A reply is told as a plain text: as parts it would need the id under which its provider keeps it, which this one has not. */
function assistantItems({ content, refusal, tool_calls: calls }: Fields): Fields[] {
  const texts =
    typeof content === 'string'
      ? [content]
      : parts(content).flatMap(part => (typeof part['text'] === 'string' ? [part['text']] : []))
  const said = [...texts, ...(typeof refusal === 'string' ? [refusal] : [])].join('')
  const called = parts(calls).flatMap((call): Fields[] => {
    const { id: call_id, function: fn, custom } = call
    if (isFields(fn))
      return [{ type: 'function_call', call_id, name: fn['name'], arguments: fn['arguments'] }]
    if (isFields(custom))
      return [{ type: 'custom_tool_call', call_id, name: custom['name'], input: custom['input'] }]
    return []
  })
  return [...(said === '' ? [] : [{ type: 'message', role: 'assistant', content: said }]), ...called]
}

function toolOutput({ content }: Fields): unknown {
  return typeof content === 'string' ? content : inputContent(content)
}

function inputContent(content: unknown): unknown {
  if (!Array.isArray(content)) return content ?? ''
  return parts(content).map(part => {
    if (part['type'] === 'text') return { type: 'input_text', text: part['text'] }
    if (part['type'] === 'image_url' && isFields(part['image_url']))
      return {
        type: 'input_image',
        image_url: part['image_url']['url'],
        detail: part['image_url']['detail'] ?? 'auto',
      }
    if (part['type'] === 'file' && isFields(part['file'])) return { type: 'input_file', ...part['file'] }
    return part
  })
}

function parts(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : []
}
