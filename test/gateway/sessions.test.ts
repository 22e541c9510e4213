import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase, sqlitePlace } from '../harness/databases.ts'
import { askedOf } from './responding.ts'
import { errorOf, type Running, recorded, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { openAiError } from './wire.ts'

const chat = { chatModel: 'gpt-test', chatSystem: 'Be a coach.', chatGreeting: 'Hello, how can I help?' }

interface SessionList {
  readonly user_id: string
  readonly sessions: { session_id: string; created_at: string; last_accessed: string }[]
  readonly next: string | null
}

/** The routes as a client without a library uses them. */
function routesOf(running: Running, key = running.key) {
  const ask = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
    running.send(method, path, {
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  return {
    ask,
    say: (text: string, more: object = {}, headers: Record<string, string> = {}) =>
      ask('POST', '/chat', { user_text: text, ...more }, headers),
    sessions: async (user: string, query = ''): Promise<SessionList> =>
      JSON.parse((await ask('GET', `/sessions/${encodeURIComponent(user)}${query}`)).text),
    history: async (user: string, session: string): Promise<[string, string][]> => {
      const path = `/history/${encodeURIComponent(user)}/${encodeURIComponent(session)}`
      const read = JSON.parse((await ask('GET', path)).text) as {
        messages: { role: string; content: string }[]
      }
      expect(read).toEqual({ user_id: user, session_id: session, messages: read.messages })
      return read.messages.map(({ role, content }) => [role, content])
    },
  }
}

describeEachDatabase('sessions', bed => {
  test('a chat begins with its system message and greeting and goes on with its history', async () => {
    const upstream = await startUpstream(json(completion('First reply')), json(completion('Second reply')))
    const running = await startGateway({ place: await bed.place(), upstream, config: chat })
    const { say, history, sessions } = routesOf(running)
    const first = await say('How do I run?', { session_id: 'web-1' })
    expect(first.status).toBe(200)
    expect(JSON.parse(first.text)).toEqual({ user_id: 'ada', session_id: 'web-1', reply: 'First reply' })
    await say('And then?', { session_id: 'web-1', user_id: 'ada' })

    const said = [
      ['system', 'Be a coach.'],
      ['assistant', 'Hello, how can I help?'],
      ['user', 'How do I run?'],
      ['assistant', 'First reply'],
      ['user', 'And then?'],
    ] as const
    const asked = upstream.journal.map(request => askedOf(request))
    expect(asked.map(({ model }) => model)).toEqual(['gpt-test', 'gpt-test'])
    expect(asked[1]?.messages.map(({ role, content }) => [role, content])).toEqual(said)
    expect(await history('ada', 'web-1')).toEqual([...said, ['assistant', 'Second reply']])

    const conversation = String(first.headers['x-stele-conversation'])
    expect(await running.stele.conversations.list({ userId: 'ada' })).toMatchObject([{ id: conversation }])
    const { call, request } = await recorded(running, first.headers['x-stele-call-id'])
    expect(call).toMatchObject({
      conversationId: conversation,
      status: 'completed',
      requestModel: 'gpt-test',
    })
    expect(request).toBe(upstream.journal[0]?.text)
    const { sessions: listed } = await sessions('ada')
    expect(listed).toMatchObject([{ session_id: 'web-1' }])
    for (const time of [listed[0]?.created_at, listed[0]?.last_accessed])
      expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  test('turns of one session that come at once are taken one after another', async () => {
    const running = await startGateway({ place: await bed.place() })
    const { say, history } = routesOf(running)
    const texts = Array.from({ length: 6 }, (_, index) => `question ${index}`)
    const replies = await Promise.all(texts.map(text => say(text)))
    expect(replies.map(({ status }) => status)).toEqual(texts.map(() => 200))
    const turns = await history('ada', 'default')
    const asked = turns.filter((_, index) => index % 2 === 0)
    expect(asked.map(([, text]) => text).sort()).toEqual(texts)
    expect(turns).toEqual(
      asked.flatMap(([, text]) => [
        ['user', text],
        ['assistant', text],
      ]),
    )
    expect(await running.stele.conversations.list({ userId: 'ada' })).toHaveLength(1)
  })

  test('sessions are listed by their last use, page by page, and a deleted one is gone', async () => {
    const running = await startGateway({ place: await bed.place() })
    const { say, sessions, history, ask } = routesOf(running)
    for (const session_id of ['a', 'b', 'c', 'ü/ 1', 'a']) await say('Hi', { session_id })
    const found: string[] = []
    for (let query = '?limit=2'; ; ) {
      const page = await sessions('ada', query)
      found.push(...page.sessions.map(({ session_id }) => session_id))
      if (page.next === null) break
      query = `?limit=2&after=${encodeURIComponent(page.next)}`
    }
    expect(found).toEqual(['a', 'ü/ 1', 'c', 'b'])
    const own = JSON.parse((await ask('GET', '/sessions?limit=1')).text) as SessionList
    expect(own).toMatchObject({ user_id: 'ada', sessions: [{ session_id: 'a', title: 'Hi' }] })

    const path = `/sessions/ada/${encodeURIComponent('ü/ 1')}`
    const gone = { status: 'deleted', user_id: 'ada', session_id: 'ü/ 1' }
    expect(JSON.parse((await ask('DELETE', path)).text)).toEqual(gone)
    expect((await sessions('ada')).sessions.map(({ session_id }) => session_id)).toEqual(['a', 'c', 'b'])
    expect(await history('ada', 'ü/ 1')).toEqual([])
    expect(JSON.parse((await ask('DELETE', path)).text)).toEqual(gone)
    await say('Again', { session_id: 'ü/ 1' })
    expect(await history('ada', 'ü/ 1')).toEqual([
      ['user', 'Again'],
      ['assistant', 'Again'],
    ])
  })
})

test('a turn that another process is taking is in the way of one here, and nothing is lost', async () => {
  const upstream = await startUpstream(json(completion('reply')))
  const here = await startGateway({ upstream, config: chat, place: await sqlitePlace() })
  const there = await startGateway({ upstream, config: chat, place: here.place })
  const one = routesOf(here)
  const other = routesOf(there, here.key)
  await one.say('before')
  let late: Awaited<ReturnType<typeof one.say>> | undefined
  upstream.whenReceived(async () => {
    late ??= await other.say('meanwhile')
  })
  expect((await one.say('first')).status).toBe(200)
  expect(late?.status).toBe(409)
  if (late !== undefined) expect(errorOf(late).code).toBe('conversation_locked')
  expect((await other.say('after')).status).toBe(200)
  const turns = (await one.history('ada', 'default')).slice(2).map(([, text]) => text)
  expect(turns).toEqual(['before', 'reply', 'first', 'reply', 'after', 'reply'])
})

test('of first turns that two processes take at once, each is in the session or was refused', async () => {
  const here = await startGateway({ place: await sqlitePlace(), config: { chatGreeting: 'Hello!' } })
  const there = await startGateway({ place: here.place, config: { chatGreeting: 'Hello!' } })
  const one = routesOf(here)
  const other = routesOf(there, here.key)
  for (let round = 0; round < 8; round++) {
    const session_id = `s${round}`
    const replies = await Promise.all([one.say('a', { session_id }), other.say('b', { session_id })])
    for (const reply of replies)
      if (reply.status !== 200) expect(errorOf(reply).code).toBe('conversation_locked')
    const taken = replies.filter(({ status }) => status === 200).map(({ text }) => JSON.parse(text).reply)
    expect(taken.length).toBeGreaterThan(0)
    const [greeting, ...turns] = (await one.history('ada', session_id)).map(([, text]) => text)
    expect(greeting).toBe('Hello!')
    expect(turns.filter((_, index) => index % 2 === 0).sort()).toEqual(taken.sort())
    expect(turns.filter((_, index) => index % 2 === 1)).toEqual(turns.filter((_, index) => index % 2 === 0))
  }
})

test('a question that came to nothing is told to nobody again', async () => {
  const upstream = await startUpstream(json(openAiError('no'), { status: 500 }), json(completion('reply')))
  const running = await startGateway({ upstream, config: chat })
  const { say, history } = routesOf(running)
  expect((await say('in vain')).status).toBe(500)
  expect((await say('once more')).status).toBe(200)
  expect((await history('ada', 'default')).slice(2)).toEqual([
    ['user', 'once more'],
    ['assistant', 'reply'],
  ])
  expect(askedOf(upstream.journal[1] as never).messages.map(({ content }) => content)).not.toContain(
    'in vain',
  )
})

test('a turn that is repeated under its key gives the same reply and makes no other call', async () => {
  const upstream = await startUpstream(json(completion('one')), json(completion('two')))
  const running = await startGateway({ upstream, config: chat })
  const { say, history } = routesOf(running)
  const headers = { 'idempotency-key': 'k1' }
  const first = await say('Hi', {}, headers)
  const again = await say('Hi', {}, headers)
  expect(again.headers['idempotent-replayed']).toBe('true')
  expect(again.text).toBe(first.text)
  expect(upstream.journal).toHaveLength(1)
  expect(await history('ada', 'default')).toHaveLength(4)
  const other = await say('Something else', {}, headers)
  expect(other.status).toBe(409)
  expect(errorOf(other).code).toBe('idempotency_key_reused')
  const together = await Promise.all([1, 2, 3].map(() => say('Now', {}, { 'idempotency-key': 'k2' })))
  expect(new Set(together.map(({ text }) => text)).size).toBe(1)
  expect(upstream.journal).toHaveLength(2)
})

test('who chats, and for whom, goes by the key', async () => {
  const running = await startGateway()
  const app = routesOf(running, await running.newKey('app', 'service'))
  const ada = routesOf(running)
  expect(JSON.parse((await app.say('Hi')).text)).toMatchObject({ user_id: 'default', session_id: 'default' })
  expect(JSON.parse((await app.say('Hi', { user_id: 'bob' })).text)).toMatchObject({ user_id: 'bob' })
  const asEve = await app.say('Hi', {}, { 'x-stele-user': 'eve' })
  expect(JSON.parse(asEve.text)).toMatchObject({ user_id: 'eve' })
  expect(JSON.parse((await ada.say('Hi')).text)).toMatchObject({ user_id: 'ada' })
  expect((await ada.say('Hi', { user_id: 'bob' })).status).toBe(403)
  for (const user_id of ['', 'x'.repeat(257)])
    expect(errorOf(await app.say('Hi', { user_id }))).toMatchObject({
      code: 'invalid_value',
      param: 'user_id',
    })
  expect((await app.sessions('bob')).sessions).toHaveLength(1)
  expect((await app.ask('GET', '/sessions/bob', undefined, { 'x-stele-user': 'eve' })).status).toBe(403)
  expect((await ada.ask('GET', '/sessions/bob')).status).toBe(403)
})

test('a conversation is a session by the name that it is given, at once or later', async () => {
  const running = await startGateway()
  const { sessions, ask } = routesOf(running)
  const make = async (body: object) =>
    JSON.parse((await ask('POST', '/v1/conversations', body)).text) as { id: string }
  const named = async () => (await sessions('ada')).sessions.map(({ session_id }) => session_id)
  await make({ session_id: 'first' })
  const { id } = await make({ metadata: { kept: 'yes' } })
  expect(await named()).toEqual(['first'])
  const path = `/v1/conversations/${id}`
  expect(JSON.parse((await ask('POST', path, { session_id: id })).text)).toMatchObject({
    metadata: { kept: 'yes' },
  })
  expect((await named()).sort()).toEqual([id, 'first'])
  expect((await ask('POST', path, { session_id: 'first' })).status).toBe(409)
  expect((await ask('POST', path, { session_id: '' })).status).toBe(400)
  expect((await ask('POST', path, { session_id: null })).status).toBe(200)
  expect(await named()).toEqual(['first'])
})

test('a session that an application has made is gone on with', async () => {
  const running = await startGateway()
  const { conversations } = running.stele
  const messages = [{ message: { role: 'system', content: [{ type: 'text', text: 'Be brief.' }] } }]
  await conversations.create({ userId: 'ada', sessionId: 'mine', messages })
  const { say, history } = routesOf(running)
  await say('Hi', { session_id: 'mine' })
  expect(await history('ada', 'mine')).toEqual([
    ['system', 'Be brief.'],
    ['user', 'Hi'],
    ['assistant', 'Hi'],
  ])
})

test('without a model for chats none is made up', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('no'))) })
  const reply = await routesOf(running).say('Hi')
  expect(reply.status).toBe(404)
  expect(errorOf(reply).message).toContain('STELE_CHAT_MODEL')
})

