import { expect, test } from 'vitest'
import { chatParameters } from '../../src/model/responses/chat-body.ts'
import { readInput } from '../../src/model/responses/input-items.ts'
import { parseResponseRequest } from '../../src/model/responses/request.ts'
import { failure } from '../harness/errors.ts'

const id = 'resp_01h455vb4pex5vsknk084sn02q'

const request = (fields: object) =>
  parseResponseRequest(JSON.stringify({ model: 'm', input: 'x', ...fields }))

const translated = (fields: object): unknown => chatParameters(request(fields), () => undefined)

const badInputs: [string, unknown, string][] = [
  ['a reference', [{ type: 'item_reference', id: 'msg_1' }], 'input[0].type'],
  ['a reference without its type', [{ id: 'msg_1' }], 'input[0].type'],
  ['a type that is none', [{ type: 5 }], 'input[0].type'],
  ['an unknown role', [{ role: 'tool', content: 'x' }], 'input[0].role'],
  ['no content', [{ role: 'user' }], 'input[0].content'],
  ['content that is none', [{ role: 'user', content: 5 }], 'input[0].content'],
  ['a part that is none', [{ role: 'user', content: ['x'] }], 'input[0].content[0]'],
  ['a part without a type', [{ role: 'user', content: [{}] }], 'input[0].content[0].type'],
  ['an unknown part', [{ role: 'user', content: [{ type: 'smell' }] }], 'input[0].content[0].type'],
  ['a text without text', [{ role: 'user', content: [{ type: 'input_text' }] }], 'input[0].content[0].text'],
  ['an image from nowhere', [{ role: 'user', content: [{ type: 'input_image' }] }], 'input[0].content[0]'],
  ['a file from nowhere', [{ role: 'user', content: [{ type: 'input_file' }] }], 'input[0].content[0]'],
  [
    'a call of nothing',
    ['x', { type: 'function_call', call_id: 'a', arguments: '' }].slice(1),
    'input[0].name',
  ],
  ['an output of no call', [{ type: 'function_call_output', output: 'x' }], 'input[0].call_id'],
  ['no output', [{ type: 'function_call_output', call_id: 'a' }], 'input[0].output'],
]

test.each(badInputs)('an input of %s is refused', async (_, input, param) => {
  const error = await failure('invalid_value', () => readInput(input as never, id))
  expect(error.param).toBe(param)
})

const badFields: [object, string][] = [
  [{ model: 5 }, 'model'],
  [{ model: '' }, 'model'],
  [{ input: 5 }, 'input'],
  [{ input: [5] }, 'input'],
  [{ instructions: 5 }, 'instructions'],
  [{ previous_response_id: 5 }, 'previous_response_id'],
  [{ conversation: 5 }, 'conversation'],
  [{ conversation: {} }, 'conversation'],
  [{ stream: 'yes' }, 'stream'],
  [{ store: 1 }, 'store'],
  [{ background: 'no' }, 'background'],
  [{ metadata: { a: 5 } }, 'metadata.a'],
  [{ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, ''])) }, 'metadata'],
  [{ metadata: { a: 'x'.repeat(513) } }, 'metadata.a'],
  [{ include: 'x' }, 'include'],
  [{ temperature: 3 }, 'temperature'],
  [{ top_p: -1 }, 'top_p'],
  [{ top_logprobs: 21 }, 'top_logprobs'],
  [{ max_output_tokens: 0 }, 'max_output_tokens'],
  [{ max_output_tokens: 1.5 }, 'max_output_tokens'],
  [{ max_tool_calls: 0 }, 'max_tool_calls'],
  [{ service_tier: 'gold' }, 'service_tier'],
  [{ user: 5 }, 'user'],
  [{ safety_identifier: 'x'.repeat(65) }, 'safety_identifier'],
  [{ prompt_cache_key: 5 }, 'prompt_cache_key'],
  [{ stream_options: 5 }, 'stream_options'],
  [{ tools: {} }, 'tools'],
  [{ tools: [{}] }, 'tools[0].type'],
  [{ tool_choice: 'maybe' }, 'tool_choice'],
  [{ parallel_tool_calls: 1 }, 'parallel_tool_calls'],
  [{ text: { format: { type: 'xml' } } }, 'text.format.type'],
  [{ text: { format: { type: 'json_schema', schema: {} } } }, 'text.format.name'],
  [{ text: { format: { type: 'json_schema', name: 'a b', schema: {} } } }, 'text.format.name'],
  [{ text: { format: { type: 'json_schema', name: 'a' } } }, 'text.format.schema'],
  [{ text: { verbosity: 'loud' } }, 'text.verbosity'],
  [{ reasoning: { effort: 'more' } }, 'reasoning.effort'],
  [{ truncation: 'some' }, 'truncation'],
]

test.each(badFields)('%j is refused, naming the parameter', async (fields, param) => {
  const thrown = await Promise.resolve()
    .then(() => request(fields))
    .catch(error => error)
  expect(thrown).toMatchObject({ status: 400, param })
})

const badTools: [object, string][] = [
  [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
  [{ tools: [{ type: 'function', name: 'f', parameters: 5 }] }, 'tools[0].parameters'],
  [{ tools: [{ type: 'function', name: 'f', strict: 'x' }] }, 'tools[0].strict'],
  [{ tools: [{ type: 'custom', name: 'f', format: 5 }] }, 'tools[0].format'],
  [{ tool_choice: { type: 'function' } }, 'tool_choice.name'],
  [{ tool_choice: { type: 'allowed_tools', tools: [] } }, 'tool_choice.mode'],
  [{ tool_choice: { type: 'allowed_tools', mode: 'auto' } }, 'tool_choice.tools'],
]

test.each(badTools)('%j is refused, naming the parameter', async (fields, param) => {
  const error = await failure('invalid_value', () => translated(fields))
  expect(error.param).toBe(param)
})

test('a parameter named twice is refused', async () => {
  await failure('duplicate_member', () => parseResponseRequest('{"model":"m","input":"x","input":"y"}'))
})
