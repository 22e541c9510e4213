import { expect, onTestFinished, test } from 'vitest'
import { Chat } from '../../src/chat/chat.ts'
import { GatewayBackend } from '../../src/chat/gateway-backend.ts'
import { type Running, startGateway } from '../gateway/running.ts'
import { type Answer, eventStream, json, startUpstream, stream, type Upstream } from '../gateway/upstream.ts'
import { answerEvents, chunk, openAiError } from '../gateway/wire.ts'
import { assistant, exchange, historyOf, user } from '../harness/chat.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'
import { ask, askAndStop, compare, saying } from './backends.ts'

interface ChatOverGateway {
  readonly running: Running
  readonly upstream: Upstream
  readonly backend: GatewayBackend
  readonly chat: Chat
}

async function start(...answers: Parameters<typeof startUpstream>): Promise<ChatOverGateway> {
  const upstream = await startUpstream(...answers)
  const running = await startGateway({ upstream })
  const backend = backendTo(running.address, running.key)
  return { running, upstream, backend, chat: new Chat({ backend, model: 'gpt-test' }) }
}

function backendTo(url: string, key?: string, userId?: string): GatewayBackend {
  const backend = new GatewayBackend({ url, key, userId })
  onTestFinished(() => backend.close())
  return backend
}

test('a chat over a gateway is one conversation on its record', async () => {
  const { running, chat } = await start(saying('Hello', ' Ada'))
  const said: string[] = []
  const first = await chat.ask('one', new AbortController().signal, text => said.push(text))
  const second = await ask(chat, 'two')
  expect(said.join('')).toBe('Hello Ada')
  expect(second).toMatchObject({ status: 'completed', usage: { inputTokens: 7, outputTokens: 2 } })
  expect(second.thread.conversationId).toBe(first.thread.conversationId)
  expect(await running.stele.calls.get('ada', second.callId ?? '')).toMatchObject({ status: 'completed' })
  expect(await historyOf(running.stele, second.thread.conversationId ?? '')).toEqual([
    user('one'),
    assistant('Hello Ada'),
    user('two'),
    assistant('Hello Ada'),
  ])
})

test('what was said over a gateway is listed and resumed, by the key alone too, and goes on under its name', async () => {
  const { running, chat } = await start(saying('yes'))
  await ask(chat, 'one')
  await ask(chat, 'two')
  const [id] = [chat.thread.sessionId ?? '']
  expect(await chat.backend.sessions(5)).toEqual([
    { id, opening: 'one', messages: undefined, lastUsedAt: expect.any(Number) },
  ])
  const later = new Chat({ backend: backendTo(running.address, running.key), model: 'gpt-test' })
  await later.resume(id)
  await ask(later, 'three')
  expect(later.thread).toEqual({ sessionId: id, conversationId: id })
  expect(later.hasForked).toBe(false)
  // The first chat does not know of it: what it says now is a fork, with a name of its own.
  await ask(chat, 'four')
  expect(chat.hasForked).toBe(true)
  expect((await chat.backend.sessions(5)).map(each => each.id)).toEqual([chat.thread.sessionId, id])
  chat.clear()
  await ask(chat, 'five')
  expect(chat.hasForked).toBe(false)
  expect(await chat.backend.sessions(5)).toHaveLength(3)
})

test('the conversation that the gateway told is named from then on, with the key', async () => {
  const standIn = await startUpstream(
    stream(answerEvents(['yes']), { ...eventStream, 'x-stele-conversation': 'conv_1' }),
  )
  const chat = new Chat({ backend: backendTo(standIn.baseUrl, 'sk-1'), model: 'gpt-test' })
  await ask(chat, 'one')
  await ask(chat, 'two')
  const asked = standIn.journal.filter(({ path }) => path.endsWith('/chat/completions'))
  const named = asked.map(({ headers }) => [headers['x-stele-conversation'], headers.authorization])
  expect(named).toEqual([
    [undefined, 'Bearer sk-1'],
    ['conv_1', 'Bearer sk-1'],
  ])
})

test('the address may be written as clients of OpenAI write it', async () => {
  const { running } = await start(saying('yes'))
  for (const url of [
    running.address,
    `${running.address}/`,
    `${running.address}/v1`,
    `${running.address}/v1/`,
  ]) {
    const chat = new Chat({ backend: backendTo(url, running.key), model: 'gpt-test' })
    expect(await ask(chat, 'one')).toMatchObject({ status: 'completed' })
  }
})

test('a service key acts for the user that is named', async () => {
  const { running } = await start(saying('yes'))
  const key = await running.newKey('app', 'service')
  const chat = new Chat({ backend: backendTo(running.address, key, 'Zoë'), model: 'gpt-test' })
  const { callId } = await ask(chat, 'one')
  expect(await running.stele.calls.get('Zoë', callId ?? '')).toMatchObject({ status: 'completed' })
})

