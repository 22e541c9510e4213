import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { belongings, headersOf, secret } from './isolation-recipes.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'

interface KeyReply {
  readonly id: string
  readonly secret: string
  readonly scopes: string[]
}

function ask(
  { send }: Running,
  method: string,
  path: string,
  { key, body, headers = {} }: { key: string; body?: object; headers?: Record<string, string> },
): Promise<RawReply> {
  return send(method, path, {
    headers: headersOf(key, headers),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

async function made(running: Running, key: string, body: object = {}): Promise<KeyReply> {
  const reply = await ask(running, 'POST', '/v1/api_keys', { key, body })
  expect(reply.status, reply.text).toBe(200)
  return JSON.parse(reply.text) as KeyReply
}

const hello = { model: 'echo', messages: [{ role: 'user', content: 'Hello' }] }

describeEachDatabase('keys over HTTP', bed => {
  test('make, list, use, rotate, revoke', async () => {
    const running = await startGateway({ place: await bed.place() })
    const key = await made(running, running.key, {
      name: 'laptop',
      scopes: ['calls:make'],
      expires_in: 3_600,
    })
    const models = (secret: string) => ask(running, 'GET', '/v1/models', { key: secret })
    const chat = async (secret: string) =>
      (await ask(running, 'POST', '/v1/chat/completions', { key: secret, body: hello })).status
    expect(await chat(key.secret)).toBe(200)
    expect(errorOf(await models(key.secret)).code).toBe('permission_denied')
    const listed = await ask(running, 'GET', '/v1/api_keys', { key: running.key })
    expect(listed.text).toContain(key.id)
    expect(listed.text).not.toContain(key.secret)

    const rotated = await ask(running, 'POST', `/v1/api_keys/${key.id}/rotate`, {
      key: running.key,
      body: { grace: 3_600 },
    })
    const next = JSON.parse(rotated.text) as KeyReply
    expect(next).toMatchObject({ id: key.id, scopes: ['calls:make'] })
    expect([await chat(key.secret), await chat(next.secret)]).toEqual([200, 200])
    await ask(running, 'POST', `/v1/api_keys/${key.id}/rotate`, { key: running.key, body: { grace: 0 } })
    expect([await chat(key.secret), await chat(next.secret)]).toEqual([401, 401])
    const revoked = await ask(running, 'DELETE', `/v1/api_keys/${key.id}`, { key: running.key })
    expect(JSON.parse(revoked.text)).toMatchObject({ id: key.id, revoked_at: expect.any(Number) })
    const events = (await rowsOf(running.stele, 'audit_events')).filter(({ target }) => target === key.id)
    expect(events.map(({ action, actor }) => `${action} by ${actor}`)).toEqual([
      'api_key.created by ada',
      'permission.denied by ada',
      'api_key.rotated by ada',
      'api_key.rotated by ada',
      'api_key.rejected by ',
      'api_key.revoked by ada',
    ])
  })

  test('when a key was last used is on record, whatever it was used for', async () => {
    const running = await startGateway({ place: await bed.place(), store: { lease: 200 } })
    await running.stele.recorder.start()
    await ask(running, 'GET', '/v1/models', { key: running.key })
    const usedAt = async () => (await running.stele.apiKeys.list({ userId: 'ada' }))[0]?.lastUsedAt
    await expect.poll(usedAt, { timeout: 10_000 }).toBeTypeOf('number')
  })
})

test('no key may do more than the one that makes it, or its user', async () => {
  const running = await startGateway()
  const narrow = await running.newKey('ada', 'keys:write', 'keys:read')
  const admin = await running.newKey('root', 'admin')
  const refused: [key: string, body: object][] = [
    [running.key, { scopes: ['admin'] }],
    [running.key, { scopes: ['service'] }],
    [running.key, { scopes: ['content:any_user'] }],
    [narrow, { scopes: ['member'] }],
    [narrow, { scopes: ['calls:make'] }],
    [admin, { scopes: ['service'] }],
    [admin, { scopes: ['content:any_user'] }],
    [admin, { user: 'ada', scopes: ['admin'] }],
  ]
  for (const [key, body] of refused) {
    const reply = await ask(running, 'POST', '/v1/api_keys', { key, body })
    expect(errorOf(reply), JSON.stringify(body)).toMatchObject({ code: 'permission_denied', param: 'scopes' })
  }
  const unknown = await ask(running, 'POST', '/v1/api_keys', { key: admin, body: { scopes: ['public'] } })
  expect(errorOf(unknown)).toMatchObject({ code: 'invalid_value', param: 'scopes' })
  const stranger = await ask(running, 'POST', '/v1/api_keys', { key: admin, body: { user: 'nobody' } })
  expect(errorOf(stranger).code).toBe('user_not_found')
  // Neither by rotating one that may more.
  const [whole] = await running.stele.apiKeys.list({ userId: 'ada' })
  const service = await running.stele.apiKeys.create({ userId: 'root', scopes: ['service'] })
  for (const [key, id] of [
    [narrow, whole?.id],
    [admin, service.id],
  ]) {
    const reply = await ask(running, 'POST', `/v1/api_keys/${id}/rotate`, { key: key ?? '', body: {} })
    expect(errorOf(reply).code).toBe('permission_denied')
  }
  expect(await running.stele.apiKeys.holder(service.secret)).toBeDefined()
  // What it has itself it may pass on.
  expect((await made(running, narrow)).scopes).toEqual(['keys:write', 'keys:read'])
})

test('a key that an administrator made for somebody reads nothing, until its user takes it over', async () => {
  const running = await startGateway()
  const own = await belongings(running)
  const admin = await running.newKey('root', 'admin')
  const issued = await made(running, admin, { user: 'ada' })
  const read = (key: string) => ask(running, 'GET', `/v1/conversations/${own.conversation}`, { key })
  expect(
    (await ask(running, 'POST', '/v1/chat/completions', { key: issued.secret, body: hello })).status,
  ).toBe(200)
  const further = { model: 'echo', input: 'What did I say?', conversation: own.conversation }
  const refused = [
    await read(issued.secret),
    await ask(running, 'POST', '/v1/responses', { key: issued.secret, body: further }),
    await ask(running, 'POST', '/v1/api_keys', { key: issued.secret, body: {} }),
    await ask(running, 'POST', `/v1/api_keys/${issued.id}/rotate`, { key: issued.secret, body: {} }),
  ]
  for (const reply of refused) expect(errorOf(reply).code, reply.text).toBe('permission_denied')
  expect(refused[0]?.text).toContain('rotating it')
  await running.stele.logins.resetPassword('ada', 'given by the operator')
  const login = { user: 'ada', password: 'given by the operator', new_password: 'chosen by herself' }
  const session = JSON.parse(
    (await ask(running, 'POST', '/v1/auth/login', { key: '', body: login })).text,
  ) as {
    token: string
  }
  const rotated = await ask(running, 'POST', `/v1/api_keys/${issued.id}/rotate`, {
    key: session.token,
    body: {},
  })
  const taken = JSON.parse(rotated.text) as KeyReply
  expect((await read(taken.secret)).text).toContain(secret)
})

test('an admin key makes calls for end users, and goes on only from what was said through it', async () => {
  const running = await startGateway()
  const own = await belongings(running)
  const admin = await running.newKey('root', 'admin')
  const other = await running.newKey('root', 'admin')
  const post = (path: string, body: object, key = admin, headers = {}) =>
    ask(running, 'POST', path, { key, body, headers })
  // A first key in a hurried application: calls, responses that go on, chats with a memory.
  const asked = await post('/v1/chat/completions', { ...hello, user: 'u123' }, admin, {
    'idempotency-key': 'one',
  })
  expect(asked.status).toBe(200)
  const again = await post('/v1/chat/completions', { ...hello, user: 'u123' }, admin, {
    'idempotency-key': 'one',
  })
  expect([again.status, again.headers['idempotent-replayed']]).toEqual([200, 'true'])
  const first = await post('/v1/responses', { model: 'echo', input: 'Hello', user: 'u123' })
  const { id } = JSON.parse(first.text) as { id: string }
  const next = { model: 'echo', input: 'And then?', user: 'u123', previous_response_id: id }
  expect((await post('/v1/responses', next)).status).toBe(200)
  for (const user_text of ['One', 'Two'])
    expect((await post('/chat', { user_text, user_id: 'u123', session_id: 's' })).status).toBe(200)

  const refused: [path: string, body: object, key?: string, headers?: object][] = [
    ['/v1/responses', { model: 'echo', input: 'x', user: 'ada', conversation: own.conversation }],
    ['/v1/responses', { model: 'echo', input: 'x', user: 'ada', previous_response_id: own.response }],
    ['/chat', { user_text: 'x', user_id: 'ada', session_id: own.session }],
    ['/v1/chat/completions', { ...hello, model: 'replay/echo', user: 'ada' }],
    ['/v1/responses', next, other],
    ['/chat', { user_text: 'x', user_id: 'u123', session_id: 's' }, other],
    ['/v1/chat/completions', { ...hello, user: 'u123' }, other, { 'idempotency-key': 'one' }],
  ]
  for (const [path, body, key, headers] of refused) {
    const reply = await post(path, body, key ?? admin, headers)
    expect(errorOf(reply), JSON.stringify(body)).toMatchObject({ code: 'break_glass_required' })
    expect(reply.text).not.toContain(secret)
  }
  // A turn by somebody else in between makes it no longer the key's own.
  const service = await running.newKey('app', 'service')
  await post('/chat', { user_text: 'Between', user_id: 'u123', session_id: 's' }, service)
  const after = await post('/chat', { user_text: 'Three', user_id: 'u123', session_id: 's' })
  expect(errorOf(after).code).toBe('break_glass_required')

  await post('/v1/break_glass', { user: 'ada', reason: 'she asked for help' })
  for (const [path, body] of refused.slice(0, 3)) expect((await post(path, body)).status, path).toBe(200)
  const used = (await rowsOf(running.stele, 'audit_events')).filter(
    ({ action }) => action === 'break_glass.used',
  )
  expect(used).toHaveLength(3)
})

test('a grant that is revoked or another’s opens nothing', async () => {
  const running = await startGateway()
  await belongings(running)
  const [root, dan] = [await running.newKey('root', 'admin'), await running.newKey('dan', 'admin')]
  const read = (key: string) => ask(running, 'GET', '/v1/search?query=secret&user=ada', { key })
  const body = { user: 'ada', reason: 'she asked for help', expires_in: 60 }
  const grant = await ask(running, 'POST', '/v1/break_glass', { key: root, body })
  expect((await read(root)).text).toContain('search.hit')
  expect(errorOf(await read(dan)).code).toBe('break_glass_required')
  const { id } = JSON.parse(grant.text) as { id: string }
  expect((await ask(running, 'DELETE', `/v1/break_glass/${id}`, { key: dan })).status).toBe(200)
  expect(errorOf(await read(root)).code).toBe('break_glass_required')
  const bad = await ask(running, 'POST', '/v1/break_glass', {
    key: root,
    body: { ...body, reason: 'why not' },
  })
  expect(errorOf(bad)).toMatchObject({ code: 'invalid_value', param: 'reason' })
})

const settings = (reply: RawReply): unknown => {
  expect(reply.status, reply.text).toBe(200)
  const { content_mode, masking, cache, cache_partition, compression } = JSON.parse(reply.text)
  return { content_mode, masking, cache, cache_partition, compression }
}

describeEachDatabase('what a key demands', bed => {
  test('is said when it is made and changed later, and every request follows it from then on', async () => {
    const running = await startGateway({
      place: await bed.place(),
      config: { cache: { partitions: ['faq'] } },
    })
    const { key } = running
    const body = {
      masking: { in_storage: true },
      cache: 'exact',
      cache_partition: 'faq',
      compression: 'high',
    }
    const own = await made(running, key, body)
    const told = {
      content_mode: null,
      masking: { before_llm: false, in_storage: true },
      cache: 'exact',
      cache_partition: 'faq',
      compression: 'high',
    }
    expect(own).toMatchObject(told)
    const chat = () => ask(running, 'POST', '/v1/chat/completions', { key: own.secret, body: hello })
    expect((await chat()).headers).toMatchObject({ 'x-stele-cache': 'miss', 'x-stele-compression': 'high/2' })
    const change = (body: object, by = key) =>
      ask(running, 'PATCH', `/v1/api_keys/${own.id}`, { key: by, body })
    expect(settings(await change({ cache: 'off', cache_partition: null, compression: null }))).toEqual({
      ...told,
      cache: 'off',
      cache_partition: null,
      compression: null,
    })
    const { headers } = await chat()
    expect([headers['x-stele-cache'], headers['x-stele-compression']]).toEqual([undefined, undefined])
    const admin = await running.newKey('root', 'admin')
    expect(settings(await change({ masking: null, cache: null }, admin))).toEqual({
      ...told,
      masking: { before_llm: false, in_storage: false },
      cache: null,
      cache_partition: null,
      compression: null,
    })
    const events = (await rowsOf(running.stele, 'audit_events')).filter(
      ({ action }) => action === 'api_key.updated',
    )
    expect(events.map(({ actor, target, details }) => [actor, target, details])).toEqual([
      ['ada', own.id, '{"masking":"in-storage","cache":"off","compression":null}'],
      ['root', own.id, '{"masking":null,"cache":null,"compression":null}'],
    ])
  })

  test('nobody gets around it by a key of their own', async () => {
    const running = await startGateway({ place: await bed.place() })
    const { apiKeys } = running.stele
    const masking = { beforeLlm: true, inStorage: true }
    const careful = { masking, cache: { mode: 'off' }, contentMode: 'hashed' } as const
    const { secret } = await apiKeys.create({ userId: 'mia', ...careful, compression: 'low' })
    const free = await apiKeys.create({ userId: 'mia' })
    const child = await made(running, secret)
    const told = {
      content_mode: 'hashed',
      masking: { before_llm: true, in_storage: true },
      cache: 'off',
      cache_partition: null,
      compression: 'low',
    }
    expect(child).toMatchObject(told)
    for (const body of [
      { masking: null },
      { masking: { in_storage: false } },
      { cache: 'exact' },
      { cache: null },
      { content_mode: 'encrypted' },
      { content_mode: null },
    ]) {
      const create = await ask(running, 'POST', '/v1/api_keys', { key: secret, body })
      expect(errorOf(create).code, JSON.stringify(body)).toBe('permission_denied')
      if ('content_mode' in body) continue
      const change = await ask(running, 'PATCH', `/v1/api_keys/${child.id}`, { key: child.secret, body })
      expect(errorOf(change).code, JSON.stringify(body)).toBe('permission_denied')
    }
    const rotate = (id: string, key: string) =>
      ask(running, 'POST', `/v1/api_keys/${id}/rotate`, { key, body: {} })
    expect(errorOf(await rotate(free.id, secret)).code).toBe('permission_denied')
    expect((await rotate(child.id, secret)).status).toBe(200)
    expect((await rotate(child.id, free.secret)).status).toBe(200)
    // What protects nobody is free, and more may be asked for.
    expect(await made(running, secret, { compression: null })).toMatchObject({ ...told, compression: null })
    expect(await made(running, free.secret, { content_mode: 'hashed' })).toMatchObject({
      content_mode: 'hashed',
    })
    const plain = { key: free.secret, body: { content_mode: 'plain' } }
    expect(errorOf(await ask(running, 'POST', '/v1/api_keys', plain)).code).toBe('permission_denied')
  })
})

test('what no key can demand is refused by name', async () => {
  const running = await startGateway()
  const refused = [
    [{ cache: 'always' }, 'cache'],
    [{ cache_partition: 'user' }, 'cache_partition'],
    [{ compression: 'zip' }, 'compression'],
    [{ masking: { before_llm: 'yes' } }, 'masking.before_llm'],
  ] as const
  const [own] = await running.stele.apiKeys.list({ userId: 'ada' })
  for (const [body, param] of refused)
    for (const [method, path] of [
      ['POST', '/v1/api_keys'],
      ['PATCH', `/v1/api_keys/${own?.id}`],
    ] as const) {
      const reply = await ask(running, method, path, { key: running.key, body })
      expect(errorOf(reply), JSON.stringify(body)).toMatchObject({ code: 'invalid_value', param })
    }
})
