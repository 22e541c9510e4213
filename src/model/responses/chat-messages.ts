import { isFields } from '../reply.ts'
import type { Item } from './input-items.ts'

type Fields = Readonly<Record<string, unknown>>

/** A message of a chat-completions request. */
export type ChatMessageFields = Fields & { readonly role: string }

/**
 * Told what of a request chat completions have no place for; it may raise. What it lets pass is left out.
 * @param what in words, to follow "cannot hold"
 */
export type Refuse = (param: string, what: string) => void

/**
 * A request's input as chat messages. A message of the assistant's and the calls that follow it are one message there,
 * so what a model replied comes out as it was recorded when it replied.
 */
export function chatMessages(items: readonly Item[], refuse: Refuse): ChatMessageFields[] {
  const messages: ChatMessageFields[] = []
  for (const [index, item] of items.entries()) {
    const path = `input[${index}]`
    const call = toolCall(item)
    if (call !== undefined) {
      const last = messages.at(-1)
      const calls = last?.['tool_calls']
      if (last?.role === 'assistant')
        messages[messages.length - 1] = {
          ...last,
          tool_calls: [...(Array.isArray(calls) ? calls : []), call],
        }
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] })
      continue
    }
    const message = otherMessage(item, path, refuse)
    if (message !== undefined) messages.push(message)
  }
  return messages
}

function toolCall(item: Item): Fields | undefined {
  const { call_id: id, name } = item
  if (item.type === 'function_call')
    return { id, type: 'function', function: { name, arguments: item['arguments'] } }
  if (item.type === 'custom_tool_call') return { id, type: 'custom', custom: { name, input: item['input'] } }
  return undefined
}

function otherMessage(item: Item, path: string, refuse: Refuse): ChatMessageFields | undefined {
  switch (item.type) {
    case 'message':
      return item['role'] === 'assistant'
        ? assistantMessage(parts(item['content']))
        : {
            role: String(item['role']),
            content: content(parts(item['content']), `${path}.content`, refuse),
          }
    case 'function_call_output':
    case 'custom_tool_call_output':
      return {
        role: 'tool',
        tool_call_id: item['call_id'],
        content: toolContent(item['output'], `${path}.output`, refuse),
      }
    // What a model thought is its own: a model that cannot be told of it thinks anew.
    case 'reasoning':
      return undefined
    default:
      refuse(path, `an input item of type '${item.type}'`)
      return undefined
  }
}

function assistantMessage(given: readonly Fields[]): ChatMessageFields {
  const texts = given
    .filter(part => part['type'] === 'output_text')
    .map(part => ({ type: 'text', text: part['text'] }))
  const refusals = given.filter(part => part['type'] === 'refusal').map(part => String(part['refusal']))
  return {
    role: 'assistant',
    content: texts.length === 0 ? null : texts.length === 1 ? texts[0]?.text : texts,
    ...(refusals.length === 0 ? {} : { refusal: refusals.join('\n') }),
  }
}

/** A lone text is written as such: every service knows that, not every one knows parts. */
function content(given: readonly Fields[], path: string, refuse: Refuse): unknown {
  const written = given.flatMap((part, index) => chatPart(part, `${path}[${index}]`, refuse))
  const [only] = written
  return written.length === 1 && only?.['type'] === 'text' ? only['text'] : written
}

function toolContent(output: unknown, path: string, refuse: Refuse): unknown {
  if (typeof output === 'string') return output
  const texts = parts(output).flatMap((part, index) => {
    if (part['type'] === 'input_text' || part['type'] === 'output_text' || part['type'] === 'text')
      return [{ type: 'text', text: part['text'] }]
    refuse(`${path}[${index}]`, `a part of type '${String(part['type'])}' in the output of a tool`)
    return []
  })
  return texts.length === 1 ? texts[0]?.text : texts
}

function chatPart(part: Fields, path: string, refuse: Refuse): Fields[] {
  switch (part['type']) {
    case 'input_image': {
      if (typeof part['image_url'] === 'string')
        return [{ type: 'image_url', image_url: { url: part['image_url'], ...detailOf(part) } }]
      refuse(`${path}.file_id`, 'an image by its file_id; send it as image_url')
      return []
    }
    case 'input_file': {
      const file = Object.fromEntries(
        ['filename', 'file_data', 'file_id'].flatMap(name =>
          typeof part[name] === 'string' ? [[name, part[name]]] : [],
        ),
      )
      if (typeof part['file_url'] === 'string')
        refuse(`${path}.file_url`, 'a file by its URL; send it as file_data')
      return [{ type: 'file', file }]
    }
    case 'input_text':
    case 'output_text':
      return [{ type: 'text', text: part['text'] }]
    default:
      refuse(path, `a part of type '${String(part['type'])}' in a message of this role`)
      return []
  }
}

/** Chat completions know fewer degrees of detail. */
function detailOf({ detail }: Fields): { detail?: string } {
  return detail === 'low' || detail === 'high' ? { detail } : {}
}

function parts(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : []
}
