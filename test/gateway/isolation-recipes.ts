import { expect } from 'vitest'
import { accessRecipes } from './isolation-access-recipes.ts'
import { documentRecipes, noteType } from './isolation-document-recipes.ts'
import type { RawReply, Running } from './running.ts'

/** What stands in everything that Ada says and keeps, and must never reach anybody else. */
export const secret = 'the-secret-of-ada'

/** What somebody has, by the ids that others may have learned of. */
export interface Belongings {
  readonly conversation: string
  readonly item: string
  readonly response: string
  readonly completion: string
  /** Of its first call too. */
  readonly comparison: string
  readonly document: string
  readonly session: string
  /** Where a list of hits of a search goes on. */
  readonly cursor: string
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
  /**
   * What is tried to reach what is Ada's by somebody who has things of his own; the first attempt succeeds when it is hers.
   */
  readonly attempts: (of: Belongings, own: Belongings) => readonly [Attempt, ...Attempt[]]
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
const noItem = [404, 'item_not_found'] as const
const noResponse = [404, 'response_not_found'] as const
const noCompletion = [404, 'completion_not_found'] as const
const noCall = [404, 'call_not_found'] as const
const noComparison = [404, 'comparison_not_found'] as const
const noPrevious = [400, 'previous_response_not_found'] as const
const denied = [403, 'permission_denied'] as const
const invalid = [400, 'invalid_value'] as const
const fine = [200] as const

/** The keys under which Ada has asked what others may ask. */
const keyed = (route: string) => ({ 'idempotency-key': `key-of-ada ${route}` })

const hello = { model: 'echo', messages: [{ role: 'user', content: 'Hello' }] }
const compared = { models: ['echo', 'echo/echo'], messages: hello.messages }
const choiceOf = (comparison: string): string => `/v1/comparisons/${comparison}/choice`
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
        headers: keyed('/v1/chat/completions'),
        own: fine,
      },
    ],
  },
  'GET /v1/chat/completions': {
    shows: true,
    attempts: ({ completion }) => [
      { path: '/v1/chat/completions', own: fine },
      { path: '/v1/chat/completions?model=echo&order=desc&metadata[topic]=steles', own: fine },
      { path: `/v1/chat/completions?after=${completion}`, own: invalid },
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
    attempts: ({ completion }, own) => [
      { path: `/v1/chat/completions/${completion}/messages`, own: noCompletion },
      {
        path: `/v1/chat/completions/${own.completion}/messages?after=${completion}-0`,
        own: invalid,
      },
    ],
  },
  'POST /v1/comparisons': {
    attempts: ({ conversation }) => [
      { path: '/v1/comparisons', body: compared, own: fine },
      { path: '/v1/comparisons', body: { ...compared, user: 'ada' }, own: denied, isOutranked: true },
      {
        path: '/v1/comparisons',
        body: compared,
        headers: { 'x-stele-conversation': conversation },
        own: noConversation,
      },
    ],
  },
  'POST /v1/comparisons/:id/choice': {
    attempts: ({ comparison }, own) => [
      { path: choiceOf(comparison), body: { call_id: comparison }, own: noCall },
      { path: choiceOf(comparison), body: { call_id: null }, own: noComparison },
      { path: choiceOf(own.comparison), body: { call_id: comparison }, own: noCall },
      {
        path: choiceOf(own.comparison),
        body: { call_id: own.comparison, user: 'ada' },
        own: denied,
        isOutranked: true,
      },
    ],
  },
  'POST /v1/embeddings': plain('/v1/embeddings', { model: 'echo', input: 'Hello' }),
  'POST /v1/moderations': plain('/v1/moderations', { model: 'echo', input: 'Hello' }),
  'POST /v1/completions': plain('/v1/completions', { model: 'echo', prompt: 'Hello' }),
  'GET /v1/search': {
    shows: true,
    attempts: ({ conversation, cursor }) => [
      { path: '/v1/search?query=secret', own: fine },
      { path: '/v1/search?query=secret&user=ada', own: denied, isOutranked: true },
      { path: `/v1/search?query=secret&conversation=${conversation}`, own: noConversation },
      { path: `/v1/search?query=secret&limit=1&cursor=${encodeURIComponent(cursor)}`, own: invalid },
    ],
  },
  'POST /v1/responses': {
    attempts: ({ conversation, response, item }) => [
      { path: '/v1/responses', body: input, own: fine },
      { path: '/v1/responses', body: { ...input, user: 'ada' }, own: denied, isOutranked: true },
      { path: '/v1/responses', body: { ...input, conversation }, own: noConversation },
      { path: '/v1/responses', body: { ...input, conversation: { id: conversation } }, own: noConversation },
      { path: '/v1/responses', body: input, headers: { 'x-stele-conversation': conversation }, own: fine },
      { path: '/v1/responses', body: { ...input, previous_response_id: response }, own: noPrevious },
      {
        path: '/v1/responses',
        body: { ...input, input: [{ type: 'item_reference', id: item }] },
        own: invalid,
      },
      { path: '/v1/responses', body: input, headers: keyed('/v1/responses'), own: fine },
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
    attempts: ({ response, item }, own) => [
      { path: `/v1/responses/${response}/input_items`, own: noResponse },
      { path: `/v1/responses/${own.response}/input_items?after=${item}`, own: invalid },
    ],
  },
  'POST /v1/conversations': {
    attempts: () => [
      { path: '/v1/conversations', body: { items }, own: fine },
      { path: '/v1/conversations', body: { items }, headers: keyed('/v1/conversations'), own: fine },
    ],
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
    attempts: ({ conversation, item }, own) => [
      { path: `/v1/conversations/${conversation}/items`, own: noConversation },
      { path: `/v1/conversations/${conversation}/items?after=${item}`, own: noConversation },
      { path: `/v1/conversations/${own.conversation}/items?after=${item}`, own: invalid },
    ],
  },
  'GET /v1/conversations/:id/items/:item': {
    shows: true,
    attempts: ({ conversation, item }, own) => [
      { path: `/v1/conversations/${conversation}/items/${item}`, own: noConversation },
      { path: `/v1/conversations/${own.conversation}/items/${item}`, own: noItem },
    ],
  },
  'DELETE /v1/conversations/:id/items/:item': {
    attempts: ({ conversation, item }, own) => [
      { path: `/v1/conversations/${conversation}/items/${item}`, own: noConversation },
      { path: `/v1/conversations/${own.conversation}/items/${item}`, own: noItem },
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
      {
        path: '/chat',
        body: { user_text: secretless, session_id: session },
        headers: keyed('/chat'),
        own: fine,
      },
    ],
  },
  'GET /sessions': { attempts: () => [{ path: '/sessions', own: fine }] },
  'GET /sessions/:user': {
    shows: true,
    attempts: ({ conversation }) => [
      { path: '/sessions/ada', own: denied },
      { path: '/sessions/bob', own: fine },
      { path: `/sessions/bob?after=9999999999999.${conversation}`, own: fine },
    ],
  },
  'GET /history/:user/:session': {
    shows: true,
    attempts: ({ session }) => [
      { path: `/history/ada/${session}`, own: denied },
      { path: `/history/bob/${session}`, own: fine },
    ],
  },
  'DELETE /sessions/:user/:session': {
    attempts: ({ session }) => [
      { path: `/sessions/ada/${session}`, own: denied },
      { path: `/sessions/bob/${session}`, own: fine },
    ],
  },
  ...documentRecipes,
  ...accessRecipes,
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
      { path, body, headers: keyed(path), own: fine },
    ],
  }
}

