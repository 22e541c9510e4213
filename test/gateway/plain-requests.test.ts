import { describe, expect, test } from 'vitest'
import { openapiIsThere, validateOpenAI } from '../harness/openapi.ts'
import { rowsOf } from '../harness/rows.ts'
import { errorOf, onlyCall, type Running, recorded, startGateway } from './running.ts'
import { json, startUpstream, stream, whole } from './upstream.ts'
import { done, event, openAiError } from './wire.ts'

const post = (running: Running, path: string, body: string | object, headers: Record<string, string> = {}) =>
  running.send('POST', path, {
    headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

const embeddingReply = {
  object: 'list',
  data: [{ object: 'embedding', index: 0, embedding: [0.25, -0.5] }],
  model: 'embed-2026',
  usage: { prompt_tokens: 3, total_tokens: 3 },
}

/** A chunk or the whole of a legacy completion. */
const textCompletion = (text: string, finish: string | null, usage?: object) => ({
  id: 'cmpl-1',
  object: 'text_completion',
  created: 1_760_000_000,
  model: 'legacy-2026',
  choices: [{ text, index: 0, logprobs: null, finish_reason: finish }],
  ...(usage === undefined ? {} : { usage }),
})

async function collected<T>(events: AsyncIterable<T>): Promise<T[]> {
  const chunks: T[] = []
  for await (const chunk of events) chunks.push(chunk)
  return chunks
}

const usage = { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 }

describe('a provider that has the operation', () => {
  test('gets the request as it came, and what it answers is passed on and recorded byte for byte', async () => {
    const reply = `${JSON.stringify(embeddingReply, null, 1)}\n`
    const upstream = await startUpstream(whole(reply, { 'x-request-id': 'req-1' }))
    const running = await startGateway({ upstream })
    const sent = '{ "input" : ["three words here", "\\u00fc"],\n"model":"embed", "big":12345678901234567890}'
    const answer = await post(running, '/v1/embeddings', sent)
    expect(answer.text).toBe(reply)
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'x-request-id': 'req-1' })
    expect(answer.headers['x-stele-conversation']).toBeUndefined()
    expect(upstream.journal).toMatchObject([{ path: '/v1/embeddings', text: sent }])

    const { call, request, response } = await recorded(running, answer.headers['x-stele-call-id'])
    expect(request).toBe(sent)
    expect(response).toBe(reply)
    expect(call).toMatchObject({
      operation: 'embeddings',
      conversationId: '',
      userId: 'ada',
      provider: 'test',
      requestModel: 'embed',
      responseModel: 'embed-2026',
      status: 'completed',
      inputTokens: 3,
      outputTokens: undefined,
    })
    expect(await rowsOf(running.stele, 'messages')).toEqual([])
    expect(await rowsOf(running.stele, 'conversations')).toEqual([])
    expect(await rowsOf(running.stele, 'llm_requests')).toMatchObject([
      { conversation_id: '', up_to_seq: -1 },
    ])
    expect(await rowsOf(running.stele, 'usage_daily')).toMatchObject([
      { model: 'embed-2026', calls: 1, errors: 0, input_tokens: 3, output_tokens: 0 },
    ])
  })

  test('is named before the model, which alone is replaced; a moderation may name none', async () => {
    const results = { id: 'modr-1', model: 'moderator', results: [] }
    const upstream = await startUpstream(json(results))
    const running = await startGateway({
      upstream,
      config: {
        models: {
          careful: { targets: ['test/strict'] },
          'omni-moderation-latest': { targets: ['test/lax'] },
        },
      },
    })
    for (const body of [
      '{"model": "test/m","input":"a"}',
      '{"input":"a", "model":"careful"}',
      '{ "input":"a"}',
    ])
      expect((await post(running, '/v1/moderations', body)).status).toBe(200)
    expect(upstream.journal.map(({ text }) => text)).toEqual([
      '{"model": "m","input":"a"}',
      '{"input":"a", "model":"strict"}',
      '{"model":"lax", "input":"a"}',
    ])
    const calls = await running.stele.calls.list()
    expect(calls.map(({ requestModel }) => requestModel)).toEqual(['lax', 'strict', 'm'])
  })

  test('is asked again when it fails, and another one after it; each is a call of the group', async () => {
    const first = await startUpstream(json(openAiError('busy'), { status: 503 }))
    const second = await startUpstream(json(embeddingReply))
    const running = await startGateway({
      upstream: first,
      provider: { retries: 1 },
      config: {
        providers: { other: { baseUrl: second.baseUrl } },
        models: { embed: { targets: ['test/a', 'replay/x', 'other/b'] } },
      },
    })
    const answer = await post(running, '/v1/embeddings', { model: 'embed', input: 'x' })
    expect(answer.status).toBe(200)
    expect(answer.headers['x-stele-attempts']).toBe('3')
    const group = await running.stele.calls.group('ada', answer.headers['x-stele-call-id'] as string)
    expect(group.map(({ status, routeMode, provider }) => [status, routeMode, provider])).toEqual([
      ['failed', undefined, 'test'],
      ['failed', 'retry', 'test'],
      ['completed', 'fallback', 'other'],
    ])
  })

  test.each([
    [
      'an error in its own shape',
      json(openAiError('no such model', 'model_not_found'), { status: 404 }),
      404,
    ],
    ['no such reply', json({ choices: [] }), 502],
    ['an error with a status of success', json(openAiError('oops')), 502],
    ['no JSON', whole('<html>', { 'content-type': 'text/html' }), 502],
  ])('answers with %s: the failure is told and recorded', async (_, answer, status) => {
    const running = await startGateway({ upstream: await startUpstream(answer) })
    const reply = await post(running, '/v1/embeddings', { model: 'm', input: 'x' })
    expect(reply.status).toBe(status)
    errorOf(reply)
    expect((await onlyCall(running)).call).toMatchObject({ status: 'failed', operation: 'embeddings' })
  })

  test('streams a completion: every byte is passed on, and its end only once it is recorded', async () => {
    const pieces = [
      event(textCompletion('Once', null)),
      ': a comment\n\n',
      event(textCompletion(' upon', 'length')),
      event({ ...textCompletion('', null, usage), choices: [] }),
      done,
    ]
    const upstream = await startUpstream(stream(pieces))
    const running = await startGateway({ upstream })
    const sent = '{"model":"legacy","prompt":"Say","stream":true}'
    const reply = await post(running, '/v1/completions', sent)
    expect(reply.text).toBe(pieces.join(''))
    // Nothing is added to it: no usage is asked for that the client did not ask for.
    expect(upstream.journal[0]?.text).toBe(sent)
    const { call, response } = await onlyCall(running)
    expect(response).toBe(pieces.join(''))
    expect(call).toMatchObject({
      operation: 'completions',
      status: 'completed',
      finishReasons: ['length'],
      providerResponseId: 'cmpl-1',
      inputTokens: 2,
      outputTokens: 4,
    })
  })

  test('breaks its stream off: the client is told, and the part is kept', async () => {
    const part = event(textCompletion('Once', null))
    const running = await startGateway({ upstream: await startUpstream(stream([part])) })
    const reply = await post(running, '/v1/completions', { model: 'm', prompt: 'Say', stream: true })
    expect(reply.text.startsWith(part)).toBe(true)
    expect(reply.text).not.toContain('[DONE]')
    expect(await onlyCall(running)).toMatchObject({
      call: { status: 'failed', errorCode: 'provider_stream_truncated' },
      response: part,
    })
  })

  test('does not stream: a client that wants a stream gets one', async () => {
    const completion = textCompletion('Once', 'stop', usage)
    const running = await startGateway({ upstream: await startUpstream(json(completion)) })
    const events = await running.client().completions.create({ model: 'm', prompt: 'Say', stream: true })
    const chunks = await collected(events)
    expect(chunks).toEqual([completion])
  })
})

