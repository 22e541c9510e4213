import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { headersOf } from './isolation-recipes.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'

const password = 'a long enough secret'
const json = { 'content-type': 'application/json' }

function post(
  { send }: Running,
  path: string,
  body: object,
  headers: Record<string, string> = json,
): Promise<RawReply> {
  return send('POST', path, { headers: { ...json, ...headers }, body: JSON.stringify(body) })
}

function fieldsOf({ text }: RawReply): Record<string, unknown> {
  return JSON.parse(text) as Record<string, unknown>
}

const bearer = (token: unknown) => ({ authorization: `Bearer ${String(token)}` })

/** The cookie as a browser sends it back. */
function cookieOf({ headers }: RawReply): string {
  return String(headers['set-cookie']).split(';', 1)[0] ?? ''
}

async function open(config: Record<string, unknown> = {}): Promise<Running> {
  return startGateway({ config: { registration: 'open', ...config } })
}

describeEachDatabase('accounts over HTTP', bed => {
  test('register, call, read, log out; log in again, change the password', async () => {
    const running = await startGateway({ place: await bed.place(), config: { registration: 'open' } })
    const made = await post(running, '/v1/auth/register', { user: 'eve', password, email: 'eve@example.org' })
    expect(made.status, made.text).toBe(200)
    const first = fieldsOf(made)
    expect(first).toMatchObject({
      object: 'session',
      user: 'eve',
      token: expect.stringMatching(/^ss-stele-/),
    })
    const hello = { model: 'echo', input: 'Hello' }
    const called = await post(running, '/v1/responses', hello, bearer(first['token']))
    const { id } = fieldsOf(called)
    const more = { ...hello, previous_response_id: id }
    expect((await post(running, '/v1/responses', more, bearer(first['token']))).status).toBe(200)
    const [call] = await running.stele.calls.list({ userId: 'eve' })
    expect(call?.apiKeyId).toBe(first['id'])
    const who = await running.send('GET', '/v1/auth/session', { headers: bearer(first['token']) })
    expect(fieldsOf(who)).toMatchObject({ user: 'eve', role: 'member', object: 'session' })

    const again = fieldsOf(await post(running, '/v1/auth/login', { user: 'eve@example.org', password }))
    const change = { current_password: password, new_password: 'another long secret' }
    expect((await post(running, '/v1/auth/password', change, bearer(again['token']))).status).toBe(200)
    const ended = await running.send('GET', '/v1/auth/session', { headers: bearer(first['token']) })
    expect(errorOf(ended)).toMatchObject({ code: 'invalid_session', type: 'authentication_error' })
    expect(fieldsOf(await post(running, '/v1/auth/logout', {}, bearer(again['token'])))).toMatchObject({
      ended: 1,
    })
    const over = await running.send('GET', '/v1/auth/session', { headers: bearer(again['token']) })
    expect(over.status).toBe(401)
    expect(errorOf(await post(running, '/v1/auth/login', { user: 'eve', password })).code).toBe(
      'login_failed',
    )
    for (const secret of [password, 'another long secret', String(first['token']), String(again['token'])])
      expect(running.log()).not.toContain(secret)
  })

  test('an administrator makes a user, whose first password is only good for choosing another', async () => {
    const running = await startGateway({ place: await bed.place() })
    const admin = bearer(await running.newKey('root', 'admin'))
    const given = { user: 'eve', password, role: 'auditor' }
    expect(fieldsOf(await post(running, '/v1/users', given, admin))).toMatchObject({
      id: 'eve',
      role: 'auditor',
    })
    expect(errorOf(await post(running, '/v1/users', given, admin)).code).toBe('already_exists')
    const login = { user: 'eve', password }
    expect(errorOf(await post(running, '/v1/auth/login', login))).toMatchObject({
      code: 'password_change_required',
      param: 'new_password',
    })
    const chosen = await post(running, '/v1/auth/login', { ...login, new_password: 'chosen by herself' })
    const { token } = fieldsOf(chosen)
    const events = await running.send('GET', '/v1/audit_events?user=eve&category=security', {
      headers: bearer(token),
    })
    const { data } = fieldsOf(events) as { data: { action: string; actor: string }[] }
    expect(data.map(({ action, actor }) => `${action} by ${actor}`)).toEqual([
      'login.succeeded by eve',
      'password.changed by eve',
      'login.refused by eve',
      'password.changed by root',
      'user.created by root',
    ])
    // Her role is taken at once.
    const change = await post(running, '/v1/users/eve', { role: 'member' }, admin)
    expect(fieldsOf(change)).toMatchObject({ role: 'member' })
    expect((await running.send('GET', '/v1/audit_events', { headers: bearer(token) })).status).toBe(403)
    await post(running, '/v1/users/eve', { status: 'suspended' }, admin)
    expect((await running.send('GET', '/v1/auth/session', { headers: bearer(token) })).status).toBe(401)
    for (const role of ['service', 'emperor'])
      expect(errorOf(await post(running, '/v1/users/eve', { role }, admin)).code).toBe('invalid_value')
  })
})

