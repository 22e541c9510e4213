import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { askedOf, eventsOf, expectOpenAI, expectResponse, lastResponse, weather } from './responding.ts'
import { errorOf, onlyCall, recorded, startGateway } from './running.ts'
import { json, startUpstream, stream, whole } from './upstream.ts'
import { answerEvents, chunk, done, openAiError, usageChunk } from './wire.ts'

const model = 'gpt-test'

test('the official client gets a response of a provider that speaks only chat completions', async () => {
  const upstream = await startUpstream(json(completion('Hello, Ada.')))
  const running = await startGateway({ upstream })
  const { data, response } = await running
    .client()
    .responses.create({ model, input: 'Hi', instructions: 'Be brief.', metadata: { topic: 'greeting' } })
    .withResponse()
  expectResponse(data)
  expect(data).toMatchObject({
    status: 'completed',
    output_text: 'Hello, Ada.',
    instructions: 'Be brief.',
    metadata: { topic: 'greeting' },
    model: 'test-model-2026',
    usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
  })
  expect(data.id).toMatch(/^resp_[0-9a-z]{26}$/)
  const [asked] = upstream.journal
  expect(asked?.path).toBe('/v1/chat/completions')
  expect(JSON.parse(asked?.text ?? '')).toEqual({
    model,
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ],
  })
  const { call, request } = await recorded(running, response.headers.get('x-stele-call-id'))
  expect(request).toBe(asked?.text)
  expect(call).toMatchObject({ status: 'completed', inputTokens: 10, outputTokens: 5 })
  expect(expectResponse(await running.client().responses.retrieve(data.id))).toMatchObject({
    id: data.id,
    output: data.output,
    usage: data.usage,
  })
})

test('a stream comes as the full sequence of events, piece by piece, and is recorded as it came', async () => {
  const events = answerEvents(['Hello', ', ', 'Ada.'])
  const upstream = await startUpstream(stream(events))
  const running = await startGateway({ upstream })
  const { data, response } = await running
    .client()
    .responses.create({ model, input: 'Hi', stream: true })
    .withResponse()
  const told = await eventsOf(data)
  expect(told.map(({ type }) => type)).toEqual([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.delta',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.completed',
  ])
  const last = lastResponse(told)
  expect(last).toMatchObject({ status: 'completed', usage: { input_tokens: 7, output_tokens: 3 } })
  const { call, request, response: stored } = await recorded(running, response.headers.get('x-stele-call-id'))
  expect(request).toBe(upstream.journal[0]?.text)
  expect(askedOf(upstream.journal[0] as never)).toMatchObject({
    stream: true,
    stream_options: { include_usage: true },
  })
  expect(stored).toBe(events.join(''))
  expect(call).toMatchObject({ status: 'completed', inputTokens: 7, outputTokens: 3 })
  expect(await running.client().responses.retrieve(last.id)).toMatchObject({ output: last.output })
})

test('echo answers through the same translation, as JSON and as a stream', async () => {
  const running = await startGateway()
  const client = running.client()
  const whole = expectResponse(await client.responses.create({ model: 'echo', input: 'say this' }))
  expect(whole.output_text).toBe('say this')
  const events = await eventsOf(
    await client.responses.create({ model: 'echo', input: 'say this', stream: true }),
  )
  expect(lastResponse(events).output).toMatchObject([{ content: [{ text: 'say this' }] }])
})

test("the client's own helpers collect a stream and parse a format", async () => {
  const upstream = await startUpstream(stream(answerEvents(['{"a"', ':1}'])), json(completion('{"a":2}')))
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const schema = {
    type: 'object',
    properties: { a: { type: 'number' } },
    required: ['a'],
    additionalProperties: false,
  }
  const text = { format: { type: 'json_schema' as const, name: 'a', schema, strict: true } }
  const collected = await responses.stream({ model, input: 'x', text }).finalResponse()
  expect(collected.output_text).toBe('{"a":1}')
  const parsed = await responses.parse({ model, input: 'x', text })
  expect(parsed.output_text).toBe('{"a":2}')
  expect(askedOf(upstream.journal[1] as never)).toMatchObject({
    response_format: { type: 'json_schema', json_schema: { name: 'a', schema, strict: true } },
  })
  expect(parsed.text).toMatchObject(text)
})

