import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { belongings, headersOf, secret } from './isolation-recipes.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'

interface KeyReply {
  readonly id: string
  readonly secret: string
}

interface Asking {
  readonly body?: object
  readonly headers?: Record<string, string>
}

function ask(
  { send }: Running,
  key: string,
  method: string,
  path: string,
  { body, headers = {} }: Asking = {},
): Promise<RawReply> {
  return send(method, path, {
    headers: headersOf(key, headers),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

async function made(running: Running, key: string, path: string, body: object = {}): Promise<KeyReply> {
  const reply = await ask(running, key, 'POST', path, { body })
  expect(reply.status, reply.text).toBe(200)
  return JSON.parse(reply.text) as KeyReply
}

const further = { model: 'echo', input: 'Say it again.' }

describeEachDatabase('a key whose secret an administrator has seen', bed => {
  test('ends with that secret when its user takes it over', async () => {
    const running = await startGateway({ place: await bed.place() })
    const own = await belongings(running)
    const admin = await running.newKey('root', 'admin')
    const issued = await made(running, admin, '/v1/api_keys', { user: 'ada' })
    const read = (key: string) => ask(running, key, 'GET', `/v1/conversations/${own.conversation}`)
    const rotate = `/v1/api_keys/${issued.id}/rotate`
    // Whatever grace is asked for: the administrator would read what the taken key may.
    const taken = await made(running, running.key, rotate, { grace: 3_600 })
    expect((await read(taken.secret)).text).toContain(secret)
    expect(errorOf(await read(issued.secret)).code).toBe('invalid_api_key')
    // The operator gives it away just as well.
    const again = await made(running, admin, rotate)
    const { secret: given } = await running.stele.apiKeys.rotate(issued.id, { grace: 3_600_000 })
    expect((await read(given)).text).toContain(secret)
    expect(errorOf(await read(again.secret)).code).toBe('invalid_api_key')
    // Between two secrets that the administrator has seen, and two that he has not, there is time.
    const one = await made(running, running.key, rotate, { grace: 3_600 })
    expect([(await read(given)).status, (await read(one.secret)).status]).toEqual([200, 200])
  })

  test('goes on from nothing, not even from what was said through it', async () => {
    const running = await startGateway({ place: await bed.place() })
    const admin = await running.newKey('root', 'admin')
    const issued = await made(running, admin, '/v1/api_keys', { user: 'ada' })
    const said = (key: string, path: string, body: object) =>
      ask(running, key, 'POST', path, { body, headers: { 'idempotency-key': `once ${path}` } })
    const mine = { model: 'echo', input: secret }
    const first = JSON.parse((await said(issued.secret, '/v1/responses', mine)).text) as {
      id: string
      output: { id: string }[]
    }
    await said(running.key, '/chat', { user_text: 'Hi', session_id: 's' })
    const [whole] = await running.stele.apiKeys.list({ userId: 'ada' })
    const rotated = await made(running, admin, `/v1/api_keys/${whole?.id}/rotate`)
    const named = { type: 'item_reference', id: first.output[0]?.id }
    for (const [key, path, body, headers] of [
      [issued.secret, '/v1/responses', { ...further, previous_response_id: first.id }],
      [issued.secret, '/v1/responses', { ...further, input: [named] }],
      [issued.secret, '/v1/responses/input_tokens', { ...further, input: [named] }],
      [issued.secret, '/v1/responses', mine, { 'idempotency-key': 'once /v1/responses' }],
      [rotated.secret, '/chat', { user_text: 'And?', session_id: 's' }],
      [rotated.secret, '/chat', { user_text: 'Hi', session_id: 's' }, { 'idempotency-key': 'once /chat' }],
    ] as const) {
      const reply = await ask(running, key, 'POST', path, { body, headers: { ...headers } })
      expect(errorOf(reply), `${path} ${JSON.stringify(body)}`).toMatchObject({ code: 'permission_denied' })
      expect(reply.text).not.toContain(secret)
    }
  })

  test('does nothing that would stay on record as done by its user', async () => {
    const running = await startGateway({ place: await bed.place() })
    await belongings(running)
    const [root] = [await running.newKey('root', 'admin'), await running.newKey('dan', 'admin')]
    const dan = await made(running, root, '/v1/api_keys', { user: 'dan' })
    const grant = { user: 'ada', reason: 'so that it looks like dan' }
    for (const [path, body] of [
      ['/v1/break_glass', grant],
      ['/v1/users', { user: 'eve' }],
      ['/v1/users/ada/erase', { confirm: 'ada' }],
    ] as const)
      expect(errorOf(await ask(running, dan.secret, 'POST', path, { body })).code, path).toBe(
        'permission_denied',
      )
    expect(await running.stele.grants.list({ limit: 10 })).toEqual([])
    const done = (await rowsOf(running.stele, 'audit_events')).filter(({ actor }) => actor === 'dan')
    expect(new Set(done.map(({ action, outcome }) => `${action} ${outcome}`))).toEqual(
      new Set(['permission.denied denied']),
    )
  })
})

describeEachDatabase('items that a request names', bed => {
  test('are stored words: who may not read them may not have them sent either', async () => {
    const running = await startGateway({ place: await bed.place() })
    const session = `said by ${secret}`
    const first = await ask(running, running.key, 'POST', '/v1/responses', {
      body: { model: 'echo', input: session },
    })
    const { id } = JSON.parse(first.text) as { id: string }
    const listed = await ask(running, running.key, 'GET', `/v1/responses/${id}/input_items`)
    const { data } = JSON.parse(listed.text) as { data: { id: string }[] }
    const body = { ...further, input: [{ type: 'item_reference', id: data[0]?.id }] }
    const caller = await running.newKey('ada', 'calls:make')
    const admin = await running.newKey('root', 'admin')
    const refused = async (key: string, path: string, code: string): Promise<void> => {
      const reply = await ask(running, key, 'POST', path, { body, headers: { 'x-stele-user': 'ada' } })
      expect(errorOf(reply).code, path).toBe(code)
      expect(reply.text).not.toContain(secret)
    }
    await refused(caller, '/v1/responses', 'permission_denied')
    await refused(caller, '/v1/responses/input_tokens', 'permission_denied')
    await refused(admin, '/v1/responses', 'break_glass_required')
    // A response outlives its conversation, and stays as closed.
    const { conversationId = '' } = (await running.stele.calls.list({ userId: 'ada' }))[0] ?? {}
    await running.stele.conversations.delete('ada', conversationId)
    await refused(admin, '/v1/responses', 'break_glass_required')
    await refused(caller, '/v1/responses', 'permission_denied')
    const next = { body: { ...further, previous_response_id: id }, headers: { 'x-stele-user': 'ada' } }
    expect((await ask(running, admin, 'POST', '/v1/responses', next)).text).not.toContain(secret)
    await made(running, admin, '/v1/break_glass', { user: 'ada', reason: 'she asked for help' })
    const opened = await ask(running, admin, 'POST', '/v1/responses', {
      body,
      headers: { 'x-stele-user': 'ada' },
    })
    expect(opened.text).toContain(secret)
    const used = (await rowsOf(running.stele, 'audit_events')).filter(
      ({ action }) => action === 'break_glass.used',
    )
    expect(used).toHaveLength(1)
    // Whoever said them goes on with them.
    const mine = await ask(running, running.key, 'POST', '/v1/responses', { body })
    expect(mine.text).toContain(secret)
  })
})

test('nobody gives more than they have: neither by keys of others nor by roles', async () => {
  const running = await startGateway()
  const admin = await running.newKey('root', 'admin')
  const keys = await running.newKey('root', 'keys:write', 'keys:any_user')
  const users = await running.newKey('root', 'users:write')
  await running.newKey('dan', 'admin')
  await running.newKey('app', 'service')
  const [dans] = await running.stele.apiKeys.list({ userId: 'dan' })
  const refused: [key: string, path: string, body: object][] = [
    [keys, '/v1/api_keys', { user: 'dan', scopes: ['admin'] }],
    [keys, '/v1/api_keys', { user: 'dan' }],
    [keys, '/v1/api_keys', { user: 'dan', scopes: ['audit:read'] }],
    [keys, '/v1/api_keys', { user: 'app' }],
    [keys, `/v1/api_keys/${dans?.id}/rotate`, {}],
    [users, '/v1/users', { user: 'eve', role: 'admin', password: 'a long enough secret' }],
    [users, '/v1/users', { user: 'eve', role: 'auditor', password: 'a long enough secret' }],
    [users, '/v1/users/ada', { role: 'admin' }],
    [users, '/v1/users/root', { role: 'auditor' }],
  ]
  for (const [key, path, body] of refused)
    expect(
      errorOf(await ask(running, key, 'POST', path, { body })).code,
      `${path} ${JSON.stringify(body)}`,
    ).toBe('permission_denied')
  expect(
    await running.stele.apiKeys.holder((await running.stele.apiKeys.create({ userId: 'dan' })).secret),
  ).toBeDefined()
  // What any member has may be given, and everything by whoever has everything.
  const allowed: [key: string, path: string, body: object][] = [
    [keys, '/v1/api_keys', { user: 'ada' }],
    [users, '/v1/users', { user: 'eve' }],
    [users, '/v1/users/dan', { role: 'member' }],
    [admin, '/v1/users/dan', { role: 'admin' }],
    [admin, '/v1/api_keys', { user: 'dan', scopes: ['admin'] }],
    [admin, '/v1/api_keys', { user: 'app' }],
    [admin, `/v1/api_keys/${dans?.id}/rotate`, {}],
  ]
  for (const [key, path, body] of allowed)
    expect((await ask(running, key, 'POST', path, { body })).status, `${path} ${JSON.stringify(body)}`).toBe(
      200,
    )
})
