import { readFileSync } from 'node:fs'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { resolveConfig } from '../../src/config.ts'
import { createGateway } from '../../src/gateway/app.ts'
import {
  isScope,
  type Permission,
  permissions,
  permissionsOf,
  permissionsOfRole,
  type Role,
  roles,
} from '../../src/model/permissions.ts'
import { createProviders } from '../../src/providers/registry.ts'
import { describeEachDatabase, memoryPlace } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { belongings, headersOf, recipes } from './isolation-recipes.ts'
import { type Caller, callers, cellOf, matrixLines, routesWithPermissions } from './matrix.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'

const document = new URL('../../docs/access.md', import.meta.url)

test('a gateway with a route that names no permission does not start', async () => {
  const stele = await (await memoryPlace()).stele()
  const settings = resolveConfig({}, {})
  const parts = {
    stele,
    providers: createProviders(settings, stele),
    logger: pino({ level: 'silent' }),
    settings,
  }
  const { app } = createGateway(parts)
  app.register(async inner => void inner.get('/v1/new', async () => ({})))
  await expect(app.ready()).rejects.toThrow('/v1/new names no permission')
})

test('the documented table of routes and roles is the one in force', async () => {
  const { gateway } = await startGateway()
  const documented = readFileSync(document, 'utf8')
    .split('\n')
    .filter(line => line.startsWith('| route ') || line.startsWith('| --- |') || /^\| `[A-Z]+ \//.test(line))
  expect(documented).toEqual(matrixLines(gateway))
})

test('the documents name every permission and every role', () => {
  const text = readFileSync(document, 'utf8')
  expect([...permissions, ...roles].filter(word => !text.includes(`\`${word}\``))).toEqual([])
})

test('a key is never let do more than its user, and never more than its scopes', () => {
  for (const role of roles) {
    const all = permissionsOfRole(role)
    for (const scope of [...permissions, ...roles].filter(isScope)) {
      const narrowed = permissionsOf(role, [scope])
      // The one exception: an administrator may hold the key of a service.
      const most = role === 'admin' && scope === 'service' ? permissionsOfRole('service') : all
      expect(
        [...narrowed].filter(one => !most.has(one)),
        `${role} ${scope}`,
      ).toEqual([])
      if ((roles as readonly string[]).includes(scope)) continue
      expect([...narrowed].sort(), `${role} ${scope}`).toEqual(
        ['public', ...(all.has(scope as Permission) ? [scope] : [])].sort(),
      )
    }
  }
  expect(permissionsOf('admin', ['service', 'admin']).has('content:any_user')).toBe(false)
})

/** Whether a reply refuses for want of a right, whatever else may be wrong with what was asked. */
function isRefused(reply: RawReply, method: string): boolean {
  if (reply.status !== 403 || method === 'HEAD') return reply.status === 403
  const { code } = errorOf(reply)
  return code === 'permission_denied' || code === 'break_glass_required'
}

interface Caste {
  readonly caller: Caller
  readonly user: string
  readonly key: string | undefined
}

async function everybody({ newKey }: Running): Promise<Caste[]> {
  const made = callers.map(async (caller): Promise<Caste> => {
    const user = `the-${caller}`
    return { caller, user, key: caller === 'nobody' ? undefined : await newKey(user, caller satisfies Role) }
  })
  return Promise.all(made)
}

describeEachDatabase('the matrix', bed => {
  test('each role reaches on each route exactly what the table says, of its own and of others', async () => {
    const running = await startGateway({ place: await bed.place() })
    const own = await belongings(running)
    const castes = await everybody(running)
    for (const [route, permission] of routesWithPermissions(running.gateway)) {
      const method = route.split(' ', 1)[0] ?? ''
      const recipe = recipes[route]
      const [tried] = recipe?.attempts(own, own) ?? []
      if (tried === undefined) throw new Error(`${route} has no recipe`)
      const body = recipe?.fresh ?? tried.body
      const ask = (path: string, key: string | undefined, more: Record<string, string> = {}) =>
        running.send(method, path, {
          headers: headersOf(key, { ...tried.headers, ...more }),
          ...(body === undefined
            ? {}
            : { body: JSON.stringify(body).replace('$caller', key?.slice(-8) ?? '') }),
        })
      for (const { caller, user, key } of castes) {
        const cell = cellOf(caller, permission)
        const what = `${route} as ${caller}`
        const mine = await ask(tried.path.replace('/ada', `/${user}`), key)
        if (key === undefined)
          expect([mine.text.includes('missing_api_key'), cell], what).toEqual([cell === '–', cell])
        else expect([isRefused(mine, method), cell], `${what}: ${mine.text}`).toEqual([cell === '–', cell])
        if (key === undefined || permission === 'public' || permission === 'models:read') continue
        const hers = await ask(tried.path, key, { 'x-stele-user': 'ada' })
        expect([isRefused(hers, method), cell], `${what} for another: ${hers.text}`).toEqual([
          cell !== 'anybody',
          cell,
        ])
        if (cell === 'own, others by grant') expect(errorOf(hers).code, what).toBe('break_glass_required')
      }
    }
  })

  test('a grant opens what the table says, and every use of it is on record', async () => {
    const running = await startGateway({ place: await bed.place() })
    const own = await belongings(running)
    const admin = await running.newKey('root', 'admin')
    await running.stele.grants.create({
      userId: 'ada',
      holder: 'root',
      reason: 'she asked for help with it',
      expiresAt: Date.now() + 60_000,
    })
    const opened: string[] = []
    for (const [route, permission] of routesWithPermissions(running.gateway)) {
      if (cellOf('admin', permission) !== 'own, others by grant') continue
      const [method = '', path] = route.split(' ')
      const [tried] = recipes[route]?.attempts(own, own) ?? []
      const reply = await running.send(method, tried?.path ?? '', {
        headers: headersOf(admin, { 'x-stele-user': 'ada' }),
        ...(tried?.body === undefined ? {} : { body: JSON.stringify(tried.body) }),
      })
      expect(isRefused(reply, method), `${route}: ${reply.text}`).toBe(false)
      opened.push(`${method} ${path}`)
    }
    const used = (await rowsOf(running.stele, 'audit_events')).filter(
      ({ action }) => action === 'break_glass.used',
    )
    expect(used.map(({ details }) => (JSON.parse(details ?? '{}') as { route: string }).route)).toEqual(
      opened,
    )
    for (const event of used)
      expect(event).toMatchObject({ user_id: 'ada', actor: 'root', severity: 'warning' })
  })
})
