import { expect, test } from 'vitest'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { chatMessage, chatParameters, writeChatRequest } from '../../src/model/responses/chat-body.ts'
import { chatMessages } from '../../src/model/responses/chat-messages.ts'
import { ResponseFromChat } from '../../src/model/responses/from-chat.ts'
import { historyItems } from '../../src/model/responses/history-items.ts'
import { readInput } from '../../src/model/responses/input-items.ts'
import { parseResponseRequest } from '../../src/model/responses/request.ts'
import { responseInProgress } from '../../src/model/responses/response.ts'
import { estimateTokens } from '../../src/model/responses/token-estimate.ts'
import { openapiIsThere, validateOpenAI } from '../harness/openapi.ts'

const id = 'resp_01h455vb4pex5vsknk084sn02q'

const refuse = (param: string, what: string): never => {
  throw new Error(`${param}: ${what}`)
}

const request = (fields: object) =>
  parseResponseRequest(JSON.stringify({ model: 'm', input: 'x', ...fields }))

const translated = (fields: object): unknown => chatParameters(request(fields), refuse)

const schema = { type: 'object', properties: {}, additionalProperties: false }

test.each<[string, object, object]>([
  ['nothing but what is needed', {}, {}],
  ['sampling', { temperature: 0, top_p: 0.5 }, { temperature: 0, top_p: 0.5 }],
  ['the most tokens', { max_output_tokens: 20 }, { max_completion_tokens: 20 }],
  ['effort, not the summary', { reasoning: { effort: 'low', summary: 'auto' } }, { reasoning_effort: 'low' }],
  ['verbosity', { text: { verbosity: 'high' } }, { verbosity: 'high' }],
  ['plain text', { text: { format: { type: 'text' } } }, {}],
  ['any JSON', { text: { format: { type: 'json_object' } } }, { response_format: { type: 'json_object' } }],
  [
    'JSON of a schema',
    { text: { format: { type: 'json_schema', name: 'n', description: 'd', strict: true, schema } } },
    {
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'n', description: 'd', schema, strict: true },
      },
    },
  ],
  [
    'functions',
    { tools: [{ type: 'function', name: 'f', parameters: schema }], parallel_tool_calls: false },
    {
      tools: [{ type: 'function', function: { name: 'f', parameters: schema } }],
      parallel_tool_calls: false,
    },
  ],
  [
    'custom tools',
    {
      tools: [
        { type: 'custom', name: 'c' },
        { type: 'custom', name: 'g', format: { type: 'grammar', syntax: 'regex', definition: 'a+' } },
      ],
    },
    {
      tools: [
        { type: 'custom', custom: { name: 'c' } },
        {
          type: 'custom',
          custom: { name: 'g', format: { type: 'grammar', grammar: { syntax: 'regex', definition: 'a+' } } },
        },
      ],
    },
  ],
  ['a mode of choice', { tool_choice: 'required' }, { tool_choice: 'required' }],
  [
    'one function',
    { tool_choice: { type: 'function', name: 'f' } },
    { tool_choice: { type: 'function', function: { name: 'f' } } },
  ],
  [
    'allowed tools',
    { tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] } },
    {
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'f' } }] },
      },
    },
  ],
  ['probabilities', { top_logprobs: 2 }, { logprobs: true, top_logprobs: 2 }],
  [
    'whose it is',
    { user: 'u', safety_identifier: 's', prompt_cache_key: 'p', service_tier: 'flex' },
    { user: 'u', safety_identifier: 's', prompt_cache_key: 'p', service_tier: 'flex' },
  ],
  [
    "what is Stele's own",
    { store: true, metadata: { a: 'b' }, truncation: 'auto', include: [], max_tool_calls: 2 },
    {},
  ],
  ['what only the provider knows', { top_k: 5, seed: 1 }, { top_k: 5, seed: 1 }],
  ['nothing that contradicts it', { messages: [], n: 3, max_tokens: 1, response_format: {} }, {}],
  ['nulls as if they were not there', { temperature: null, tools: null, text: null, metadata: null }, {}],
])('of the parameters, %s', (_, given, expected) => {
  expect(translated(given)).toEqual(expected)
})

