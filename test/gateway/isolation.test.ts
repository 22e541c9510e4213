import { expect, test } from 'vitest'
import { tableNames } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { type Attempt, askUnderKeys, belongings, headersOf, recipes, secret } from './isolation-recipes.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'

/** Nobody reads, lists, searches, changes or deletes what is another's: on every route that there is, in every way. */

/** Every method of every route that the gateway has, with its recipe's name. */
function routesOf({ gateway }: Running): { route: string; method: string; recipe: string }[] {
  return [...gateway.routes].flatMap(([url, methods]) =>
    [...methods].map(method => ({
      route: `${method} ${url}`,
      method,
      // Fastify answers HEAD as GET, without the body.
      recipe: `${method === 'HEAD' ? 'GET' : method} ${url}`,
    })),
  )
}

/** Everything on record of a user but when its keys were last used. */
async function recordOf(stele: Stele, user: string): Promise<unknown[]> {
  // What is on record waits for the log, and else would be in it a moment later.
  await stele.auditLog.sequence()
  const rows = await Promise.all(
    tableNames.map(async table =>
      (await rowsOf(stele, table))
        .filter(row => 'user_id' in row && row.user_id === user)
        .map(row => ({ table, ...row, last_used_at: null })),
    ),
  )
  const users = await rowsOf(stele, 'users')
  return [...rows.flat(), ...users.filter(({ id }) => id === user)]
}

function attempt(
  { send }: Running,
  method: string,
  { path, body, headers }: Attempt,
  key: string | undefined,
  more: Readonly<Record<string, string>> = {},
): Promise<RawReply> {
  return send(method, path, {
    headers: headersOf(key, { ...headers, ...more }),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

/** The ids of calls and conversations, as replies name them in their headers. */
async function idsOf({ stele }: Running, userId: string): Promise<Set<unknown>> {
  const calls = await stele.calls.list({ userId, limit: 100 })
  const conversations = await stele.conversations.list({ userId, limit: 100 })
  return new Set([...calls, ...conversations].map(({ id }) => id))
}

/** Fails when a reply holds anything of Ada's. */
function expectNothingOf(ids: ReadonlySet<unknown>, { headers, text }: RawReply, what: string): void {
  expect(JSON.stringify(headers) + text, what).not.toContain(secret)
  for (const name of ['x-stele-conversation', 'x-stele-call-id'])
    expect(ids.has(headers[name]), `${what}: ${name}`).toBe(false)
}

test('every route has a recipe, and every recipe a route', async () => {
  const running = await startGateway()
  const routes = new Set(routesOf(running).map(({ recipe }) => recipe))
  expect([...routes].sort()).toEqual(Object.keys(recipes).sort())
})

describeEachDatabase('isolation', bed => {
  test('nothing of one user reaches another or is changed by it, on any route', async () => {
    const running = await startGateway({ place: await bed.place() })
    const own = await belongings(running, running.key, secret)
    await askUnderKeys(running, own)
    const bob = await running.newKey('bob')
    const his = await belongings(running, bob, 'the-word-of-bob')
    const service = await running.newKey('app', 'service')
    const ids = await idsOf(running, 'ada')
    expect(ids.size).toBeGreaterThan(5)
    const before = await recordOf(running.stele, 'ada')
    expect(before.length).toBeGreaterThan(10)

    for (const { route, method, recipe } of routesOf(running)) {
      const { attempts, isOpen, isOfNobody, isOfOneself } = recipes[recipe] ?? { attempts: () => [] }
      for (const [index, tried] of attempts(own, his).entries()) {
        const what = `${route} #${index}`
        const expectRefusal = (reply: RawReply, how: string, [status, code]: Attempt['own']): void => {
          expectNothingOf(ids, reply, `${what} ${how}`)
          expect(reply.status, `${what} ${how}: ${reply.text}`).toBe(status)
          if (code !== undefined && method !== 'HEAD')
            expect(errorOf(reply).code, `${what} ${how}`).toBe(code)
        }
        expectRefusal(await attempt(running, method, tried, bob), 'with a key of his own', tried.own)
        const named = isOpen || isOfNobody ? tried.own : ([403, 'permission_denied'] as const)
        const asAda = await attempt(running, method, tried, bob, { 'x-stele-user': 'ada' })
        expectRefusal(asAda, 'in her name', named)
        const forBob = await attempt(running, method, tried, service, { 'x-stele-user': 'bob' })
        const through = isOfOneself ? ([403, 'permission_denied'] as const) : tried.own
        const outranked = tried.isOutranked ? ([200] as const) : through
        expectRefusal(forBob, 'through a service', outranked)
        if (isOpen) continue
        for (const key of [undefined, 'sk-stele-of-nobody']) {
          const reply = await attempt(running, method, tried, key)
          expectRefusal(reply, `with the key ${key}`, [401])
        }
      }
    }
    expect(await recordOf(running.stele, 'ada')).toEqual(before)
  })
})

test('what is refused to others its owner gets, so the refusals prove something', async () => {
  const running = await startGateway()
  let own = await belongings(running)
  for (const { route, method, recipe } of routesOf(running)) {
    const { attempts, shows, isOpen, ownerGets: status = 200 } = recipes[recipe] ?? { attempts: () => [] }
    const [tried] = attempts(own, own)
    if (tried === undefined || isOpen) continue
    const reply = await attempt(running, method, tried, running.key)
    expect(reply.status, `${route}: ${reply.text}`).toBe(status)
    if (shows && method !== 'HEAD') expect(reply.text, route).toContain(secret)
    // What is gone cannot show that what comes next is found.
    if (method !== 'GET' && method !== 'HEAD') own = await belongings(running)
  }
})