test('a repetition with the same idempotency key gets the record, of this operation alone', async () => {
  const upstream = await startUpstream(json({ ...embeddingReply, results: [] }))
  const running = await startGateway({ upstream })
  const body = { model: 'm', input: 'x' }
  const once = { 'idempotency-key': 'k' }
  const first = await post(running, '/v1/embeddings', body, once)
  const second = await post(running, '/v1/embeddings', body, once)
  expect(second.text).toBe(first.text)
  expect(second.headers).toMatchObject({
    'idempotent-replayed': 'true',
    'x-stele-call-id': first.headers['x-stele-call-id'],
  })
  expect(second.headers['x-stele-conversation']).toBeUndefined()
  const other = await post(running, '/v1/moderations', body, once)
  expect(errorOf(other).code).toBe('idempotency_key_reused')
  expect(upstream.journal).toHaveLength(1)
})

test('a streamed completion is repeated as it was passed on', async () => {
  const pieces = [
    event(textCompletion('Once', 'stop')),
    event({ ...textCompletion('', null, usage), choices: [] }),
    done,
  ]
  const running = await startGateway({ upstream: await startUpstream(stream(pieces)) })
  const ask = () =>
    post(running, '/v1/completions', { model: 'm', prompt: 'Say', stream: true }, { 'idempotency-key': 'k' })
  const replies = [await ask(), await ask()]
  expect(replies.map(({ text }) => text)).toEqual([pieces.join(''), pieces.join('')])
  expect(await running.stele.calls.list()).toHaveLength(1)
})