test.each<[string, object, string]>([
  ['a built-in tool', { tools: [{ type: 'web_search' }] }, "tools[0].type: the built-in tool 'web_search'"],
  [
    'its choice',
    { tool_choice: { type: 'file_search' } },
    "tool_choice.type: the built-in tool 'file_search'",
  ],
  ['a stored prompt', { prompt: { id: 'pmpt_1' } }, 'prompt: a prompt template'],
])('%s is not for chat completions', (_, given, expected) => {
  expect(() => translated(given)).toThrow(expected)
})

const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'low' }

test.each<[string, object[], object[]]>([
  ['a text', [{ role: 'user', content: 'Hi' }], [{ role: 'user', content: 'Hi' }]],
  [
    'parts',
    [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'See' },
          image,
          { type: 'input_file', filename: 'a.pdf', file_data: 'AA==' },
        ],
      },
    ],
    [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'See' },
          { type: 'image_url', image_url: { url: image.image_url, detail: 'low' } },
          { type: 'file', file: { filename: 'a.pdf', file_data: 'AA==' } },
        ],
      },
    ],
  ],
  ['a developer', [{ role: 'developer', content: 'Rule' }], [{ role: 'developer', content: 'Rule' }]],
  [
    'a reply and the calls after it as one message',
    [
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Let me see.' }] },
      { type: 'reasoning', id: 'rs_1', summary: [] },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'custom_tool_call', call_id: 'b', name: 'g', input: 'x' },
      { type: 'function_call_output', call_id: 'a', output: [{ type: 'input_text', text: '1' }] },
      { type: 'custom_tool_call_output', call_id: 'b', output: '2' },
    ],
    [
      {
        role: 'assistant',
        content: 'Let me see.',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } },
          { id: 'b', type: 'custom', custom: { name: 'g', input: 'x' } },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: '1' },
      { role: 'tool', tool_call_id: 'b', content: '2' },
    ],
  ],
  [
    'a refusal',
    [{ role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] }],
    [{ role: 'assistant', content: null, refusal: 'No.' }],
  ],
])('of the input, %s', (_, items, expected) => {
  const read = readInput(items as never, id)
  expect(chatMessages(read, refuse)).toEqual(expected)
  const resources = read.filter(item => item.type !== 'reasoning')
  if (openapiIsThere)
    expect(
      validateOpenAI('ResponseItemList', {
        object: 'list',
        data: resources,
        has_more: false,
        first_id: '',
        last_id: '',
      }),
    ).toEqual([])
})

test('what the history says as items, says the same as messages', () => {
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'See' },
        { type: 'image_url', image_url: { url: 'https://a/b', detail: 'low' } },
      ],
    },
    {
      role: 'assistant',
      content: 'Let me see.',
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: 'a', content: '1' },
    { role: 'user', content: 'And?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'b', type: 'custom', custom: { name: 'g', input: 'x' } }],
    },
    { role: 'tool', tool_call_id: 'b', content: '2' },
  ]
  const types = historyItems(messages).map(({ type }) => type)
  expect(types.slice(-2)).toEqual(['custom_tool_call', 'custom_tool_call_output'])
  expect(chatMessages(readInput(historyItems(messages), id), refuse)).toEqual(messages)
})

test.each<[string, object, string]>([
  [
    'an item of a tool',
    { type: 'web_search_call', id: 'ws' },
    "input[0]: an input item of type 'web_search_call'",
  ],
  [
    'an image by its id',
    { role: 'user', content: [{ type: 'input_image', file_id: 'f' }] },
    'input[0].content[0].file_id',
  ],
  [
    'a file by its URL',
    { role: 'user', content: [{ type: 'input_file', file_url: 'https://a' }] },
    'input[0].content[0].file_url',
  ],
  [
    'an image as output of a tool',
    { type: 'function_call_output', call_id: 'a', output: [image] },
    'input[0].output[0]',
  ],
])('%s is not for chat completions', (_, item, expected) => {
  expect(() => chatMessages(readInput([item as never], id), refuse)).toThrow(expected)
})