test('replay answers a turn that is on record, through the same translation', async () => {
  const upstream = await startUpstream(json(completion('recorded')))
  const running = await startGateway({ upstream })
  const client = running.client()
  const asked = { input: 'Hi', instructions: 'Be brief.' }
  await client.responses.create({ model, ...asked })
  const again = await client.responses.create({ model: `replay/${model}`, ...asked })
  expect(again.output_text).toBe('recorded')
  const other = client.responses.create({ model: `replay/${model}`, ...asked, instructions: 'Be long.' })
  await expect(other).rejects.toMatchObject({ status: 404, code: 'replay_miss' })
  expect(upstream.journal).toHaveLength(1)
})

const toolReply = {
  message: {
    content: null,
    tool_calls: [
      { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } },
      { id: 'call_b', type: 'function', function: { name: 'weather', arguments: '{"city":"Ulm"}' } },
    ],
  },
}

test.each(['whole', 'streamed'])('a %s call of tools goes out, comes back and is answered', async kind => {
  const pieces = [
    chunk({
      role: 'assistant',
      content: null,
      tool_calls: [
        { index: 0, id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } },
      ],
    }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '"Bern"}' } }] }),
    chunk({
      tool_calls: [
        {
          index: 1,
          id: 'call_b',
          type: 'function',
          function: { name: 'weather', arguments: '{"city":"Ulm"}' },
        },
      ],
    }),
    chunk({}, { finish: 'tool_calls' }),
    usageChunk(9, 8),
    done,
  ]
  const first = kind === 'whole' ? json(completion(null, toolReply)) : stream(pieces)
  const upstream = await startUpstream(first, json(completion('Sun and rain.')))
  const running = await startGateway({ upstream })
  const client = running.client()
  const ask = { model, input: 'Weather in Bern and Ulm?', tools: [weather], tool_choice: 'auto' as const }
  const response =
    kind === 'whole'
      ? expectResponse(await client.responses.create(ask))
      : lastResponse(await eventsOf(await client.responses.create({ ...ask, stream: true })))
  const calls = response.output.filter(item => item.type === 'function_call')
  expect(calls).toMatchObject([
    { call_id: 'call_a', name: 'weather', arguments: '{"city":"Bern"}', status: 'completed' },
    { call_id: 'call_b', name: 'weather', arguments: '{"city":"Ulm"}', status: 'completed' },
  ])
  const { name, description, parameters, strict } = weather
  expect(askedOf(upstream.journal[0] as never)).toMatchObject({
    tools: [{ type: 'function', function: { name, description, parameters, strict } }],
    tool_choice: 'auto',
  })

  const answer = await client.responses.create({
    model,
    previous_response_id: response.id,
    tools: [weather],
    input: calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'sunny' })),
  })
  expect(answer.output_text).toBe('Sun and rain.')
  expect(askedOf(upstream.journal[1] as never).messages).toEqual([
    { role: 'user', content: 'Weather in Bern and Ulm?' },
    { role: 'assistant', ...toolReply.message },
    { role: 'tool', tool_call_id: 'call_a', content: 'sunny' },
    { role: 'tool', tool_call_id: 'call_b', content: 'sunny' },
  ])
  const listed = await running.send('GET', `/v1/responses/${answer.id}/input_items?order=asc`, {
    headers: { authorization: `Bearer ${running.key}` },
  })
  expectOpenAI('ResponseItemList', JSON.parse(listed.text))
  const paged = []
  for await (const item of client.responses.inputItems.list(answer.id, { order: 'asc', limit: 1 }))
    paged.push(item)
  expect(paged).toEqual(JSON.parse(listed.text).data)
  expect(paged.map(({ type }) => type)).toEqual(['function_call_output', 'function_call_output'])
  const latest = await client.responses.inputItems.list(answer.id)
  expect(latest.data).toEqual(paged.toReversed())
})

test('a refusal is a part of its own', async () => {
  const upstream = await startUpstream(
    stream([
      chunk({ role: 'assistant', refusal: 'I ' }),
      chunk({ refusal: 'will not.' }),
      chunk({}, { finish: 'stop' }),
      done,
    ]),
    json(completion(null, { message: { refusal: 'No.' } })),
  )
  const running = await startGateway({ upstream })
  const client = running.client()
  const events = await eventsOf(await client.responses.create({ model, input: 'x', stream: true }))
  expect(events.map(({ type }) => type)).toContain('response.refusal.done')
  expect(lastResponse(events).output).toMatchObject([
    { content: [{ type: 'refusal', refusal: 'I will not.' }] },
  ])
  expect(lastResponse(events).usage).toBeUndefined()
  const response = expectResponse(await client.responses.create({ model, input: 'x' }))
  expect(response.output).toMatchObject([{ content: [{ type: 'refusal', refusal: 'No.' }] }])
})