describe('bad requests', () => {
  const cases: [string, string, string, number, string, string | null][] = [
    ['nothing', '/v1/embeddings', '', 400, 'invalid_json', null],
    ['a list', '/v1/embeddings', '[]', 400, 'invalid_json', null],
    ['no model', '/v1/embeddings', '{"input":"x"}', 400, 'missing_required_parameter', 'model'],
    ['no model', '/v1/completions', '{"prompt":"x","model":null}', 400, 'invalid_value', 'model'],
    ['a number for a model', '/v1/moderations', '{"input":"x","model":1}', 400, 'invalid_value', 'model'],
    ['two models', '/v1/embeddings', '{"model":"echo","model":"m"}', 400, 'duplicate_member', null],
    [
      'a stream of words',
      '/v1/completions',
      '{"model":"echo","stream":"yes"}',
      400,
      'invalid_value',
      'stream',
    ],
    ['an unknown model', '/v1/embeddings', '{"model":"gpt","input":"x"}', 404, 'model_not_found', 'model'],
    [
      'a provider without it',
      '/v1/embeddings',
      '{"model":"replay/m","input":"x"}',
      404,
      'operation_not_served',
      'model',
    ],
    [
      'another user',
      '/v1/embeddings',
      '{"model":"echo","input":"x","user":"bob"}',
      403,
      'permission_denied',
      'user',
    ],
  ]
  test.each(cases)('%s at %s', async (_, path, body, status, code, param) => {
    const running = await startGateway()
    const reply = await post(running, path, body)
    expect(reply.status).toBe(status)
    expect(errorOf(reply)).toMatchObject({ code, param })
    expect(await running.stele.calls.list()).toEqual([])
  })

  test.each(['/v1/embeddings', '/v1/moderations', '/v1/completions'])(
    'no key, or another method at %s',
    async path => {
      const running = await startGateway()
      const { status } = await post(running, path, '{}', { authorization: '' })
      expect(status).toBe(401)
      const reply = await running.send('GET', path, { headers: { authorization: `Bearer ${running.key}` } })
      expect(reply.status).toBe(405)
      expect(reply.headers['allow']).toBe('POST')
    },
  )

  test.each([
    ['/v1/embeddings', { input: [] }, 'input'],
    ['/v1/embeddings', { input: 'x', dimensions: 1e9 }, 'dimensions'],
    ['/v1/embeddings', { input: Array(600).fill('x'), dimensions: 4096 }, 'input'],
    ['/v1/embeddings', { input: 'x', encoding_format: 'int8' }, 'encoding_format'],
    ['/v1/moderations', {}, 'input'],
    ['/v1/completions', { prompt: ['a', 1] }, 'prompt'],
    ['/v1/completions', { prompt: 'a', n: 129 }, 'n'],
    ['/v1/completions', { prompt: 'a'.repeat(300_000), n: 128 }, 'n'],
  ])('the echo refuses what %s cannot mean: %j', async (path, parameters, param) => {
    const running = await startGateway()
    const reply = await post(running, path, { model: 'echo', ...parameters })
    expect(reply.status).toBe(400)
    expect((JSON.parse(reply.text) as { error: object }).error).toMatchObject({ param })
    expect((await onlyCall(running)).call).toMatchObject({ status: 'failed', httpStatus: 400 })
  })
})