test('a reply that is stopped is aborted on the record of the gateway', async () => {
  const { running, chat, upstream } = await start(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'Once' }))
  })
  const answer = await askAndStop(chat, 'Tell me a story')
  expect(answer).toMatchObject({ status: 'aborted', text: 'Once', message: { text: 'Once' } })
  expect(await (await upstream.received(0)).over).toBe(true)
  await expect
    .poll(async () => (await running.stele.calls.list()).map(({ status }) => status))
    .toEqual(['aborted'])
})

test('what the gateway refuses is told in its words, and is not on record', async () => {
  const { running, chat } = await start(saying('yes'))
  const stranger = new Chat({ backend: backendTo(running.address, 'sk-wrong'), model: 'gpt-test' })
  const refused = await failure('gateway_error', ask(stranger, 'one'))
  expect(refused.message).toContain('The API key is not valid')
  chat.model = 'nobody/nothing'
  await ask(chat, 'one')
  expect(await countOf(running.stele, 'llm_requests')).toBe(1)
})

test('a failure of the provider is one of the conversation', async () => {
  const { running, chat } = await start(json(openAiError('out of order'), { status: 500 }), saying('yes'))
  const answer = await ask(chat, 'one')
  expect(answer).toMatchObject({ status: 'failed', error: { code: 'gateway_error' } })
  await ask(chat, 'one')
  expect(await historyOf(running.stele, chat.thread.conversationId ?? '')).toEqual([
    user('one'),
    assistant('yes'),
  ])
})

test('a gateway that is gone is an error, before a reply and in the middle of one', async () => {
  const nobody = new Chat({ backend: backendTo('http://127.0.0.1:9'), model: 'gpt-test' })
  expect((await failure('gateway_unreachable', ask(nobody, 'one'))).message).toContain('http://127.0.0.1:9')

  const { running, chat } = await start(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'Half' }))
  })
  const answer = await chat.ask('one', new AbortController().signal, () =>
    running.gateway.app.server.closeAllConnections(),
  )
  expect(answer).toMatchObject({ status: 'failed', text: 'Half', error: { code: 'gateway_unreachable' } })
})

test('the models of the gateway are listed', async () => {
  const { upstream, backend } = await start()
  upstream.models = json({ object: 'list', data: [{ id: 'one' }, { id: 'two' }] })
  expect(await backend.models()).toEqual(['one', 'two'])
})

test('what a gateway cannot do is said plainly', async () => {
  const nameless = backendTo((await startUpstream()).baseUrl)
  expect((await failure('usage', nameless.sessions(5))).message).toContain('--user')
})

test('what was used today is told by the gateway, of this user alone', async () => {
  const { running, chat, backend } = await start(saying('yes'))
  await exchange(running.stele, [user('other')], 'yes', { userId: 'bob' })
  await ask(chat, 'one')
  const { total, rows, isWhole } = await backend.usageToday('key')
  expect(total).toMatchObject({ calls: 1, errors: 0, inputTokens: 7, outputTokens: 1, unpricedCalls: 1 })
  const [key] = await running.stele.apiKeys.list()
  expect(rows).toEqual([{ name: key?.id, ...total }])
  expect(isWhole).toBe(true)
  expect((await backend.usageToday('provider')).rows).toEqual([{ name: 'test', ...total }])
})

test('conversations are listed, resumed and searched by the routes of the gateway', async () => {
  const upstream = await startUpstream(saying('yes'))
  const answers: Record<string, unknown> = {
    '/sessions/z%C3%B6e': {
      sessions: [{ session_id: 's 1', last_accessed: '2026-01-02T03:04:05Z' }, { session_id: 's2' }],
    },
    '/history/z%C3%B6e/s%201': { messages: [user('one'), assistant('yes')] },
    '/v1/search?query=a%20b&limit=5': {
      data: [{ conversation_id: 'conv_1', seq: 3, role: 'user', snippet: { text: 'a b', ranges: [[0, 1]] } }],
    },
  }
  upstream.models = (reply, request) => {
    const found = answers[request.path]
    const missing = json(openAiError('There is no route.', 'route_not_found'), { status: 404 })
    return (found === undefined ? missing : json(found))(reply, request)
  }
  const backend = backendTo(upstream.baseUrl, 'key', 'zöe')
  expect(await backend.sessions(5)).toEqual([
    { id: 's 1', opening: undefined, messages: undefined, lastUsedAt: Date.UTC(2026, 0, 2, 3, 4, 5) },
    { id: 's2', opening: undefined, messages: undefined, lastUsedAt: undefined },
  ])
  expect(await backend.sessions(1)).toHaveLength(1)
  expect(await backend.search('a b', 5)).toEqual([
    { conversationId: 'conv_1', seq: 3, role: 'user', text: 'a b', ranges: [[0, 1]] },
  ])
  const chat = new Chat({ backend, model: 'gpt-test' })
  await chat.resume('s 1')
  await ask(chat, 'two')
  expect(upstream.journal[0]?.text).toContain('"messages":[{"role":"user","content":"one"},')
  for (const missing of [() => backend.open('s3'), () => backend.search('other', 5)])
    expect((await failure('usage', missing())).message).toContain('The gateway at')
})

