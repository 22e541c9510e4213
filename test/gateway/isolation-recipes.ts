import { expect } from 'vitest'
import type { RawReply, Running } from './running.ts'

/** What stands in everything that Ada says and keeps, and must never reach anybody else. */
export const secret = 'the-secret-of-ada'

/** What Ada has, by the ids that others may have learned of. */
export interface Belongings {
  readonly conversation: string
  readonly item: string
  readonly response: string
  readonly completion: string
  readonly session: string
  readonly apiKey: string
}

/** How somebody may try to reach what is Ada's on one route. */
export interface Attempt {
  readonly path: string
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
  /** What whoever may not gets with a key of their own: a refusal, or 200 where all that is named is their own. */
  readonly own: readonly [status: number, code?: string]
  /** Set when it names her where the header that says for whom it is comes first. */
  readonly isOutranked?: true
}

export interface Recipe {
  /** What is tried; the first attempt succeeds when it is Ada's own. */
  readonly attempts: (of: Belongings) => readonly [Attempt, ...Attempt[]]
  /** Ada's own attempt shows what is secret. */
  readonly shows?: true
  /** The route answers everybody alike: it has nothing of any user, and does not ask for whom it is. */
  readonly isOfNobody?: true
  /** It needs no key. */
  readonly isOpen?: true
  /** It is about whoever asks alone: a service cannot ask it for anybody. */
  readonly isOfOneself?: true
  /** A body that names nothing that is stored; `$caller` stands for whoever sends it. */
  readonly fresh?: object
  /** What the owner of all gets, where that is not 200. */
  readonly ownerGets?: number
}

const noConversation = [404, 'conversation_not_found'] as const
const noItem = noConversation
const noResponse = [404, 'response_not_found'] as const
const noCompletion = [404, 'completion_not_found'] as const
const noPrevious = [400, 'previous_response_not_found'] as const
const denied = [403, 'permission_denied'] as const
const noKey = [404, 'api_key_not_found'] as const
const fine = [200] as const

const hello = { model: 'echo', messages: [{ role: 'user', content: 'Hello' }] }
const input = { model: 'echo', input: 'Hello' }
const items = [{ role: 'user', content: 'Hello' }]