describe('the echo, through the official client', () => {
  const checked = (schema: string, value: unknown) =>
    openapiIsThere && expect(validateOpenAI(schema, value)).toEqual([])

  test('makes embeddings of words, as numbers and as bytes', async () => {
    const client = (await startGateway()).client()
    const ask = (input: string | string[] | number[], more = {}) =>
      client.embeddings.create({ model: 'echo', input, ...more })
    const asFloats = await ask(['a red fox', 'the Red fox', 'nothing alike'], { encoding_format: 'float' })
    checked('CreateEmbeddingResponse', asFloats)
    const asBytes = await ask(['a red fox', 'the Red fox', 'nothing alike'])
    expect(asBytes.data.map(({ embedding }) => embedding)).toEqual(
      asFloats.data.map(({ embedding }) => embedding.map(Math.fround)),
    )
    expect(asFloats.usage).toEqual({ prompt_tokens: 8, total_tokens: 8 })
    const [fox, same, other] = asFloats.data.map(({ embedding }) => embedding)
    const dot = (a: number[] = [], b: number[] = []) =>
      a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0)
    expect(dot(fox, fox)).toBeCloseTo(1, 5)
    expect(dot(fox, same)).toBeGreaterThan(0.5)
    expect(Math.abs(dot(fox, other))).toBeLessThan(0.3)

    for (const [input, dimensions] of [
      ['', 7],
      [[1, 2, 3], 1],
      ['x', 4096],
    ] as const) {
      const { data } = await ask(typeof input === 'string' ? input : [...input], { dimensions })
      expect(data[0]?.embedding).toHaveLength(dimensions)
      expect(dot(data[0]?.embedding, data[0]?.embedding)).toBeCloseTo(1, 5)
    }
  })

  test('flags nothing', async () => {
    const client = (await startGateway()).client()
    const texts = await client.moderations.create({ input: ['a', 'b'] })
    checked('CreateModerationResponse', texts)
    expect(texts.model).toBe('echo')
    expect(texts.results.map(({ flagged }) => flagged)).toEqual([false, false])
    const parts = await client.moderations.create({
      model: 'echo',
      input: [
        { type: 'text', text: 'a' },
        { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
      ],
    })
    checked('CreateModerationResponse', parts)
    expect(parts.results).toHaveLength(1)
    expect(parts.results[0]?.category_applied_input_types).toMatchObject({
      violence: ['text', 'image'],
      hate: ['text'],
    })
  })

  test('gives prompts back, whole and streamed', async () => {
    const running = await startGateway()
    const client = running.client()
    const completion = await client.completions.create({ model: 'echo', prompt: ['one two', 'three'], n: 2 })
    checked('CreateCompletionResponse', completion)
    expect(completion.choices.map(({ text }) => text)).toEqual(['one two', 'one two', 'three', 'three'])
    expect(completion.usage).toEqual({ prompt_tokens: 3, completion_tokens: 6, total_tokens: 9 })
    const echoed = await client.completions.create({ model: 'echo', prompt: 'one ', echo: true })
    expect(echoed.choices[0]?.text).toBe('one one ')

    const events = await client.completions.create({
      model: 'echo',
      prompt: 'one two',
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = await collected(events)
    expect(chunks.map(chunk => chunk.choices[0]?.text)).toEqual(['one ', 'two', '', undefined])
    expect(chunks.at(-1)?.usage?.total_tokens).toBe(4)
    // OpenAI too sends null until the last chunk of a choice, which its description does not allow.
    for (const { choices, ...chunk } of chunks)
      checked('CreateCompletionResponse', {
        ...chunk,
        choices: choices.map(choice => ({ ...choice, finish_reason: choice.finish_reason ?? 'stop' })),
      })
    const [call] = await running.stele.calls.list({ limit: 1 })
    expect(call).toMatchObject({
      operation: 'completions',
      inputTokens: 2,
      outputTokens: 2,
      finishReasons: ['stop'],
    })
  })
})