const byModel: Answer = (reply, request) =>
  saying(request.text.includes('"model":"a"') ? 'I am a' : 'I am b')(reply, request)

test('a comparison over a gateway is one group there, and the reply that is taken goes on', async () => {
  const { running, chat } = await start(byModel)
  await ask(chat, 'Hello')
  const { conversationId } = chat.thread
  const said = ['', '']
  const signal = new AbortController().signal
  const comparison = await chat.compare('Who?', ['a', 'b'], signal, (index, text) => {
    said[index] += text
  })
  expect(said).toEqual(['I am a', 'I am b'])
  expect(comparison.answers).toMatchObject([
    { status: 'completed', text: 'I am a', usage: { inputTokens: 7 }, error: undefined },
    { status: 'completed', text: 'I am b', thread: chat.thread },
  ])
  await comparison.choose(1)
  await ask(chat, 'Go on')
  expect(chat.thread).toEqual({ sessionId: conversationId, conversationId })
  const { stele } = running
  expect((await historyOf(stele, conversationId ?? '')).map(({ content }) => content)).toEqual([
    'Hello',
    'I am b',
    'Who?',
    'I am b',
    'Go on',
    'I am b',
  ])
  const group = await stele.calls.group('ada', comparison.answers[1]?.callId ?? '')
  expect(group.map(({ routeMode, status }) => [routeMode, status])).toEqual([
    ['compare', 'completed'],
    ['compare', 'completed'],
  ])
  expect(await countOf(stele, 'conversations')).toBe(1)
})

test('with none taken over a gateway the question stays, in a conversation that is found again', async () => {
  const { running, chat } = await start(byModel)
  const { choose } = await compare(chat, 'Who?', ['a', 'b'])
  await choose(undefined)
  await ask(chat, 'Never mind')
  const history = await historyOf(running.stele, chat.thread.conversationId ?? '')
  expect(history.map(({ content }) => content)).toEqual(['Who?', 'Never mind', 'I am b'])
  expect(await chat.backend.sessions(5)).toMatchObject([{ id: chat.thread.sessionId }])
})

test('a comparison over a gateway that is stopped keeps what had come, and a part of a reply may be taken', async () => {
  const halfway: Answer = async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'Once' }))
  }
  const { running, chat } = await start((reply, request) =>
    (request.text.includes('"model":"a"') ? halfway : byModel)(reply, request),
  )
  const stop = new AbortController()
  const said = new Set<number>()
  const { answers, choose } = await chat.compare('A story', ['a', 'b'], stop.signal, index => {
    if (said.add(index).size === 2) stop.abort()
  })
  expect(answers[0]).toMatchObject({
    status: 'aborted',
    text: 'Once',
    error: { code: 'client_closed_request' },
  })
  await choose(0)
  await ask(chat, 'Go on')
  const history = await historyOf(running.stele, chat.thread.conversationId ?? '')
  expect(history.map(({ content }) => content)).toEqual(['A story', 'Once', 'Go on', 'I am b'])
  expect(await countOf(running.stele, 'conversations')).toBe(1)
})

test('what a gateway does not compare, or one that goes away meanwhile, is told', async () => {
  const old = new Chat({ backend: backendTo((await startUpstream()).baseUrl), model: 'a' })
  const missing = json(openAiError('There is no route.', 'route_not_found'), { status: 404 })
  const upstream = await startUpstream(missing)
  const chatOfOld = new Chat({ backend: backendTo(upstream.baseUrl), model: 'a' })
  expect((await failure('usage', compare(chatOfOld, 'Who?', ['a', 'b']))).message).toContain(
    'compares nothing',
  )
  await failure('gateway_error', compare(old, 'Who?', ['a', 'b']))

  const { running, chat } = await start(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'Half' }))
  })
  const { answers, choose } = await chat.compare('Who?', ['a', 'b'], new AbortController().signal, () =>
    running.gateway.app.server.closeAllConnections(),
  )
  expect(answers.map(({ status, error }) => [status, error?.code])).toEqual([
    ['failed', 'gateway_unreachable'],
    ['failed', 'gateway_unreachable'],
  ])
  await choose(undefined)
  const failing = await start(json(openAiError('Out of order.'), { status: 500 }), byModel)
  const { answers: half } = await compare(failing.chat, 'Who?', ['a', 'b'])
  expect(half.map(({ status }) => status).sort()).toEqual(['completed', 'failed'])
  const failed = half.find(({ status }) => status === 'failed')
  expect(failed).toMatchObject({ message: undefined, error: { code: 'gateway_error' } })
  expect(failed?.error?.message).toContain('Out of order.')
})