test('registration is closed unless it is opened, and never takes over who is there', async () => {
  const closed = await startGateway()
  const request = { user: 'eve', password }
  expect(errorOf(await post(closed, '/v1/auth/register', request)).code).toBe('registration_closed')
  expect(await closed.stele.users.get('eve')).toBeUndefined()
  const running = await open()
  // Ada has a key and no password.
  expect(errorOf(await post(running, '/v1/auth/register', { user: 'ada', password })).code).toBe(
    'already_exists',
  )
  expect(await rowsOf(running.stele, 'user_passwords')).toEqual([])
  for (const bad of ['short', 'aaaaaaaaaaaaaaaaaaaa', 'x'.repeat(1_025), 'a\ud800 long enough secret'])
    expect((await post(running, '/v1/auth/register', { user: 'eve', password: bad })).status, bad).toBe(400)
})

test('the cookie of a session is for this origin alone', async () => {
  const running = await open()
  const made = await post(running, '/v1/auth/register', { user: 'eve', password })
  const set = String(made.headers['set-cookie'])
  expect(set).toMatch(
    /^stele_session=ss-stele-[\w-]{49}; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict$/,
  )
  const cookie = cookieOf(made)
  const origin = running.address
  expect((await running.send('GET', '/v1/auth/session', { headers: { cookie } })).status).toBe(200)
  const body = { model: 'echo', messages: [{ role: 'user', content: 'Hello' }] }
  const ask = (headers: Record<string, string>) =>
    post(running, '/v1/chat/completions', body, { cookie, ...headers })
  for (const headers of [
    { origin },
    { 'sec-fetch-site': 'same-origin' },
    { origin, 'sec-fetch-site': 'same-origin' },
  ])
    expect((await ask(headers as Record<string, string>)).status, JSON.stringify(headers)).toBe(200)
  const refused: Record<string, string>[] = [
    {},
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: origin.replace(/\d+$/, '1') },
    { origin, 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'none' },
  ]
  for (const headers of refused)
    expect(errorOf(await ask(headers)).code, JSON.stringify(headers)).toBe('cross_origin_request')
  // A login from another site would have the browser act for somebody else unnoticed.
  const login = await post(
    running,
    '/v1/auth/login',
    { user: 'eve', password },
    { origin: 'https://evil.example' },
  )
  expect(errorOf(login).code).toBe('cross_origin_request')
  // Two cookies are none: one of them may be somebody else's.
  const two = await running.send('GET', '/v1/auth/session', {
    headers: { cookie: `${cookie}; stele_session=x` },
  })
  expect(errorOf(two).code).toBe('missing_api_key')
  const out = await post(running, '/v1/auth/logout', {}, { cookie, origin })
  expect(String(out.headers['set-cookie'])).toMatch(/^stele_session=; Path=\/; Max-Age=0;/)
  expect((await running.send('GET', '/v1/auth/session', { headers: { cookie } })).status).toBe(401)
})