/** Every route of the gateway. A new one needs an entry: what of another user's could be named on it, and how it refuses. */
export const recipes: Readonly<Record<string, Recipe>> = {
  'GET /healthz': { isOpen: true, attempts: () => [{ path: '/healthz', own: fine }] },
  'GET /readyz': { isOpen: true, attempts: () => [{ path: '/readyz', own: fine }] },
  'GET /metrics': { isOpen: true, attempts: () => [{ path: '/metrics', own: fine }] },
  'GET /v1/models': { isOfNobody: true, attempts: () => [{ path: '/v1/models', own: fine }] },
  'GET /v1/models/*': { isOfNobody: true, attempts: () => [{ path: '/v1/models/echo', own: fine }] },
  'POST /v1/chat/completions': {
    attempts: ({ conversation }) => [
      { path: '/v1/chat/completions', body: hello, own: fine },
      { path: '/v1/chat/completions', body: { ...hello, user: 'ada' }, own: denied, isOutranked: true },
      {
        path: '/v1/chat/completions',
        body: hello,
        headers: { 'x-stele-conversation': conversation },
        own: noConversation,
      },
      {
        path: '/v1/chat/completions',
        body: question(secretless),
        headers: { 'idempotency-key': 'key-of-ada' },
        own: fine,
      },
    ],
  },
  'GET /v1/chat/completions': {
    shows: true,
    attempts: ({ completion }) => [
      { path: '/v1/chat/completions', own: fine },
      { path: `/v1/chat/completions?after=${completion}`, own: [400] },
    ],
  },
  'GET /v1/chat/completions/:id': {
    shows: true,
    attempts: ({ completion }) => [{ path: `/v1/chat/completions/${completion}`, own: noCompletion }],
  },
  'POST /v1/chat/completions/:id': {
    attempts: ({ completion }) => [
      { path: `/v1/chat/completions/${completion}`, body: { metadata: { by: 'bob' } }, own: noCompletion },
    ],
  },
  'DELETE /v1/chat/completions/:id': {
    attempts: ({ completion }) => [{ path: `/v1/chat/completions/${completion}`, own: noCompletion }],
  },
  'GET /v1/chat/completions/:id/messages': {
    shows: true,
    attempts: ({ completion }) => [
      { path: `/v1/chat/completions/${completion}/messages`, own: noCompletion },
    ],
  },
  'POST /v1/embeddings': plain('/v1/embeddings', { model: 'echo', input: 'Hello' }),
  'POST /v1/moderations': plain('/v1/moderations', { model: 'echo', input: 'Hello' }),
  'POST /v1/completions': plain('/v1/completions', { model: 'echo', prompt: 'Hello' }),
  'GET /v1/search': {
    shows: true,
    attempts: ({ conversation }) => [
      { path: '/v1/search?query=secret', own: fine },
      { path: '/v1/search?query=secret&user=ada', own: denied, isOutranked: true },
      { path: `/v1/search?query=secret&conversation=${conversation}`, own: noConversation },
    ],
  },
  'POST /v1/responses': {
    attempts: ({ conversation, response }) => [
      { path: '/v1/responses', body: input, own: fine },
      { path: '/v1/responses', body: { ...input, user: 'ada' }, own: denied, isOutranked: true },
      { path: '/v1/responses', body: { ...input, conversation }, own: noConversation },
      { path: '/v1/responses', body: { ...input, previous_response_id: response }, own: noPrevious },
    ],
  },
  'POST /v1/responses/input_tokens': {
    fresh: input,
    attempts: ({ conversation, response }) => [
      { path: '/v1/responses/input_tokens', body: { ...input, conversation }, own: noConversation },
      {
        path: '/v1/responses/input_tokens',
        body: { ...input, previous_response_id: response },
        own: noPrevious,
      },
    ],
  },
  'GET /v1/responses/:id': {
    shows: true,
    attempts: ({ response }) => [
      { path: `/v1/responses/${response}`, own: noResponse },
      { path: `/v1/responses/${response}?stream=true`, own: noResponse },
    ],
  },
  'DELETE /v1/responses/:id': {
    attempts: ({ response }) => [{ path: `/v1/responses/${response}`, own: noResponse }],
  },
  'POST /v1/responses/:id/cancel': {
    // A response that is over cannot be cancelled, but it is found.
    ownerGets: 400,
    attempts: ({ response }) => [{ path: `/v1/responses/${response}/cancel`, own: noResponse }],
  },
  'GET /v1/responses/:id/input_items': {
    shows: true,
    attempts: ({ response }) => [{ path: `/v1/responses/${response}/input_items`, own: noResponse }],
  },
  'POST /v1/conversations': {
    attempts: () => [{ path: '/v1/conversations', body: { items }, own: fine }],
  },
  'GET /v1/conversations/:id': {
    shows: true,
    attempts: ({ conversation }) => [{ path: `/v1/conversations/${conversation}`, own: noConversation }],
  },
  'POST /v1/conversations/:id': {
    attempts: ({ conversation }) => [
      { path: `/v1/conversations/${conversation}`, body: { metadata: { by: 'bob' } }, own: noConversation },
    ],
  },
  'DELETE /v1/conversations/:id': {
    attempts: ({ conversation }) => [{ path: `/v1/conversations/${conversation}`, own: noConversation }],
  },
  'POST /v1/conversations/:id/items': {
    attempts: ({ conversation }) => [
      { path: `/v1/conversations/${conversation}/items`, body: { items }, own: noConversation },
    ],
  },
  'GET /v1/conversations/:id/items': {
    shows: true,
    attempts: ({ conversation, item }) => [
      { path: `/v1/conversations/${conversation}/items`, own: noConversation },
      { path: `/v1/conversations/${conversation}/items?after=${item}`, own: noConversation },
    ],
  },
  'GET /v1/conversations/:id/items/:item': {
    shows: true,
    attempts: ({ conversation, item }) => [
      { path: `/v1/conversations/${conversation}/items/${item}`, own: noItem },
    ],
  },
  'DELETE /v1/conversations/:id/items/:item': {
    attempts: ({ conversation, item }) => [
      { path: `/v1/conversations/${conversation}/items/${item}`, own: noItem },
    ],
  },
  'POST /chat': {
    fresh: { user_text: 'Hello', session_id: 'of-$caller' },
    attempts: ({ session }) => [
      { path: '/chat', body: { user_text: 'Hello', session_id: session }, own: fine },
      {
        path: '/chat',
        body: { user_text: 'Hello', session_id: session, user_id: 'ada' },
        own: denied,
        isOutranked: true,
      },
    ],
  },
  'GET /sessions/:user': {
    attempts: () => [{ path: '/sessions/ada', own: denied }],
  },
  'GET /history/:user/:session': {
    shows: true,
    attempts: ({ session }) => [{ path: `/history/ada/${session}`, own: denied }],
  },
  'DELETE /sessions/:user/:session': {
    attempts: ({ session }) => [{ path: `/sessions/ada/${session}`, own: denied }],
  },
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
    ],
  },
  'GET /v1/users': ofOverseers('/v1/users'),
  'POST /v1/users': ofOverseers('/v1/users', { user: 'eve' }),
  'POST /v1/users/:id': ofOverseers('/v1/users/ada', { role: 'admin' }),
  'GET /v1/break_glass': ofOverseers('/v1/break_glass'),
  'POST /v1/break_glass': ofOverseers('/v1/break_glass', { user: 'no-ada', reason: 'because I can' }),
  'DELETE /v1/break_glass/:id': ofOverseers('/v1/break_glass/grant_01h455vb4pex5vsknk084sn02q'),
  'GET /v1/audit_events': ofOverseers('/v1/audit_events?user=ada'),
}

