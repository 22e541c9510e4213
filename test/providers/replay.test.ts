import { expect, test } from 'vitest'
import { errorOf, recorded, startGateway } from '../gateway/running.ts'
import { json, startUpstream, stream, whole } from '../gateway/upstream.ts'
import { answerEvents, chunk, done, openAiError, questionOf, usageChunk } from '../gateway/wire.ts'
import { completion } from '../harness/chat.ts'

const asked = (more: Record<string, unknown> = {}) => questionOf('What is a stele?', more)
const again = (more: Record<string, unknown> = {}) => asked({ ...more, model: 'replay/gpt-test' })

test('a recorded JSON reply is answered again byte for byte, and nothing is sent anywhere', async () => {
  const reply = JSON.stringify(completion('A stone.'), null, 1)
  const upstream = await startUpstream(whole(reply))
  const running = await startGateway({ upstream })
  await running.post(asked({ temperature: 0 }))
  for (let round = 0; round < 2; round++) {
    const { status, text, headers } = await running.post(again({ temperature: 0 }))
    expect({ status, text }).toEqual({ status: 200, text: reply })
    const { call, response } = await recorded(running, headers['x-stele-call-id'])
    expect(call).toMatchObject({
      provider: 'replay',
      requestModel: 'gpt-test',
      status: 'completed',
      inputTokens: 10,
    })
    expect(response).toBe(reply)
  }
  expect(upstream.journal).toHaveLength(1)
})

test('a recorded stream is answered again byte for byte', async () => {
  const events = answerEvents(['A ', 'stone.'])
  const upstream = await startUpstream(stream(events))
  const running = await startGateway({ upstream })
  await running.post(asked({ stream: true }))
  const { text } = await running.post(again({ stream: true, stream_options: { include_usage: true } }))
  expect(text).toBe(events.join(''))
  expect((await running.post(again({ stream: true }))).text).toBe(
    events.filter(event => !event.includes('prompt_tokens')).join(''),
  )
})

const toolCall = { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }

test('a recorded JSON reply can be asked for as a stream, with all its choices', async () => {
  const choices = [
    {
      index: 0,
      message: { role: 'assistant', content: 'A stone.', tool_calls: [toolCall] },
      finish_reason: 'tool_calls',
    },
    { index: 1, message: { role: 'assistant', content: 'A slab.' }, finish_reason: 'length' },
  ]
  const running = await startGateway({ upstream: await startUpstream(json({ ...completion(''), choices })) })
  await running.post(asked({ n: 2 }))
  const answer = await running
    .client()
    .chat.completions.stream({ ...again({ n: 2 }), stream: true, stream_options: { include_usage: true } })
    .finalChatCompletion()
  expect(answer).toMatchObject({
    id: 'chatcmpl-1',
    model: 'test-model-2026',
    usage: { prompt_tokens: 10, completion_tokens: 5 },
  })
  expect(answer.choices).toMatchObject([
    { message: { content: 'A stone.', tool_calls: [toolCall] }, finish_reason: 'tool_calls' },
    { message: { content: 'A slab.' }, finish_reason: 'length' },
  ])
})

test('a recorded stream can be asked for as JSON, with all its choices', async () => {
  const events = [
    chunk({ role: 'assistant', content: 'A ' }),
    chunk({ role: 'assistant', content: 'A slab.' }, { index: 1, finish: 'length' }),
    chunk({ content: 'stone.' }),
    chunk({ tool_calls: [{ index: 0, ...toolCall }] }, { finish: 'tool_calls' }),
    usageChunk(5, 6),
    done,
  ]
  const running = await startGateway({ upstream: await startUpstream(stream(events)) })
  await running.post(asked({ n: 2, stream: true }))
  const answer = await running.client().chat.completions.create(again({ n: 2 }))
  expect(answer).toMatchObject({
    id: 'chatcmpl-s',
    object: 'chat.completion',
    model: 'gpt-test-2026',
    usage: { prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 },
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'A stone.', tool_calls: [toolCall] },
        finish_reason: 'tool_calls',
      },
      { index: 1, message: { role: 'assistant', content: 'A slab.' }, finish_reason: 'length' },
    ],
  })
})

test.each<[string, Record<string, unknown>]>([
  ['another question', { messages: [{ role: 'user', content: 'What is a stela?' }] }],
  ['another parameter', { temperature: 1 }],
  ['another model', { model: 'replay/gpt-other' }],
])('%s is a miss, and is recorded as one', async (_, difference) => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('A stone.'))) })
  await running.post(asked())
  const reply = await running.post({ ...again(), ...difference })
  expect(reply.status).toBe(404)
  expect(errorOf(reply)).toMatchObject({ code: 'replay_miss', type: 'invalid_request_error' })
  const { call } = await recorded(running, reply.headers['x-stele-call-id'])
  expect(call).toMatchObject({ provider: 'replay', status: 'failed', errorCode: 'replay_miss' })
})

test('what only says how to deliver an answer or where to file it does not make a miss', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('A stone.'))) })
  await running.post(asked({ user: 'ada', metadata: { run: '1' }, temperature: null }))
  expect((await running.post(again({ metadata: { run: '2' }, store: false }))).status).toBe(200)
})

test("another user's record is not replayed", async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('A secret.'))) })
  await running.post(asked())
  const bob = await running.newKey('bob')
  const reply = await running.post(again(), { authorization: `Bearer ${bob}` })
  expect(reply.status).toBe(404)
  expect(errorOf(reply).code).toBe('replay_miss')
})

test('a failed reply is never replayed', async () => {
  const upstream = await startUpstream(json(openAiError('busy'), { status: 500 }))
  const running = await startGateway({ upstream })
  await running.post(asked())
  expect((await running.post(again())).status).toBe(404)
  upstream.answer(json(completion('A stone.')))
  await running.post(asked())
  expect((await running.post(again())).text).toContain('A stone.')
})

test('a second turn is replayed from the middle of its conversation', async () => {
  const upstream = await startUpstream(json(completion('A stone.')), json(completion('In Egypt.')))
  const running = await startGateway({ upstream })
  const client = running.client()
  const messages = [
    ...asked().messages,
    { role: 'assistant' as const, content: 'A stone.' },
    { role: 'user' as const, content: 'Where?' },
  ]
  await client.chat.completions.create(asked())
  await client.chat.completions.create({ model: 'gpt-test', messages })
  const answer = await client.chat.completions.create({ model: 'replay/gpt-test', messages })
  expect(answer.choices[0]?.message.content).toBe('In Egypt.')
  const first = await client.chat.completions.create(again())
  expect(first.choices[0]?.message.content).toBe('A stone.')
})