test('anywhere but on the machine itself the cookie is for TLS alone', async () => {
  const running = await open({ trustedProxies: '127.0.0.1', allowedHosts: ['stele.example'] })
  const host = { host: 'stele.example' }
  const made = await post(running, '/v1/auth/register', { user: 'eve', password }, host)
  expect(String(made.headers['set-cookie'])).toMatch(/^__Host-stele_session=.*; Secure$/)
  const cookie = cookieOf(made)
  const status = async (sent: string) =>
    (await running.send('GET', '/v1/auth/session', { headers: { cookie: sent, ...host } })).status
  expect(await status(cookie)).toBe(200)
  // A neighbouring host can set a cookie of the other name: it neither logs in as somebody else nor is in the way.
  const slipped = cookie.replace('__Host-', '')
  expect(await status(slipped)).toBe(401)
  expect(await status(`${slipped}; ${cookie}`)).toBe(200)
})

test('nobody registers as a user of Stele’s own, nor by an address', async () => {
  const running = await open()
  await running.stele.apiKeys.create({ userId: 'app', scopes: ['service'] })
  for (const [user, code] of [
    ['admin', 'already_exists'],
    ['default', 'already_exists'],
    ['ada@example.org', 'invalid_value'],
  ] as const)
    expect(errorOf(await post(running, '/v1/auth/register', { user, password })).code, user).toBe(code)
  expect((await running.stele.users.list()).map(({ id }) => id)).toEqual(['ada', 'app'])
  // Whoever has no account yet keeps their attempts.
  expect(await rowsOf(running.stele, 'login_attempts')).toEqual([])
})

test('a session that nobody uses ends', async () => {
  const running = await open({ sessionIdle: 600 })
  const { token } = fieldsOf(await post(running, '/v1/auth/register', { user: 'eve', password }))
  const status = async () =>
    (await running.send('GET', '/v1/auth/session', { headers: bearer(token) })).status
  const seen = (ago: number) =>
    running.stele.database.kysely
      .updateTable('login_sessions')
      .set({ last_seen_at: Date.now() - ago })
      .execute()
  // In use it goes on: that is noted within a minute.
  await seen(500_000)
  expect(await status()).toBe(200)
  const seenAgo = async () =>
    Date.now() - ((await rowsOf(running.stele, 'login_sessions'))[0]?.last_seen_at ?? 0)
  await expect.poll(seenAgo).toBeLessThan(60_000)
  await seen(600_000)
  await expect.poll(status, { timeout: 5_000 }).toBe(401)
})

test('guessing a password is delayed, and told with when to try again', async () => {
  const running = await open({ trustedProxies: '127.0.0.1' })
  const from = (address: string) => ({ 'x-forwarded-for': address })
  await post(running, '/v1/auth/register', { user: 'eve', password }, from('192.0.2.1'))
  const guess = { user: 'eve', password: 'not this one, surely' }
  expect(errorOf(await post(running, '/v1/auth/login', guess, from('198.51.100.1'))).code).toBe(
    'login_failed',
  )
  await running.stele.database.kysely
    .updateTable('login_attempts')
    .where('subject', '=', 'user:eve')
    .set({ failures: 10 })
    .execute()
  const codes: string[] = []
  for (let index = 1; index < 4; index++)
    codes.push(errorOf(await post(running, '/v1/auth/login', guess, from(`198.51.100.${index}`))).code)
  expect(codes).toEqual(['login_failed', 'too_many_attempts', 'too_many_attempts'])
  const early = await post(running, '/v1/auth/login', { user: 'eve', password }, from('198.51.100.9'))
  expect(early.status).toBe(429)
  expect(Number(early.headers['retry-after'])).toBeGreaterThan(0)
  // She is not kept out: she has logged in from there before.
  expect((await post(running, '/v1/auth/login', { user: 'eve', password }, from('192.0.2.1'))).status).toBe(
    200,
  )
})

test('wrong API keys are delayed by address, known ones never', async () => {
  const running = await startGateway()
  const status = async (key: string) =>
    (await running.send('GET', '/v1/models', { headers: headersOf(key) })).status
  expect(await status(running.key)).toBe(200)
  const codes: number[] = []
  for (let index = 0; index < 30; index++) codes.push(await status(`sk-guess-${index}`))
  expect(codes.slice(0, 21)).toEqual(Array(21).fill(401))
  expect(codes).toContain(429)
  expect(await status(running.key)).toBe(200)
})
