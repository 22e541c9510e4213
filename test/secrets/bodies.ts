import { type Speaker, well } from './speaker.ts'

/** Bodies in which everything that a client can say something in does. */

type Fields = Record<string, unknown>

const object = (s: Speaker, where: string): Fields => ({
  [s.text(`${where}, as a name`)]: s.text(where),
  list: [s.text(where)],
})

/** At most 16 pairs with keys of 64 characters and values of 512. */
export const metadataOf = (s: Speaker, where: string): Record<string, string> => ({
  [s.word(`a key of the metadata of ${where}`)]: 'kept',
  kept: s.text(`the metadata of ${where}`),
})

const toolOf = (s: Speaker, where: string): Fields => ({
  name: s.word(`the name of a tool of ${where}`),
  description: s.text(`the description of a tool of ${where}`),
  parameters: { type: 'object', properties: object(s, `the parameters of a tool of ${where}`) },
})

/** A chat of several turns, with everything that OpenAI's API knows and something that it does not. */
export function chat(
  s: Speaker,
  where: string,
  { manner = well, ...more }: Fields & { manner?: string } = {},
): Fields {
  const callId = s.word(`the id of a tool call of ${where}`)
  return {
    model: s.model(manner),
    messages: [
      {
        role: 'system',
        content: s.text(`the system message of ${where}`),
        name: s.word(`a name of ${where}`),
      },
      { role: 'developer', content: s.long(`the developer message of ${where}`) },
      {
        role: 'user',
        name: s.word(`the name of a user of ${where}`),
        content: [
          { type: 'text', text: s.text(`a part of ${where}`) },
          {
            type: 'image_url',
            image_url: { url: `data:image/png;base64,${base64(s, `an image of ${where}`)}` },
          },
          { type: 'input_audio', input_audio: { data: base64(s, `a sound of ${where}`), format: 'wav' } },
          {
            type: 'file',
            file: { filename: s.word(`a file of ${where}`), file_data: s.long(`a file of ${where}`) },
          },
        ],
      },
      {
        role: 'assistant',
        content: null,
        refusal: s.text(`a refusal in ${where}`),
        tool_calls: [
          {
            id: callId,
            type: 'function',
            function: {
              name: s.word(`a called tool of ${where}`),
              arguments: JSON.stringify(object(s, `the arguments of ${where}`)),
            },
          },
        ],
      },
      { role: 'tool', tool_call_id: callId, content: s.long(`the result of a tool of ${where}`) },
      {
        role: s.label(`a role of ${where}`),
        content: s.text(`a message of an odd role of ${where}`),
        [s.word(`an odd member of ${where}`)]: 1,
      },
      { role: 'user', content: s.text(`the question of ${where}`) },
    ],
    tools: [{ type: 'function', function: toolOf(s, where) }],
    tool_choice: { type: 'function', function: { name: s.word(`the tool of choice of ${where}`) } },
    functions: [toolOf(s, `${where}, as a function`)],
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'note', schema: object(s, `the schema of ${where}`) },
    },
    stop: [s.text(`a stop of ${where}`)],
    logit_bias: { [s.text(`a bias of ${where}`)]: 1 },
    prediction: { type: 'content', content: s.long(`the prediction of ${where}`) },
    prompt_cache_key: s.text(`the cache key of ${where}`),
    safety_identifier: s.text(`the safety identifier of ${where}`),
    service_tier: s.text(`the tier of ${where}`),
    metadata: metadataOf(s, where),
    [s.text(`an unknown parameter of ${where}`)]: object(s, `an unknown parameter of ${where}`),
    ...more,
  }
}

/** The same to two models, the second of which does well. */
export function comparison(s: Speaker, where: string, more: Parameters<typeof chat>[2] = {}): Fields {
  const { model, ...rest } = chat(s, where, more)
  return { ...rest, models: [model, s.model(well)] }
}

