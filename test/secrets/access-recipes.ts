import { fine, get, type Recipe } from './recipe.ts'
import type { Speaker } from './speaker.ts'

/** Recipes of accounts: passwords, keys, what administrators do. */

const password = (s: Speaker, where: string): string => s.markers.make('secret', `the password of ${where}`)

const asAdmin = (adminKey: string): { readonly headers: Record<string, string> } => ({
  headers: { authorization: `Bearer ${adminKey}` },
})

/** What an account is made with. */
const account = (s: Speaker, where: string) => ({
  user: s.label(`the id of ${where}`),
  password: password(s, where),
  email: `${s.label(`the address of ${where}`)}@example.com`,
  username: s.label(`the name of ${where}`),
  [s.word(`an unknown member of ${where}`)]: s.text(`an unknown member of ${where}`),
})

export const accessRecipes: Readonly<Record<string, Recipe>> = {
  'POST /v1/auth/register': async s => {
    const body = account(s, 'somebody who registers')
    const { token } = await s.ask('POST', '/v1/auth/register', { body })
    s.learn('the token of a session', String(token))
    await fine(s.send('POST', '/v1/auth/register', { body }), 409, 429)
  },
  'POST /v1/auth/login': async s => {
    const body = account(s, 'somebody who logs in')
    await s.ask('POST', '/v1/auth/register', { body })
    const { user } = body
    const { token } = await s.ask('POST', '/v1/auth/login', { body: { user, password: body.password } })
    s.learn('the token of a session', String(token))
    const wrong = { user, password: password(s, 'a login that fails') }
    await fine(s.send('POST', '/v1/auth/login', { body: wrong }), 401)
    const misplaced = {
      user: s.asked('a password that is typed where the name belongs'),
      password: body.password,
    }
    await fine(s.send('POST', '/v1/auth/login', { body: misplaced }), 401)
  },
  'GET /v1/auth/session': get(() => '/v1/auth/session'),
  'POST /v1/auth/logout': async s => {
    const { user, password: secret, ...more } = account(s, 'somebody who logs out')
    const { token } = await s.ask('POST', '/v1/auth/register', { body: { user, password: secret, ...more } })
    s.learn('the token of a session', String(token))
    const headers = { authorization: `Bearer ${String(token)}` }
    await fine(s.send('POST', '/v1/auth/logout', { body: { note: s.text('a farewell') }, headers }))
  },
  'POST /v1/auth/password': async s => {
    const { user, password: current, ...more } = account(s, 'somebody who changes a password')
    const { token } = await s.ask('POST', '/v1/auth/register', { body: { user, password: current, ...more } })
    const headers = { authorization: `Bearer ${String(token)}` }
    const next = password(s, 'a change')
    const wrong = { current_password: next, new_password: password(s, 'a change that fails') }
    await fine(s.send('POST', '/v1/auth/password', { body: wrong, headers }), 401)
    const right = { current_password: current, new_password: next }
    await fine(s.send('POST', '/v1/auth/password', { body: right, headers }))
  },
  'GET /v1/api_keys': get(() => '/v1/api_keys'),
  'POST /v1/api_keys': async s => {
    const body = { name: s.label('the name of a key'), note: s.text('a note on a key') }
    const { secret } = await s.ask('POST', '/v1/api_keys', { body })
    s.learn('an API key', String(secret))
    await fine(s.send('POST', '/v1/api_keys', { body: { scopes: [s.word('a scope that is none')] } }), 400)
  },
  'PATCH /v1/api_keys/:id': async (s, { apiKey }) => {
    const body = { compression: 'low', note: s.text('a note on what a key demands') }
    await fine(s.send('PATCH', `/v1/api_keys/${apiKey}`, { body }))
    await fine(
      s.send('PATCH', `/v1/api_keys/${apiKey}`, { body: { cache: s.word('a mode that is none') } }),
      400,
    )
  },
  'POST /v1/api_keys/:id/rotate': async (s, { apiKey }) => {
    const body = { note: s.text('a note on a rotation') }
    const { secret } = await s.ask('POST', `/v1/api_keys/${apiKey}/rotate`, { body })
    s.learn('an API key', String(secret))
  },
  'DELETE /v1/api_keys/:id': async s => {
    const { id } = await s.ask('POST', '/v1/api_keys', { body: { name: s.label('the name of a key') } })
    await fine(s.send('DELETE', `/v1/api_keys/${String(id)}`))
    await fine(s.send('DELETE', `/v1/api_keys/${s.asked('a key that is not there')}`), 404)
  },
  'GET /v1/usage': get(() => '/v1/usage?by=user,day,model,provider,key,operation'),
  'GET /v1/usage/conversations': get(() => '/v1/usage/conversations'),
  'GET /v1/cache': async s => {
    await fine(s.send('GET', `/v1/cache?note=${s.asked('a note on the cache')}`))
    await fine(s.send('GET', `/v1/cache?of=${s.asked('of whom')}`), 400)
  },
  'DELETE /v1/cache': async s => {
    await fine(s.send('DELETE', `/v1/cache?model=${s.asked('a model whose answers go')}`))
    await fine(s.send('DELETE', `/v1/cache?user=${s.asked('another whose answers go')}`), 403)
  },
  'GET /v1/users': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/users?after=${s.asked('a cursor')}`, asAdmin(adminKey)))
  },
  'POST /v1/users': async (s, { adminKey }) => {
    await fine(s.send('POST', '/v1/users', { body: account(s, 'somebody made'), ...asAdmin(adminKey) }))
    const body = { ...account(s, 'nobody'), user: { note: s.text('an id that is none') } }
    await fine(s.send('POST', '/v1/users', { body, ...asAdmin(adminKey) }), 400)
  },
  'POST /v1/users/:id': async (s, { adminKey }) => {
    const { user, ...more } = account(s, 'somebody changed')
    await fine(s.send('POST', '/v1/users', { body: { user, ...more }, ...asAdmin(adminKey) }))
    const body = { status: 'suspended', note: s.text('why somebody is suspended') }
    await fine(s.send('POST', `/v1/users/${user}`, { body, ...asAdmin(adminKey) }), 400)
    await fine(
      s.send('POST', `/v1/users/${s.asked('nobody')}`, { body: { role: 'member' }, ...asAdmin(adminKey) }),
      404,
    )
  },
  'POST /v1/users/:user/erase': async (s, { adminKey }) => {
    const { user, ...more } = account(s, 'somebody who is erased')
    await fine(s.send('POST', '/v1/users', { body: { user, ...more }, ...asAdmin(adminKey) }))
    const unsure = { confirm: s.asked('the wrong confirmation'), note: s.text('why it is not confirmed') }
    await fine(s.send('POST', `/v1/users/${user}/erase`, { body: unsure, ...asAdmin(adminKey) }), 400)
    const body = { confirm: user, reason: s.label('why somebody is erased') }
    await fine(s.send('POST', `/v1/users/${user}/erase`, { body, ...asAdmin(adminKey) }))
  },
  'GET /v1/break_glass': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/break_glass?user=${s.asked('nobody')}`, asAdmin(adminKey)))
  },
  'POST /v1/break_glass': async (s, { adminKey }) => {
    const body = { user: 'nobody', reason: s.word('the reason of a refused grant') }
    await fine(s.send('POST', '/v1/break_glass', { body, ...asAdmin(adminKey) }), 404)
    const { user, ...more } = account(s, 'somebody looked at')
    await fine(s.send('POST', '/v1/users', { body: { user, ...more }, ...asAdmin(adminKey) }))
    const reason = s.label('the reason of a grant')
    await fine(s.send('POST', '/v1/break_glass', { body: { user, reason }, ...asAdmin(adminKey) }))
  },
  'DELETE /v1/break_glass/:id': async (s, { adminKey }) => {
    await fine(s.send('DELETE', `/v1/break_glass/${s.asked('a grant')}`, asAdmin(adminKey)), 404)
  },
  'GET /v1/limits': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/limits?user=${s.asked('nobody')}`, asAdmin(adminKey)))
    await fine(s.send('GET', `/v1/limits?after=${s.asked('a cursor')}`, asAdmin(adminKey)), 400)
  },
  'POST /v1/limits': async (s, { adminKey }) => {
    const body = {
      user: s.label('the id of somebody limited'),
      model: s.label('a limited model'),
      requests_per_day: 1_000_000,
    }
    await fine(s.send('POST', '/v1/limits', { body, ...asAdmin(adminKey) }))
    const unknown = { ...body, [s.word('an unknown limit')]: s.text('an unknown limit') }
    await fine(s.send('POST', '/v1/limits', { body: unknown, ...asAdmin(adminKey) }), 400)
    // While a limit stands, calls of whom nobody knows whether it concerns them are refused during an outage.
    const target = new URLSearchParams({ user: body.user, model: body.model }).toString()
    await fine(s.send('DELETE', `/v1/limits?${target}`, asAdmin(adminKey)))
    const wrong = { user: 'nobody', requests_per_day: s.text('a cap that is none') }
    await fine(s.send('POST', '/v1/limits', { body: wrong, ...asAdmin(adminKey) }), 400)
  },
  'DELETE /v1/limits': async (s, { adminKey }) => {
    await fine(s.send('DELETE', `/v1/limits?user=${s.asked('nobody')}`, asAdmin(adminKey)), 404)
  },
  'GET /v1/audit/log/checkpoint': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/audit/log/checkpoint?${s.asked('a query')}`, asAdmin(adminKey)))
  },
  'GET /v1/audit/log/tile/*': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/audit/log/tile/${s.asked('a tile')}`, asAdmin(adminKey)), 404)
  },
  'GET /v1/audit_events/:id/proof': async (s, { adminKey }) => {
    const path = `/v1/audit_events/${s.asked('an event')}/proof?user=${s.asked('a user')}`
    await fine(s.send('GET', path, asAdmin(adminKey)), 404)
  },
  'GET /v1/audit/consistency': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/audit/consistency?from=${s.asked('a size')}`, asAdmin(adminKey)), 400)
  },
  'GET /v1/audit_events/stats': async (s, { adminKey }) => {
    await fine(s.send('GET', `/v1/audit_events/stats?user=${s.asked('whose events')}`, asAdmin(adminKey)))
  },
  'GET /v1/audit_events/:id': async (s, { adminKey }) => {
    const path = `/v1/audit_events/${s.asked('an event by its id')}?user=${s.asked('whose event')}`
    await fine(s.send('GET', path, asAdmin(adminKey)), 404)
  },
  'POST /v1/audit_events': async (s, { adminKey }) => {
    const said = {
      description: s.text('what an event tells'),
      details: { about: s.text('details of an event') },
    }
    const body = { event_type: 'lunch', user: 'ada', target: s.label('what an event is about'), ...said }
    await fine(s.send('POST', '/v1/audit_events', { body, ...asAdmin(adminKey) }))
    const wrong = { event_type: 'lunch', outcome: s.text('an outcome that is none') }
    await fine(s.send('POST', '/v1/audit_events', { body: wrong, ...asAdmin(adminKey) }), 400)
  },
  'GET /v1/audit_events': async (s, { adminKey }) => {
    const query = `action=${s.asked('an action')}&after=${s.asked('a cursor')}`
    await fine(s.send('GET', `/v1/audit_events?${query}`, asAdmin(adminKey)), 400)
  },
}
