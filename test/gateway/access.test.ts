import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { errorOf, recorded, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

const paths: [method: string, path: string][] = [
  ['POST', '/v1/chat/completions'],
  ['GET', '/v1/models'],
  ['GET', '/v1/models/gpt-test'],
  ['GET', '/v1/no-such-route'],
  ['DELETE', '/v1/models'],
]

test.each(paths)('%s %s wants a key that is known, not revoked and not expired', async (method, path) => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const { apiKeys } = running.stele
  const revoked = await apiKeys.create({ userId: 'ada' })
  await apiKeys.revoke(revoked.id)
  const expired = await apiKeys.create({ userId: 'ada', expiresAt: Date.now() - 1 })
  const attempts: [authorization: string | undefined, code: string][] = [
    [undefined, 'missing_api_key'],
    ['', 'missing_api_key'],
    ['Bearer', 'missing_api_key'],
    ['Bearer ', 'missing_api_key'],
    [`Basic ${running.key}`, 'missing_api_key'],
    [running.key, 'missing_api_key'],
    ['Bearer sk-nobody-knows-me', 'invalid_api_key'],
    [`Bearer ${running.key}x`, 'invalid_api_key'],
    [`Bearer ${running.key.slice(0, -1)}`, 'invalid_api_key'],
    ['Bearer é\xff', 'invalid_api_key'],
    [`Bearer ${revoked.secret}`, 'invalid_api_key'],
    [`Bearer ${expired.secret}`, 'invalid_api_key'],
  ]
  for (const [authorization, code] of attempts) {
    const headers = {
      ...(authorization === undefined ? {} : { authorization }),
      'content-type': 'application/json',
    }
    const body = method === 'POST' ? { body: JSON.stringify(questionOf('Hi')) } : {}
    const reply = await running.send(method, path, { headers, ...body })
    expect({ authorization, status: reply.status }).toEqual({ authorization, status: 401 })
    expect(errorOf(reply)).toMatchObject({ code, type: 'authentication_error' })
    expect(reply.text).not.toMatch(/sk-/)
  }
  expect(upstream.journal).toHaveLength(0)
  expect(running.log()).not.toMatch(/sk-/)
})

test('a key that is revoked or expires stops working within seconds of its last use', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  const { apiKeys } = running.stele
  const key = await apiKeys.create({ userId: 'ada' })
  const ask = async () =>
    (await running.post(questionOf('Hi'), { authorization: `bearer  ${key.secret}` })).status
  expect(await ask()).toBe(200)
  await apiKeys.revoke(key.id)
  await expect.poll(ask, { timeout: 5_000, interval: 100 }).toBe(401)
})

test('health is told without a key', async () => {
  const running = await startGateway()
  expect(JSON.parse((await running.send('GET', '/healthz')).text)).toEqual({ status: 'ok' })
  expect(JSON.parse((await running.send('GET', '/readyz')).text)).toEqual({
    status: 'ready',
    waiting: 0,
    providers: {},
    audit_log: 'ok',
  })
})

const named: [how: string, body: object, headers: Record<string, string>, param: string][] = [
  ['the user field', { user: 'bob' }, {}, 'user'],
  ['the header', {}, { 'x-stele-user': 'bob' }, 'x-stele-user'],
]

test.each(named)('a member key cannot act for another by %s', async (_, body, headers, param) => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const reply = await running.post({ ...questionOf('Hi'), ...body }, headers)
  expect(reply.status).toBe(403)
  expect(errorOf(reply)).toMatchObject({ code: 'permission_denied', type: 'permission_error', param })
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test.each(named)('a service key and an admin key act for whom they name by %s', async (_, body, headers) => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  for (const scope of ['service', 'admin'] as const) {
    const authorization = `Bearer ${await running.newKey('app', scope)}`
    const reply = await running.post(
      { ...questionOf(`Hi from ${scope}`), ...body },
      { ...headers, authorization },
    )
    expect((await recorded(running, reply.headers['x-stele-call-id'])).call.userId).toBe('bob')
  }
})

test('a key acts for its own user when it names nobody or itself; the header outranks the field', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  const userOf = async (body: object, headers: Record<string, string> = {}) => {
    const reply = await running.post({ ...questionOf('Hi'), ...body }, headers)
    return (await recorded(running, reply.headers['x-stele-call-id'])).call.userId
  }
  expect(await userOf({})).toBe('ada')
  expect(await userOf({ user: 'ada' }, { 'x-stele-user': 'ada' })).toBe('ada')
  const authorization = `Bearer ${await running.newKey('app', 'service')}`
  expect(await userOf({}, { authorization })).toBe('app')
  expect(await userOf({ user: 'bob' }, { authorization, 'x-stele-user': 'eve' })).toBe('eve')
})

test('a name beyond ASCII is the same user in the header and in the body', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  const authorization = `Bearer ${await running.newKey('app', 'service')}`
  const name = 'Élodie Grüße 🪨'
  const asHeader = Buffer.from(name).toString('latin1')
  const replies = [
    await running.post({ ...questionOf('one'), user: name }, { authorization }),
    await running.post(questionOf('two'), { authorization, 'x-stele-user': asHeader }),
  ]
  for (const { headers } of replies)
    expect((await recorded(running, headers['x-stele-call-id'])).call.userId).toBe(name)
})

describeEachDatabase('users', bed => {
  test.each([
    ['with a NUL', 'a\u0000b'],
    ['with an escape sequence', '\u001b[31mred'],
    ['with a line break', 'a\nb'],
    ['with a lone surrogate', 'a\ud800'],
    ['of 257 characters', 'x'.repeat(257)],
  ])('a user name %s is refused, not stored', async (_, user) => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const authorization = `Bearer ${await running.newKey('app', 'service')}`
    const reply = await running.post({ ...questionOf('Hi'), user }, { authorization })
    expect(reply.status).toBe(400)
    expect(errorOf(reply)).toMatchObject({ code: 'invalid_value', param: 'user' })
    expect(upstream.journal).toHaveLength(0)
    expect((await running.stele.users.list()).map(({ id }) => id).sort()).toEqual(['ada', 'app'])
  })
})

test.each([
  ['that is no id', 'latest'],
  ['of another kind', 'call_01h455vb4pex5vsknk084sn02q'],
  ['that is unknown', 'conv_01h455vb4pex5vsknk084sn02q'],
  ['that is overlong', `conv_${'0'.repeat(500)}`],
])('a conversation %s is not found', async (_, conversation) => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const reply = await running.post(questionOf('Hi'), { 'x-stele-conversation': conversation })
  expect(reply.status).toBe(404)
  expect(errorOf(reply).code).toBe('conversation_not_found')
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test("another user's conversation is not found, and keeps what it had", async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const conversation = String((await running.post(questionOf('mine'))).headers['x-stele-conversation'])
  const authorization = `Bearer ${await running.newKey('bob')}`
  const reply = await running.post(questionOf('let me in'), {
    authorization,
    'x-stele-conversation': conversation,
  })
  expect(reply.status).toBe(404)
  expect(upstream.journal).toHaveLength(1)
  expect(await running.stele.conversations.get('ada', conversation)).toMatchObject({ nextSeq: 2 })
})
