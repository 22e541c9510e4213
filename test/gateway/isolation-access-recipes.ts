import type { Recipe } from './isolation-recipes.ts'

const denied = [403, 'permission_denied'] as const
const noKey = [404, 'api_key_not_found'] as const
const fine = [200] as const
const guess = 'what she might have chosen'

/** How somebody may try to reach Ada's account: what she logs in with, her keys, her standing. */
export const accessRecipes: Readonly<Record<string, Recipe>> = {
  'POST /v1/auth/register': {
    isOpen: true,
    attempts: () => [
      {
        path: '/v1/auth/register',
        body: { user: 'ada', password: guess },
        own: [403, 'registration_closed'],
      },
    ],
  },
  'POST /v1/auth/login': {
    isOpen: true,
    attempts: () => [
      { path: '/v1/auth/login', body: { user: 'no-ada', password: guess }, own: [401, 'login_failed'] },
    ],
  },
  'GET /v1/auth/session': {
    isOfOneself: true,
    attempts: () => [{ path: '/v1/auth/session', own: fine }],
  },
  'POST /v1/auth/logout': {
    isOfOneself: true,
    attempts: () => [{ path: '/v1/auth/logout', body: {}, own: fine }],
  },
  'POST /v1/auth/password': {
    isOfOneself: true,
    ownerGets: 401,
    attempts: () => [
      {
        path: '/v1/auth/password',
        body: { current_password: guess, new_password: `${guess}!` },
        own: [401, 'login_failed'],
      },
    ],
  },
  'GET /v1/api_keys': {
    shows: true,
    isOfOneself: true,
    attempts: () => [
      { path: '/v1/api_keys', own: fine },
      { path: '/v1/api_keys?user=ada', own: denied },
      { path: '/v1/api_keys?of=all', own: denied },
    ],
  },
  'POST /v1/api_keys': {
    isOfOneself: true,
    attempts: () => [
      { path: '/v1/api_keys', body: {}, own: fine },
      { path: '/v1/api_keys', body: { user: 'ada' }, own: denied },
      { path: '/v1/api_keys', body: { scopes: ['service'] }, own: denied },
    ],
  },
  'PATCH /v1/api_keys/:id': {
    isOfOneself: true,
    attempts: ({ apiKey }) => [
      { path: `/v1/api_keys/${apiKey}`, body: { masking: { before_llm: true } }, own: noKey },
    ],
  },
  'POST /v1/api_keys/:id/rotate': {
    isOfOneself: true,
    attempts: ({ apiKey }) => [{ path: `/v1/api_keys/${apiKey}/rotate`, body: {}, own: noKey }],
  },
  'DELETE /v1/api_keys/:id': {
    isOfOneself: true,
    attempts: ({ apiKey }) => [{ path: `/v1/api_keys/${apiKey}`, own: noKey }],
  },
  'GET /v1/usage': {
    attempts: () => [
      { path: '/v1/usage', own: fine },
      { path: '/v1/usage?user=ada', own: denied, isOutranked: true },
      { path: '/v1/usage?everyone=true&by=user,key', own: denied, isOutranked: true },
    ],
  },
  'GET /v1/usage/conversations': {
    attempts: () => [
      { path: '/v1/usage/conversations', own: fine },
      { path: '/v1/usage/conversations?user=ada', own: denied, isOutranked: true },
      { path: '/v1/usage/conversations?everyone=true', own: denied, isOutranked: true },
    ],
  },
  'GET /v1/cache': {
    attempts: () => [
      { path: '/v1/cache', own: fine },
      { path: '/v1/cache?user=ada', own: denied, isOutranked: true },
    ],
  },
  'DELETE /v1/cache': {
    attempts: () => [
      { path: '/v1/cache', own: fine },
      { path: '/v1/cache?user=ada', own: denied, isOutranked: true },
    ],
  },
  'GET /v1/users': ofOverseers('/v1/users'),
  'POST /v1/users': ofOverseers('/v1/users', { user: 'eve' }),
  'POST /v1/users/:id': ofOverseers('/v1/users/ada', { role: 'admin' }),
  'POST /v1/users/:user/erase': {
    ownerGets: 400,
    attempts: () => [
      { path: '/v1/users/ada/erase', body: {}, own: denied },
      { path: '/v1/users/ada/erase', body: { confirm: 'ada' }, own: denied },
    ],
  },
  'GET /v1/break_glass': ofOverseers('/v1/break_glass'),
  'POST /v1/break_glass': ofOverseers('/v1/break_glass', { user: 'no-ada', reason: 'because I can' }),
  'DELETE /v1/break_glass/:id': ofOverseers('/v1/break_glass/grant_01h455vb4pex5vsknk084sn02q'),
  'GET /v1/limits': ofOverseers('/v1/limits?user=ada'),
  'POST /v1/limits': ofOverseers('/v1/limits', { user: 'ada', requests_per_day: 1_000_000 }),
  'DELETE /v1/limits': ofOverseers('/v1/limits?user=ada'),
  'GET /v1/audit/log/checkpoint': ofOverseers('/v1/audit/log/checkpoint'),
  'GET /v1/audit/log/tile/*': ofOverseers('/v1/audit/log/tile/entries/000'),
  'GET /v1/audit_events/:id/proof': ofOverseers('/v1/audit_events/evt_01h455vb4pex5vsknk084sn02q/proof'),
  'GET /v1/audit/consistency': ofOverseers('/v1/audit/consistency'),
  'GET /v1/audit_events': ofOverseers('/v1/audit_events?user=ada'),
  'GET /v1/audit_events/stats': ofOverseers('/v1/audit_events/stats?user=ada'),
  'GET /v1/audit_events/:id': ofOverseers('/v1/audit_events/evt_01h455vb4pex5vsknk084sn02q?content=true'),
  'POST /v1/audit_events': ofOverseers('/v1/audit_events', { event_type: 'lunch', user: 'ada' }),
}

/** A route that is for administrators or auditors alone. */
function ofOverseers(path: string, body?: object): Recipe {
  return { ownerGets: 403, attempts: () => [{ path, ...(body && { body }), own: denied }] }
}
