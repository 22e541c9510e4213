import { isFields } from '../reply.ts'
import { itemId } from './item-ids.ts'
import { invalid } from './request.ts'

/** An item of a request's input or of a response's output: JSON with a `type`. */
export type Item = Readonly<Record<string, unknown>> & { readonly type: string; readonly id?: unknown }

type Fields = Readonly<Record<string, unknown>>

const roles: ReadonlySet<unknown> = new Set(['user', 'assistant', 'system', 'developer'])

/** What must be given of each item that Stele reads; of any other its type is all that it looks at. */
const required: Readonly<Record<string, readonly string[]>> = {
  function_call: ['call_id', 'name', 'arguments'],
  custom_tool_call: ['call_id', 'name', 'input'],
  function_call_output: ['call_id'],
  custom_tool_call_output: ['call_id'],
}

/** Of which part which member must be a text. */
const partTexts: Readonly<Record<string, string>> = {
  input_text: 'text',
  output_text: 'text',
  text: 'text',
  refusal: 'refusal',
}

const fileSources = ['file_data', 'file_id', 'file_url']

/**
 * A request's input as the items that OpenAI lists it as: each with an id, messages with a list of parts.
 * @throws SteleError invalid_value, missing_required_parameter
 */
export function readInput(input: string | readonly Fields[] | null | undefined, responseId: string): Item[] {
  if (input == null) return []
  const given = typeof input === 'string' ? [{ role: 'user', content: input }] : input
  return given.map((item, index) => readItem(item, `input[${index}]`, itemId(responseId, 'input', index)))
}

function readItem(given: Fields, path: string, newId: (prefix: string) => string): Item {
  const type = given['type'] ?? (given['role'] === undefined ? 'item_reference' : 'message')
  if (typeof type !== 'string') throw invalid(`${path}.type`, 'it must be a text')
  if (type === 'item_reference')
    throw invalid(`${path}.type`, 'items cannot be named by their ids (item_reference); send the item itself')
  if (type === 'message') return readMessage(given, path, newId)
  for (const name of required[type] ?? [])
    if (typeof given[name] !== 'string') throw invalid(`${path}.${name}`, 'it must be a text')
  if (type === 'function_call_output' || type === 'custom_tool_call_output')
    checkParts(given['output'], `${path}.output`)
  const id = givenId(given) ?? newId(itemPrefix(type))
  return { ...given, type, id, ...(type === 'reasoning' ? {} : { status: given['status'] ?? 'completed' }) }
}

function readMessage(given: Fields, path: string, newId: (prefix: string) => string): Item {
  const { role } = given
  if (!roles.has(role)) throw invalid(`${path}.role`, 'it must be user, assistant, system or developer')
  const content = given['content']
  checkParts(content, `${path}.content`)
  const isReply = role === 'assistant'
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : (content as Fields[])
  return {
    ...given,
    type: 'message',
    id: givenId(given) ?? newId('msg'),
    status: given['status'] ?? 'completed',
    content: parts.map(part => (isReply ? outputPart(part) : inputPart(part))),
  }
}

function inputPart(part: Fields): Fields {
  if (part['type'] === 'text') return { ...part, type: 'input_text' }
  return part['type'] === 'input_image' ? { ...part, detail: part['detail'] ?? 'auto' } : part
}

function outputPart(part: Fields): Fields {
  if (part['type'] === 'refusal') return part
  return {
    ...part,
    type: 'output_text',
    annotations: part['annotations'] ?? [],
    logprobs: part['logprobs'] ?? [],
  }
}

function checkParts(content: unknown, path: string): void {
  if (typeof content === 'string') return
  if (!Array.isArray(content)) throw invalid(path, 'it must be a text or a list of parts')
  for (const [index, part] of content.entries()) {
    const at = `${path}[${index}]`
    if (!isFields(part)) throw invalid(at, 'it must be an object')
    const type = part['type']
    if (typeof type !== 'string') throw invalid(`${at}.type`, 'it must be a text')
    const member = partTexts[type]
    if (member !== undefined && typeof part[member] !== 'string')
      throw invalid(`${at}.${member}`, 'it must be a text')
    if (
      type === 'input_image' &&
      typeof part['image_url'] !== 'string' &&
      typeof part['file_id'] !== 'string'
    )
      throw invalid(at, 'an image needs image_url or file_id')
    if (type === 'input_file' && !fileSources.some(name => typeof part[name] === 'string'))
      throw invalid(at, 'a file needs file_data, file_id or file_url')
    if (member === undefined && type !== 'input_image' && type !== 'input_file')
      throw invalid(`${at}.type`, `'${type}' is no part of a message`)
  }
}

function givenId({ id }: Fields): string | undefined {
  return typeof id === 'string' && id !== '' ? id : undefined
}

/** What ids of items begin with, as OpenAI makes them. */
export function itemPrefix(type: string): string {
  switch (type) {
    case 'function_call':
      return 'fc'
    case 'function_call_output':
      return 'fco'
    case 'custom_tool_call':
      return 'ctc'
    case 'custom_tool_call_output':
      return 'ctco'
    case 'reasoning':
      return 'rs'
    default:
      return 'item'
  }
}