test.each([
  ['length', 'max_output_tokens'],
  ['content_filter', 'content_filter'],
])('a reply that ended for its %s is an incomplete response', async (finish, reason) => {
  const cut = completion('Once upon')
  const choices = [{ ...(cut['choices'] as object[])[0], finish_reason: finish }]
  const upstream = await startUpstream(
    json({ ...cut, choices }),
    stream([chunk({ content: 'Once upon' }), chunk({}, { finish }), done]),
  )
  const running = await startGateway({ upstream })
  const client = running.client()
  const expected = { status: 'incomplete', incomplete_details: { reason }, completed_at: null }
  expect(
    expectResponse(await client.responses.create({ model, input: 'x', max_output_tokens: 16 })),
  ).toMatchObject(expected)
  expect(askedOf(upstream.journal[0] as never)).toMatchObject({ max_completion_tokens: 16 })
  const events = await eventsOf(await client.responses.create({ model, input: 'x', stream: true }))
  expect(events.at(-1)?.type).toBe('response.incomplete')
  expect(lastResponse(events)).toMatchObject({ ...expected, output: [{ status: 'incomplete' }] })
})

test('a provider that answers a stream in one piece gives the same events', async () => {
  const upstream = await startUpstream(json(completion('In one piece.')))
  const running = await startGateway({ upstream })
  const events = await eventsOf(await running.client().responses.create({ model, input: 'x', stream: true }))
  expect(events.filter(({ type }) => type === 'response.output_text.delta')).toHaveLength(1)
  expect(lastResponse(events).output).toMatchObject([{ content: [{ text: 'In one piece.' }] }])
})

test('probabilities are told to those who ask for them', async () => {
  const token = {
    token: 'Hi',
    logprob: -0.1,
    bytes: [72, 105],
    top_logprobs: [{ token: 'Ho', logprob: -2, bytes: null }],
  }
  const reply = completion('Hi')
  const choices = [{ ...(reply['choices'] as object[])[0], logprobs: { content: [token] } }]
  const upstream = await startUpstream(json({ ...reply, choices }))
  const running = await startGateway({ upstream })
  const client = running.client()
  const include: ['message.output_text.logprobs'] = ['message.output_text.logprobs']
  const asked = expectResponse(await client.responses.create({ model, input: 'x', include, top_logprobs: 1 }))
  expect(asked.output).toMatchObject([
    { content: [{ logprobs: [{ token: 'Hi', top_logprobs: [{ bytes: [] }] }] }] },
  ])
  expect(askedOf(upstream.journal[0] as never)).toMatchObject({ logprobs: true, top_logprobs: 1 })
  const silent = await client.responses.create({ model, input: 'x' })
  expect(silent.output).toMatchObject([{ content: [{ logprobs: [] }] }])
})

test('a failed request is tried again, told in the words of its provider, and leaves a failed response', async () => {
  const upstream = await startUpstream(
    json(openAiError('busy'), { status: 500 }),
    json(completion('second try')),
    json(openAiError('bad schema', 'invalid_schema'), { status: 400 }),
  )
  const running = await startGateway({ upstream, provider: { retries: 1 } })
  const client = running.client()
  const { data, response } = await client.responses.create({ model, input: 'x' }).withResponse()
  expect(data.output_text).toBe('second try')
  expect(response.headers.get('x-stele-attempts')).toBe('2')
  expect(expectResponse(await client.responses.retrieve(data.id)).status).toBe('completed')
  const refused = client.responses.create({ model, input: 'y' })
  await expect(refused).rejects.toMatchObject({ status: 400, code: 'invalid_schema' })
  const [last] = await running.stele.calls.list({ limit: 1 })
  const failed = await client.responses.retrieve(`resp_${last?.id.slice(5)}`)
  expect(expectResponse(failed)).toMatchObject({
    status: 'failed',
    error: { code: 'server_error' },
    output: [],
  })
  expect(upstream.journal).toHaveLength(3)
})