const bad: readonly [method: string, path: string, body: string, status: number, code: string][] = [
  ['POST', '/chat', '', 400, 'invalid_json'],
  ['POST', '/chat', '[]', 400, 'invalid_json'],
  ['POST', '/chat', '{}', 400, 'missing_required_parameter'],
  ['POST', '/chat', '{"user_text":""}', 400, 'invalid_value'],
  ['POST', '/chat', '{"user_text":7}', 400, 'invalid_value'],
  ['POST', '/chat', '{"user_text":"\\ud800"}', 400, 'invalid_value'],
  ['POST', '/chat', '{"user_text":"Hi","session_id":""}', 400, 'invalid_value'],
  ['POST', '/chat', '{"user_text":"Hi","session_id":"a\\u0000"}', 400, 'invalid_value'],
  ['POST', '/chat', `{"user_text":"Hi","session_id":"${'x'.repeat(257)}"}`, 400, 'invalid_value'],
  ['POST', '/chat', '{"user_text":"Hi","user_id":"a\\nb"}', 400, 'invalid_value'],
  ['POST', '/chat', '{"user_text":"Hi","user_id":""}', 400, 'invalid_value'],
  ['GET', '/sessions/ada?limit=0', '', 400, 'invalid_value'],
  ['GET', '/sessions/ada?limit=1001', '', 400, 'invalid_value'],
  ['GET', '/sessions/ada?limit=1&limit=2', '', 400, 'invalid_value'],
  ['GET', '/sessions/ada?after=x', '', 400, 'invalid_value'],
  ['GET', '/sessions/a%00b', '', 400, 'invalid_value'],
  ['GET', '/sessions/', '', 400, 'invalid_value'],
  ['GET', '/history/ada/a%00b', '', 400, 'invalid_value'],
  ['GET', `/history/ada/${'%F0%9F%AA%A8'.repeat(200)}`, '', 400, 'invalid_value'],
  ['DELETE', '/sessions/ada/a%00b', '', 400, 'invalid_value'],
  ['PUT', '/sessions/ada', '', 405, 'method_not_allowed'],
  ['POST', '/history/ada/web', '{}', 405, 'method_not_allowed'],
]

test('what is no such request is refused in words, on every route, and makes nothing', async () => {
  const running = await startGateway()
  for (const [method, path, body, status, code] of bad) {
    const reply = await running.send(method, path, {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      ...(method === 'POST' ? { body } : {}),
    })
    const told = { status: reply.status, code: errorOf(reply).code }
    expect(told, `${method} ${path} ${body}`).toEqual({ status, code })
  }
  expect(await running.stele.conversations.list()).toEqual([])
})
