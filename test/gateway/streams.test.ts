import { expect, test } from 'vitest'
import { onlyCall, recorded, startGateway } from './running.ts'
import { eventStream, startUpstream, stream } from './upstream.ts'
import { answerEvents, chunk, done, event, questionOf, usageChunk } from './wire.ts'

const streamed = (content: string, more: Record<string, unknown> = {}) => ({
  ...questionOf(content, more),
  stream: true as const,
})

test('a stream reaches the official client chunk by chunk, and is recorded whole', async () => {
  const events = answerEvents(['Hello', ', ', 'Ada.'])
  const upstream = await startUpstream(stream(events))
  const running = await startGateway({ upstream })
  const { data, response } = await running.client().chat.completions.create(streamed('Hi')).withResponse()
  let text = ''
  for await (const part of data) text += part.choices[0]?.delta.content ?? ''
  expect(text).toBe('Hello, Ada.')
  const { call, request, response: stored } = await recorded(running, response.headers.get('x-stele-call-id'))
  expect(call).toMatchObject({
    status: 'completed',
    httpStatus: 200,
    responseModel: 'gpt-test-2026',
    providerResponseId: 'chatcmpl-s',
    finishReasons: ['stop'],
    inputTokens: 7,
    outputTokens: 3,
    conversationId: response.headers.get('x-stele-conversation'),
  })
  expect(call.timeToFirstChunkMs).toBeLessThanOrEqual(call.latencyMs ?? -1)
  expect(request).toBe(JSON.stringify(streamed('Hi')))
  expect(stored).toBe(events.join(''))
  const [, reply] = await running.stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
  expect(JSON.parse(reply?.raw ?? '')).toEqual({ role: 'assistant', content: 'Hello, Ada.' })
})

test('a chunk is passed on as it comes, not when the reply is whole', async () => {
  const more = Promise.withResolvers<void>()
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'first' }))
    await more.promise
    await reply.write(chunk({ content: ' second' }, { finish: 'stop' }))
    reply.end(done)
  })
  const running = await startGateway({ upstream })
  const parts: string[] = []
  for await (const part of await running.client().chat.completions.create(streamed('Hi'))) {
    parts.push(part.choices[0]?.delta.content ?? '')
    more.resolve()
  }
  expect(parts).toEqual(['first', ' second'])
})

test('usage is hidden from a client that did not ask for it, and recorded all the same', async () => {
  const upstream = await startUpstream(stream(answerEvents(['a', 'b'])))
  const running = await startGateway({ upstream })
  const body = '{"model":"gpt-test", "stream" : true,"messages":[{"role":"user","content":"Hi"}] }'
  const { text, headers } = await running.post(body)
  expect(text).toBe([...answerEvents(['a', 'b']).slice(0, -2), done].join(''))
  expect(upstream.journal[0]?.text).toBe(`${body.slice(0, -2)},"stream_options":{"include_usage":true} }`)
  const { call, request, response } = await recorded(running, headers['x-stele-call-id'])
  expect(call).toMatchObject({ inputTokens: 7, outputTokens: 2 })
  expect(request).toBe(body)
  expect(response).toBe(answerEvents(['a', 'b']).join(''))
})

test('usage is shown to a client that asked for it', async () => {
  const upstream = await startUpstream(stream(answerEvents(['a'])))
  const running = await startGateway({ upstream })
  const asked = streamed('Hi', { stream_options: { include_usage: true } })
  const usages = []
  for await (const { usage } of await running.client().chat.completions.create(asked))
    if (usage) usages.push(usage)
  expect(usages).toEqual([{ prompt_tokens: 7, completion_tokens: 1, total_tokens: 8 }])
  expect(upstream.journal[0]?.text).toBe(JSON.stringify(asked))
})

test.each([
  [
    'false',
    '{"include_usage":false,"include_obfuscation":false}',
    '{"include_usage":true,"include_obfuscation":false}',
  ],
  ['nothing', 'null', '{"include_usage":true}'],
  ['an empty object', '{ }', '{"include_usage":true}'],
])('a client that asks for %s still has its usage recorded', async (_, given, sent) => {
  const upstream = await startUpstream(stream(answerEvents(['a'])))
  const running = await startGateway({ upstream })
  const body = (options: string): string =>
    `{"stream_options":${options},"model":"gpt-test","stream":true,"messages":[{"role":"user","content":"Hi"}]}`
  const { text } = await running.post(body(given))
  expect(text).not.toContain('prompt_tokens')
  expect(upstream.journal[0]?.text).toBe(body(sent))
  expect((await onlyCall(running)).call).toMatchObject({ inputTokens: 7, outputTokens: 1 })
})