/** Makes for whoever has the key one of everything that can be reached over HTTP, with a word in all of it. */
export async function belongings(
  { key: hers, send, stele }: Pick<Running, 'key' | 'send' | 'stele'>,
  key = hers,
  word = secret,
): Promise<Belongings> {
  const post = async (
    path: string,
    body: object,
    headers: Record<string, string> = {},
  ): Promise<RawReply> => {
    const reply = await send('POST', path, { headers: headersOf(key, headers), body: JSON.stringify(body) })
    expect(reply.status, `${path}: ${reply.text}`).toBe(200)
    return reply
  }
  await stele.documents.register(noteType)
  const session = 'web-1'
  await post('/v1/chat/completions', question(word))
  const completion = idOf(
    await post('/v1/chat/completions', {
      ...question(`${word} stored`),
      store: true,
      metadata: { topic: 'steles' },
    }),
  )
  const comparison = idOf(
    await post('/v1/comparisons', { ...question(word), model: undefined, models: ['echo', 'echo/echo'] }),
  )
  await post('/chat', { user_text: word, session_id: session })
  await post('/chat', { user_text: word, session_id: `another ${word}` })
  const conversation = idOf(
    await post('/v1/conversations', { metadata: { kept: word }, items: [{ role: 'user', content: word }] }),
  )
  const added = await post(`/v1/conversations/${conversation}/items`, {
    items: [{ role: 'assistant', content: word }],
  })
  const response = idOf(await post('/v1/responses', { model: 'echo', input: word, conversation }))
  const document = idOf(await post('/v1/documents/note', { input: { word } }))
  const apiKey = idOf(await post('/v1/api_keys', { name: word }))
  const found = await send('GET', `/v1/search?query=${word}&limit=1`, { headers: headersOf(key) })
  const cursor = (JSON.parse(found.text) as { next_cursor: string }).next_cursor
  return {
    conversation,
    session,
    response,
    completion,
    comparison,
    document,
    item: firstOf(added),
    cursor,
    apiKey,
  }
}

/** Asks for Ada, under her idempotency keys, what others will ask under the same. */
export async function askUnderKeys(
  { key, send }: Pick<Running, 'key' | 'send'>,
  of: Belongings,
): Promise<void> {
  for (const [route, { attempts }] of Object.entries(recipes))
    for (const { path, body, headers } of attempts(of, of)) {
      if (headers?.['idempotency-key'] === undefined) continue
      const [method = ''] = route.split(' ', 1)
      const reply = await send(method, path, { headers: headersOf(key, headers), body: JSON.stringify(body) })
      expect(reply.status, `${route}: ${reply.text}`).toBe(200)
    }
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