test('the written request is read as it is meant, its instructions no part of the conversation', () => {
  const messages = [
    { role: 'user', content: 'ä "x"' },
    { role: 'assistant', content: '😀' },
  ].map(chatMessage)
  const written = writeChatRequest({
    model: 'm"1',
    instructions: 'Be [brief], {please}.',
    messages,
    parameters: { top_p: 1 },
    stream: true,
    asksUsage: true,
    user: undefined,
    keepsContent: true,
  })
  const read = parseChatRequest(written.text)
  expect(read.messages.slice(1)).toEqual(messages)
  expect(read.messages[0]?.value).toEqual({ role: 'system', content: 'Be [brief], {please}.' })
  expect(read.messageSpans.slice(1)).toEqual(written.messageSpans)
  expect(read).toMatchObject({ model: 'm"1', stream: true, includeUsage: true })
})

test('pieces of several calls that come in turns are told apart, and the same pieces give the same events', () => {
  const begun = responseInProgress(id, request({}), 0)
  const call = (index: number, fields: object) => ({
    choices: [{ index: 0, delta: { tool_calls: [{ index, ...fields }] } }],
  })
  const chunks = [
    call(0, { id: 'a', function: { arguments: '{' } }),
    call(1, { id: 'b', type: 'custom', custom: { name: 'g', input: 'x' } }),
    call(0, { function: { name: 'f', arguments: '' } }),
    call(1, { custom: { input: 'y' } }),
    call(0, { function: { arguments: '}' } }),
    { choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] },
  ]
  const play = () => {
    const made = new ResponseFromChat(begun, { showsLogprobs: false })
    const events = chunks.map(chunk => made.add(chunk)).join('')
    const response = made.response(0)
    return { events: events + made.ending(response), output: response.output, message: made.reply().message }
  }
  const { events, output, message } = play()
  expect(message?.tool_calls).toMatchObject([
    { id: 'a', function: { name: 'f', arguments: '{}' } },
    { id: 'b', custom: { name: 'g', input: 'xy' } },
  ])
  expect(output).toMatchObject([
    { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
    { type: 'custom_tool_call', call_id: 'b', name: 'g', input: 'xy' },
  ])
  expect(play().events).toBe(events)
  const told = events.split('\n\n').flatMap(event =>
    event === ''
      ? []
      : [
          JSON.parse(event.split('\ndata: ')[1] ?? '') as {
            type: string
            delta?: string
            output_index?: number
          },
        ],
  )
  const deltas = (type: string): string =>
    told
      .filter(event => event.type === type)
      .map(({ delta }) => delta)
      .join('')
  expect(deltas('response.function_call_arguments.delta')).toBe('{}')
  expect(deltas('response.custom_tool_call_input.delta')).toBe('xy')
  if (openapiIsThere)
    for (const event of told) expect(validateOpenAI('ResponseStreamEvent', event), event.type).toEqual([])
})

test('tokens are estimated by what a text is made of', () => {
  const one = (content: unknown): number => estimateTokens([{ role: 'user', content }], [])
  expect(one('')).toBe(4)
  expect(one('x'.repeat(400))).toBe(104)
  expect(one('漢字')).toBe(6)
  expect(one([{ type: 'text', text: 'x'.repeat(400) }])).toBe(104)
  expect(one([{ type: 'image_url', image_url: { url: 'x'.repeat(100_000) } }])).toBe(769)
  expect(estimateTokens([], [{ type: 'function', name: 'weather' }])).toBeGreaterThan(2)
})