test('a provider that does not know stream_options is not sent them', async () => {
  const upstream = await startUpstream(stream(answerEvents(['a'])))
  const running = await startGateway({ upstream, provider: { streamUsage: false } })
  await running.post(streamed('Hi'))
  expect(upstream.journal[0]?.text).toBe(JSON.stringify(streamed('Hi')))
})

test('the deltas of tool calls become the message that the conversation keeps', async () => {
  const call = (index: number, fields: object) => chunk({ tool_calls: [{ index, ...fields }] })
  const upstream = await startUpstream(
    stream([
      chunk({ role: 'assistant', content: null }),
      call(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } }),
      call(0, { function: { arguments: '{"city"' } }),
      call(1, { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{' } }),
      call(0, { function: { arguments: ':"Bern"}' } }),
      call(1, { function: { arguments: '}' } }),
      chunk({}, { finish: 'tool_calls' }),
      done,
    ]),
  )
  const running = await startGateway({ upstream })
  const final = await running.client().chat.completions.stream(streamed('Weather and time?')).finalMessage()
  const expected = [
    { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } },
    { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } },
  ]
  expect(final.tool_calls).toMatchObject(expected)
  const { call: stored } = await onlyCall(running)
  expect(stored.finishReasons).toEqual(['tool_calls'])
  const [, reply] = await running.stele.messages.list({
    userId: 'ada',
    conversationId: stored.conversationId,
  })
  expect(JSON.parse(reply?.raw ?? '')).toEqual({ role: 'assistant', content: null, tool_calls: expected })
})

test('several choices are relayed as they interleave; the conversation keeps the first', async () => {
  const events = [
    chunk({ role: 'assistant', content: 'A' }),
    chunk({ role: 'assistant', content: 'X' }, { index: 1 }),
    chunk({ content: 'B' }),
    chunk({}, { index: 1, finish: 'length' }),
    chunk({}, { finish: 'stop' }),
    usageChunk(3, 3),
    done,
  ]
  const running = await startGateway({ upstream: await startUpstream(stream(events)) })
  const answer = await running
    .client()
    .chat.completions.stream(streamed('Hi', { n: 2 }))
    .finalChatCompletion()
  expect(answer.choices.map(choice => choice.message.content)).toEqual(['AB', 'X'])
  const { call } = await onlyCall(running)
  expect(call.finishReasons).toEqual(['stop', 'length'])
  const history = await running.stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
  expect(history.map(({ raw }) => (JSON.parse(raw) as { content: string }).content)).toEqual(['Hi', 'AB'])
})

test('comments, keep-alives, event names, ids and CRLF reach the client byte for byte', async () => {
  const crlf = (text: string): string => text.replaceAll('\n', '\r\n')
  const events = [
    ': OPENROUTER PROCESSING\n\n',
    crlf(chunk({ role: 'assistant', content: 'Grüße ' })),
    ':\r\n\r\n',
    `event: message\nid: 5\nretry: 10\n${chunk({ content: '🪨' })}`,
    chunk({}, { finish: 'stop' }).replace('data: ', 'data:').replaceAll('\n', '\r'),
    crlf(done),
  ]
  const running = await startGateway({ upstream: await startUpstream(stream(events)) })
  const { text, headers } = await running.post(streamed('Hi'))
  expect(text).toBe(events.join(''))
  expect(headers['content-type']).toBe('text/event-stream; charset=utf-8')
  const { call, response } = await recorded(running, headers['x-stele-call-id'])
  expect(response).toBe(events.join(''))
  const [, reply] = await running.stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
  expect(JSON.parse(reply?.raw ?? '')).toEqual({ role: 'assistant', content: 'Grüße 🪨' })
})

test('a stream cut into single bytes, in the middle of characters and events, is the same stream', async () => {
  const text = [...answerEvents(['Grü', 'ße 🪨', ' Ω'])].join('').replaceAll('\n\n', '\r\n\r\n')
  const bytes = [...Buffer.from(text)].map(byte => Uint8Array.of(byte))
  const running = await startGateway({ upstream: await startUpstream(stream(bytes)) })
  const reply = await running.post(streamed('Hi', { stream_options: { include_usage: true } }))
  expect(reply.text).toBe(text)
  expect(await recorded(running, reply.headers['x-stele-call-id'])).toMatchObject({
    call: { status: 'completed', outputTokens: 3, finishReasons: ['stop'] },
    response: text,
  })
})

test('usage in the last chunk of a choice is counted and shown, for providers that put it there', async () => {
  const last = event({
    id: 'x',
    object: 'chat.completion.chunk',
    model: 'm',
    choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
    usage: { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 },
  })
  const running = await startGateway({
    upstream: await startUpstream(stream([chunk({ content: 'a' }), last, done])),
  })
  expect((await running.post(streamed('Hi'))).text).toContain('"prompt_tokens":2')
  expect((await onlyCall(running)).call).toMatchObject({ inputTokens: 2, outputTokens: 1 })
})