/** The same for what a response is made of. */
export function response(
  s: Speaker,
  where: string,
  { manner = well, ...more }: Fields & { manner?: string } = {},
): Fields {
  return {
    model: s.model(manner),
    instructions: s.long(`the instructions of ${where}`),
    input: [
      { role: 'developer', content: s.text(`a developer's words of ${where}`) },
      { role: 'user', content: [{ type: 'input_text', text: s.text(`the input of ${where}`) }] },
      {
        type: 'function_call',
        call_id: s.word(`a call of ${where}`),
        name: 'note',
        arguments: JSON.stringify(object(s, where)),
      },
      {
        type: 'function_call_output',
        call_id: s.word(`a call of ${where}`),
        output: s.long(`an output of ${where}`),
      },
    ],
    tools: [{ type: 'function', ...toolOf(s, where), strict: false }],
    text: { format: { type: 'json_schema', name: 'note', schema: object(s, `the schema of ${where}`) } },
    metadata: metadataOf(s, where),
    prompt_cache_key: s.text(`the cache key of ${where}`),
    safety_identifier: s.word(`the safety identifier of ${where}`),
    ...more,
  }
}

/** What a conversation is given. */
export function items(s: Speaker, where: string): Fields[] {
  return [
    { role: 'user', content: s.text(`an item of ${where}`) },
    {
      type: 'message',
      role: 'assistant',
      content: [{ type: 'output_text', text: s.long(`a reply of ${where}`), annotations: [] }],
    },
    {
      type: 'reasoning',
      summary: [{ type: 'summary_text', text: s.text(`the reasoning of ${where}`) }],
      encrypted_content: s.text(`hidden reasoning of ${where}`),
    },
    {
      type: 'function_call',
      call_id: s.word(`a call of ${where}`),
      name: s.word(`a tool of ${where}`),
      arguments: s.text(`the arguments of ${where}`),
    },
    {
      type: 'function_call_output',
      call_id: s.word(`an answered call of ${where}`),
      output: s.text(`an output of ${where}`),
    },
    {
      type: 'note',
      id: `item_${s.word(`the id of an item of ${where}`)}`,
      [s.word(`an odd member of ${where}`)]: s.text(`an odd item of ${where}`),
    },
  ]
}

function base64(s: Speaker, where: string): string {
  return Buffer.from(s.text(where)).toString('base64')
}

/** Bodies that every route refuses that takes one, with what they are. */
export function unusable(s: Speaker, bodyLimit: number): Record<string, string | Buffer> {
  const text = (where: string): string => JSON.stringify(s.text(`a body that ${where}`))
  return {
    'is cut short': `{"model":"m","messages":[{"role":"user","content":${text('is cut short')}`,
    'is no JSON': s.text('a body that is no JSON'),
    'is a list': `[${text('is a list')}]`,
    'is no UTF-8': Buffer.concat([Buffer.from(`{"model":${text('is no UTF-8')}`), Buffer.of(0xff, 0xfe)]),
    'is nested too deep': `{"model":${text('is nested too deep')},"messages":${'['.repeat(300)}${']'.repeat(300)}}`,
    'has a duplicate': `{"model":${text('has a duplicate')},"model":"m","metadata":null,"metadata":{},"items":[],"items":[],"messages":[{"role":"user","content":"x"}],"input":"x","user_text":"x"}`,
    'has wrong types': JSON.stringify(
      Object.fromEntries(
        [
          'model',
          'messages',
          'input',
          'metadata',
          'items',
          'stream',
          'user_text',
          'session_id',
          'user',
          'store',
          'tools',
          'prompt',
          'conversation',
        ].map(name => [name, { note: s.text(`${name} of the wrong type`) }]),
      ),
    ),
    'says too much': `{"model":"m","note":${JSON.stringify(s.text('a body that says too much')).padEnd(bodyLimit + 10)}}`,
    'has half a surrogate pair': `{"model":"m","messages":[{"role":"user","content":"\\ud800 ${s.word('half a pair')}"}],"input":"\\ud800","metadata":{"a":"\\ud800"}}`,
  }
}