test('a stream that breaks off ends with response.failed, and the record says so', async () => {
  const upstream = await startUpstream(stream([chunk({ content: 'Once upon' })]))
  const running = await startGateway({ upstream, provider: { retries: 2 } })
  const events = await eventsOf(await running.client().responses.create({ model, input: 'x', stream: true }))
  expect(events.at(-1)?.type).toBe('response.failed')
  const failed = lastResponse(events)
  expect(failed).toMatchObject({
    status: 'failed',
    error: { code: 'server_error' },
    output: [{ status: 'incomplete', content: [{ text: 'Once upon' }] }],
  })
  const { call } = await onlyCall(running)
  expect(call).toMatchObject({ status: 'failed', errorCode: 'provider_stream_truncated' })
  expect(expectResponse(await running.client().responses.retrieve(failed.id))).toMatchObject({
    status: 'failed',
  })
})

test('an error before anything was told is an HTTP error, for streams too', async () => {
  const upstream = await startUpstream(
    whole('{"error":{"message":"no","type":"x","param":null,"code":"nope"}}', { status: 422 }),
  )
  const running = await startGateway({ upstream })
  const created = running.client().responses.create({ model, input: 'x', stream: true })
  await expect(created).rejects.toMatchObject({ status: 422, code: 'nope' })
})

test('a response of another user, or of nobody, is not there', async () => {
  const running = await startGateway()
  const { id } = await running.client().responses.create({ model: 'echo', input: 'mine' })
  const stranger = running.client({ apiKey: await running.newKey('bob') }).responses
  const missing = { status: 404, code: 'response_not_found' }
  await expect(stranger.retrieve(id)).rejects.toMatchObject(missing)
  await expect(stranger.delete(id)).rejects.toMatchObject(missing)
  await expect(stranger.cancel(id)).rejects.toMatchObject(missing)
  await expect(stranger.inputItems.list(id)).rejects.toMatchObject(missing)
  const continued = stranger.create({ model: 'echo', input: 'x', previous_response_id: id })
  await expect(continued).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found' })
  for (const odd of ['resp_x', 'resp_01h455vb4pex5vsknk084sn02q', '%00', 'call_01h455vb4pex5vsknk084sn02q']) {
    const reply = await running.send('GET', `/v1/responses/${odd}`, {
      headers: { authorization: `Bearer ${running.key}` },
    })
    expect(reply.status).toBe(404)
    expect(errorOf(reply).code).toBe('response_not_found')
  }
  expect((await running.client().responses.retrieve(id)).output_text).toBe('mine')
})

test('tokens are counted, of what came before too', async () => {
  const running = await startGateway()
  const { responses } = running.client()
  const { id } = await responses.create({ model: 'echo', input: 'x'.repeat(400) })
  const alone = await responses.inputTokens.count({
    model: 'echo',
    input: 'y'.repeat(40),
    instructions: 'Be brief.',
  })
  expectOpenAI('TokenCountsResource', { object: alone.object, input_tokens: alone.input_tokens })
  const further = await responses.inputTokens.count({
    model: 'echo',
    input: 'y'.repeat(40),
    previous_response_id: id,
  })
  expect(further.input_tokens).toBeGreaterThan(alone.input_tokens + 150)
  const refused = responses.inputTokens.count({ model: 'unknown', input: 'x' })
  await expect(refused).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
})

test('a service key acts for its users', async () => {
  const running = await startGateway()
  const apiKey = await running.newKey('app', 'service')
  const client = running.client({ apiKey })
  const { id } = await client.responses.create({ model: 'echo', input: 'x', user: 'carol' })
  await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 })
  const asCarol = running.client({ apiKey, defaultHeaders: { 'x-stele-user': 'carol' } })
  expect((await asCarol.responses.retrieve(id)).output_text).toBe('x')
})

test('a deleted response is not there any more, its call still is', async () => {
  const running = await startGateway()
  const client = running.client()
  const { id } = await client.responses.create({ model: 'echo', input: 'x' })
  const reply = await running.send('DELETE', `/v1/responses/${id}`, {
    headers: { authorization: `Bearer ${running.key}` },
  })
  expect(JSON.parse(reply.text)).toEqual({ id, object: 'response', deleted: true })
  const missing = { status: 404, code: 'response_not_found' }
  await expect(client.responses.retrieve(id)).rejects.toMatchObject(missing)
  await expect(client.responses.delete(id)).rejects.toMatchObject(missing)
  await expect(client.responses.inputItems.list(id)).rejects.toMatchObject(missing)
  expect((await onlyCall(running)).call.status).toBe('completed')
})