const guess = 'what she might have chosen'

/** A route that is for administrators or auditors alone. */
function ofOverseers(path: string, body?: object): Recipe {
  return { ownerGets: 403, attempts: () => [{ path, ...(body && { body }), own: denied }] }
}

const secretless = 'A question that anybody may ask'

function question(content: string): object {
  return { model: 'echo', messages: [{ role: 'user', content }] }
}

/** A route that is asked of a provider and keeps nothing that could be reached. */
function plain(path: string, body: object): Recipe {
  return {
    attempts: () => [
      { path, body, own: fine },
      { path, body: { ...body, user: 'ada' }, own: denied, isOutranked: true },
    ],
  }
}

/** Makes for Ada, with her own key, one of everything that can be reached over HTTP. */
export async function belongings({ key, send }: Pick<Running, 'key' | 'send'>): Promise<Belongings> {
  const post = async (
    path: string,
    body: object,
    headers: Record<string, string> = {},
  ): Promise<RawReply> => {
    const reply = await send('POST', path, { headers: headersOf(key, headers), body: JSON.stringify(body) })
    expect(reply.status, `${path}: ${reply.text}`).toBe(200)
    return reply
  }
  const session = 'web-1'
  await post('/v1/chat/completions', question(secretless), { 'idempotency-key': 'key-of-ada' })
  await post('/v1/chat/completions', question(secret))
  const completion = idOf(
    await post('/v1/chat/completions', { ...question(`${secret} stored`), store: true }),
  )
  await post('/chat', { user_text: secret, session_id: session })
  const conversation = idOf(
    await post('/v1/conversations', {
      metadata: { kept: secret },
      items: [{ role: 'user', content: secret }],
    }),
  )
  const added = await post(`/v1/conversations/${conversation}/items`, {
    items: [{ role: 'assistant', content: secret }],
  })
  const response = idOf(await post('/v1/responses', { model: 'echo', input: secret, conversation }))
  const apiKey = idOf(await post('/v1/api_keys', { name: secret }))
  return { conversation, session, response, completion, item: firstOf(added), apiKey }
}

/** The headers of a request with JSON. */
export function headersOf(
  key: string | undefined,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    'content-type': 'application/json',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    ...more,
  }
}

function idOf({ text }: RawReply): string {
  return (JSON.parse(text) as { id: string }).id
}

function firstOf({ text }: RawReply): string {
  return (JSON.parse(text) as { first_id: string }).first_id
}
