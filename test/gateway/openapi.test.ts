import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { openapiIsThere, validateOpenAI } from '../harness/openapi.ts'
import { type Running, startGateway } from './running.ts'
import { type Answer, json, startUpstream, stream } from './upstream.ts'
import { answerEvents, done, event } from './wire.ts'

const usage = { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 }
const legacy = (text: string, finish: string | null) => ({
  id: 'cmpl-1',
  object: 'text_completion',
  created: 1_760_000_000,
  model: 'legacy',
  choices: [{ text, index: 0, logprobs: null, finish_reason: finish }],
})

/** What a provider answers that has every operation. */
const byPath: Record<string, { whole: Answer; stream?: Answer }> = {
  '/v1/chat/completions': { whole: json(completion('Hi')), stream: stream(answerEvents(['Hi'])) },
  '/v1/completions': {
    whole: json({ ...legacy('Hi', 'stop'), usage }),
    stream: stream([event(legacy('Hi', null)), event(legacy('', 'stop')), done]),
  },
  '/v1/embeddings': {
    whole: json({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: [1, 0] }],
      model: 'embed',
      usage: { prompt_tokens: 2, total_tokens: 2 },
    }),
  },
  '/v1/moderations': { whole: json({ id: 'modr-1', model: 'strict', results: [] }) },
}

const answerByPath: Answer = (reply, request) => {
  const answers = byPath[request.path]
  const isStream = (JSON.parse(request.text) as { stream?: boolean }).stream === true
  return ((isStream && answers?.stream) || answers?.whole || json({}, { status: 404 }))(reply, request)
}

const gateways: Record<string, () => Promise<Running>> = {
  echo: () => startGateway(),
  'a provider': async () => {
    const upstream = await startUpstream(answerByPath)
    upstream.models = json({
      object: 'list',
      data: [{ id: 'echo', object: 'model', created: 1, owned_by: 'them' }],
    })
    return startGateway({ upstream })
  },
}

const model = 'echo'
const messages = [{ role: 'user' as const, content: 'Two words' }]

async function collected<T>(events: Promise<AsyncIterable<T>>): Promise<T[]> {
  const all: T[] = []
  for await (const each of await events) all.push(each)
  expect(all.length).toBeGreaterThan(0)
  return all
}

/** OpenAI too sends null until the last chunk of a choice, which its description does not allow. */
function finished(chunk: OpenAI.Completion): object {
  return {
    ...chunk,
    choices: chunk.choices.map(choice => ({ ...choice, finish_reason: choice.finish_reason ?? 'stop' })),
  }
}

/** What every endpoint gives the official client, by the schema that it must fit. */
const endpoints: Record<string, (client: OpenAI) => Promise<[schema: string, value: unknown][]>> = {
  'GET /models': async client => [
    ['Model', await client.models.retrieve(model)],
    ...(await collected(client.models.list())).map((each): [string, unknown] => ['Model', each]),
  ],
  'POST /chat/completions': async client => [
    ['CreateChatCompletionResponse', await client.chat.completions.create({ model, messages })],
  ],
  'POST /chat/completions, streamed': async client => {
    const options = { stream: true, stream_options: { include_usage: true } } as const
    const chunks = await collected(client.chat.completions.create({ model, messages, ...options }))
    return chunks.map(each => ['CreateChatCompletionStreamResponse', each])
  },
  'GET, POST, DELETE /chat/completions/{id}': async client => {
    const { id } = await client.chat.completions.create({ model, messages, store: true })
    const { data } = await client.chat.completions.list()
    return [
      ...data.map((each): [string, unknown] => ['CreateChatCompletionResponse', each]),
      ['CreateChatCompletionResponse', await client.chat.completions.retrieve(id)],
      [
        'CreateChatCompletionResponse',
        await client.chat.completions.update(id, { metadata: { topic: 'words' } }),
      ],
      ['ChatCompletionDeleted', await client.chat.completions.delete(id)],
    ]
  },
  'GET /chat/completions/{id}/messages': async client => {
    const stored = { model, messages, store: true, stream: true } as const
    const [chunk] = await collected(client.chat.completions.create(stored))
    const listed = await collected(client.chat.completions.messages.list(chunk?.id ?? ''))
    // Its description knows no other role here than the assistant's; its own example is a user's message.
    return listed.map(each => ['ChatCompletionResponseMessage', { ...each, role: 'assistant' }])
  },
  'POST /embeddings': async client => [
    ['CreateEmbeddingResponse', await client.embeddings.create({ model, input: 'Two words' })],
    [
      'CreateEmbeddingResponse',
      await client.embeddings.create({ model, input: ['a'], encoding_format: 'float' }),
    ],
  ],
  'POST /moderations': async client => [
    ['CreateModerationResponse', await client.moderations.create({ input: 'Two words' })],
  ],
  'POST /completions': async client => [
    ['CreateCompletionResponse', await client.completions.create({ model, prompt: 'Two words' })],
  ],
  'POST /completions, streamed': async client => {
    const chunks = await collected(client.completions.create({ model, prompt: 'Two words', stream: true }))
    return chunks.map(each => ['CreateCompletionResponse', finished(each)])
  },
}

describe.skipIf(!openapiIsThere).each(Object.entries(gateways))(
  'through the official client, with %s behind, OpenAI’s own description fits',
  (_, start) => {
    test.each(Object.entries(endpoints))('%s', async (_name, ask) => {
      const values = await ask((await start()).client())
      for (const [schema, value] of values) expect(validateOpenAI(schema, value), schema).toEqual([])
    })
  },
)

test.skipIf(!openapiIsThere)('what is not as OpenAI describes it is found', () => {
  const incomplete = { id: 'x', object: 'chat.completion', created: 1, model: 'm' }
  expect(validateOpenAI('CreateChatCompletionResponse', incomplete)).toHaveLength(1)
})
