import { expect } from 'vitest'
import { accessRecipes } from './access-recipes.ts'
import { chat, comparison, items, metadataOf, response } from './bodies.ts'
import { documentRecipes } from './document-recipes.ts'
import { type Belongings, fine, get, type Recipe, repeated } from './recipe.ts'
import { type Speaker, well } from './speaker.ts'

const plain =
  (path: string, body: (s: Speaker) => object): Recipe =>
  async s => {
    await fine(s.send('POST', path, { body: { model: s.model(well), ...body(s) } }))
    for (const manner of ['refuses', 'fails', 'mumbles', 'stumbles'])
      await fine(s.send('POST', path, { body: { model: s.model(manner), ...body(s) } }), 400, 500, 502)
    await repeated(s, path, () => ({ model: 'm', ...body(s) }))
  }

const chats = '/v1/chat/completions'
const comparisons = '/v1/comparisons'
const responses = '/v1/responses'

/** Every route of the gateway. A new one needs an entry: where words may be said on it. */
export const recipes: Readonly<Record<string, Recipe>> = {
  'GET /healthz': get(() => '/healthz', { isOpen: true }),
  'GET /readyz': get(() => '/readyz', { isOpen: true }),
  'GET /metrics': get(() => '/metrics', { isOpen: true }),
  'GET /v1/models': get(() => '/v1/models'),
  'GET /v1/models/*': async s => {
    await s.send('GET', `/v1/models/${encodeURIComponent(s.text('a model that is not there'))}`)
  },
  'POST /v1/chat/completions': async s => {
    const say = (where: string, more: Parameters<typeof chat>[2] = {}) => chat(s, where, more)
    await fine(s.send('POST', chats, { body: say('a chat') }))
    await fine(s.send('POST', chats, { body: say('a streamed chat', { stream: true }) }))
    await fine(s.send('POST', chats, { body: say('an echoed chat', { model: 'echo' }) }))
    await fine(s.send('POST', chats, { body: say('a replayed chat', { model: 'replay/m' }) }), 404)
    const named = { 'x-stele-conversation': s.asked('a conversation that is not there') }
    await fine(s.send('POST', chats, { body: say('a misplaced chat'), headers: named }), 404)
    await fine(
      s.send('POST', chats, { body: say('a chat of another', { user: s.asked('another user') }) }),
      403,
    )
    const masked = { 'x-mask-pii-in-logs': 'true', 'x-mask-pii-before-llm': 'true' }
    for (const stream of [false, true])
      await fine(s.send('POST', chats, { body: say('a masked chat', { stream }), headers: masked }))
    for (const cache of ['exact', 'semantic'])
      for (const stream of [false, true]) {
        const headers = { 'x-stele-cache': cache }
        const body = say(`a cached chat, ${cache}`, { stream })
        for (let i = 0; i < 2; i++) await fine(s.send('POST', chats, { body, headers }))
      }
    const wrong = { 'x-stele-cache-partition': s.asked('a partition that is not there') }
    await fine(s.send('POST', chats, { body: say('a misplaced answer'), headers: wrong }), 400)
    const shortened = { 'x-stele-compress': 'high' }
    await fine(s.send('POST', chats, { body: say('a compressed chat'), headers: shortened }))
    const both = { ...shortened, 'x-mask-pii-before-llm': 'true' }
    await fine(s.send('POST', chats, { body: say('a masked and compressed chat'), headers: both }))
    const unknown = { 'x-stele-compress': s.asked('a level that is not there') }
    await fine(s.send('POST', chats, { body: say('a chat at no level'), headers: unknown }), 400)
    await repeated(s, chats, say)
  },
  'GET /v1/chat/completions': async (s, own) => {
    await get(() => chats)(s, own)
    const filter = `metadata[kept]=${encodeURIComponent(s.text('a filter'))}&model=${s.asked('a filter by model')}`
    await fine(s.send('GET', `${chats}?${filter}`))
    await fine(s.send('GET', `${chats}?after=${s.asked('a cursor')}`), 400)
  },
  'GET /v1/chat/completions/:id': get(({ completion }) => `${chats}/${completion}`),
  'POST /v1/chat/completions/:id': async (s, { completion }) => {
    const body = { metadata: metadataOf(s, 'a changed completion'), note: s.text('a note on a completion') }
    await fine(s.send('POST', `${chats}/${completion}`, { body }))
  },
  'DELETE /v1/chat/completions/:id': async s => {
    const { id } = await s.ask('POST', chats, { body: chat(s, 'a completion to delete', { store: true }) })
    await fine(s.send('DELETE', `${chats}/${String(id)}`))
  },
  'GET /v1/chat/completions/:id/messages': get(({ completion }) => `${chats}/${completion}/messages`),
  'POST /v1/comparisons': async s => {
    for (const stream of [false, true])
      await fine(s.send('POST', comparisons, { body: comparison(s, 'a comparison', { stream }) }))
    const masked = { 'x-mask-pii-in-logs': 'true', 'x-mask-pii-before-llm': 'true' }
    const body = comparison(s, 'a masked comparison')
    await fine(s.send('POST', comparisons, { body, headers: masked }))
    const keyed = { 'idempotency-key': s.word('the Idempotency-Key of a comparison') }
    await fine(s.send('POST', comparisons, { body, headers: keyed }), 400)
    for (const manner of ['refuses', 'fails', 'mumbles'])
      await fine(s.send('POST', comparisons, { body: comparison(s, `one that ${manner}`, { manner }) }))
  },
  'POST /v1/comparisons/:id/choice': async s => {
    const { id } = await s.ask('POST', comparisons, { body: comparison(s, 'what is chosen of') })
    const path = `${comparisons}/${String(id)}/choice`
    const note = { note: s.text('a note on a choice') }
    await fine(s.send('POST', path, { body: { call_id: s.asked('a call that is not there'), ...note } }), 404)
    const message = { role: 'assistant', content: s.text('a reply as its client has it') }
    await fine(s.send('POST', path, { body: { call_id: id, message, ...note } }))
    await fine(s.send('POST', path, { body: { call_id: null } }), 409)
    const lost = `${comparisons}/${s.asked('a comparison that is not there')}/choice`
    await fine(s.send('POST', lost, { body: { call_id: null } }), 404)
  },
  'POST /v1/embeddings': plain('/v1/embeddings', s => ({
    input: [s.text('an embedding'), s.long('another')],
  })),
  'POST /v1/moderations': plain('/v1/moderations', s => ({ input: s.text('a moderation') })),
  'POST /v1/completions': plain('/v1/completions', s => ({
    prompt: s.long('a prompt'),
    suffix: s.text('a suffix'),
  })),
  'GET /v1/search': async s => {
    for (const query of ['query', 'conversation', 'role', 'from', 'cursor', 'limit'])
      await fine(
        s.send('GET', `/v1/search?query=a&${query}=${encodeURIComponent(s.text(`${query} of a search`))}`),
        400,
        403,
        404,
      )
    await fine(s.send('GET', `/v1/search?query=${s.word('a search')}`), 403)
  },
  'POST /v1/responses': async (s, own) => {
    const say = (where: string, more: Parameters<typeof response>[2] = {}) => response(s, where, more)
    const { id } = await s.ask('POST', responses, { body: say('a response') })
    await fine(s.send('POST', responses, { body: say('a next response', { previous_response_id: id }) }))
    await fine(s.send('POST', responses, { body: say('a streamed response', { stream: true }) }))
    const { conversation } = own
    await fine(s.send('POST', responses, { body: say('a response in a conversation', { conversation }) }))
    const missing = { previous_response_id: s.asked('a response that is not there') }
    await fine(s.send('POST', responses, { body: say('a lost response', missing) }), 400)
    const reference = { input: [{ type: 'item_reference', id: s.asked('a referred item') }] }
    await fine(s.send('POST', responses, { body: say('a response that refers', reference) }), 400)
    const begun = await s.ask('POST', responses, { body: say('a background response', { background: true }) })
    await expect
      .poll(async () => String((await s.ask('GET', `${responses}/${String(begun['id'])}`))['status']))
      .not.toMatch(/queued|in_progress/)
    await repeated(s, responses, say)
  },
  'POST /v1/responses/input_tokens': async s => {
    await fine(s.send('POST', `${responses}/input_tokens`, { body: response(s, 'a count') }))
  },
  'GET /v1/responses/:id': get(({ response: id }) => `${responses}/${id}`),
  'DELETE /v1/responses/:id': async s => {
    const { id } = await s.ask('POST', responses, { body: response(s, 'a response to delete') })
    await fine(s.send('DELETE', `${responses}/${String(id)}`))
  },
  'POST /v1/responses/:id/cancel': async s => {
    const hanging = response(s, 'a response to cancel', { manner: 'hangs', background: true })
    const { id } = await s.ask('POST', responses, { body: hanging })
    await fine(s.send('POST', `${responses}/${String(id)}/cancel`))
  },
  'GET /v1/responses/:id/input_items': get(({ response: id }) => `${responses}/${id}/input_items`),
  'POST /v1/conversations': async s => {
    const body = (where: string) => ({
      metadata: metadataOf(s, where),
      items: items(s, where),
      session_id: s.label(`the session of ${where}`),
    })
    await fine(s.send('POST', '/v1/conversations', { body: body('a conversation') }))
    await repeated(s, '/v1/conversations', body)
  },
  'GET /v1/conversations/:id': get(({ conversation }) => `/v1/conversations/${conversation}`),
  'POST /v1/conversations/:id': async (s, { conversation }) => {
    const body = { metadata: metadataOf(s, 'a changed conversation') }
    await fine(s.send('POST', `/v1/conversations/${conversation}`, { body }))
  },
  'DELETE /v1/conversations/:id': async s => {
    const { id } = await s.ask('POST', '/v1/conversations', { body: { items: items(s, 'what is deleted') } })
    await fine(s.send('DELETE', `/v1/conversations/${String(id)}`))
  },
  'POST /v1/conversations/:id/items': async (s, { conversation }) => {
    const path = `/v1/conversations/${conversation}/items`
    await repeated(s, path, where => ({ items: items(s, where) }))
  },
  'GET /v1/conversations/:id/items': get(({ conversation }) => `/v1/conversations/${conversation}/items`),
  'GET /v1/conversations/:id/items/:item': get(
    ({ conversation, item }) => `/v1/conversations/${conversation}/items/${item}`,
  ),
  'DELETE /v1/conversations/:id/items/:item': async (s, { conversation }) => {
    const path = `/v1/conversations/${conversation}/items`
    const added = await s.ask('POST', path, { body: { items: items(s, 'an item to delete') } })
    await fine(s.send('DELETE', `${path}/${String(added['first_id'])}`), s.kind === 'hashed' ? 404 : 200)
  },
  'POST /chat': async (s, { session }) => {
    const body = (where: string) => ({
      user_text: s.text(`the text of ${where}`),
      session_id: session,
      [s.word(`an unknown member of ${where}`)]: s.text(`an unknown member of ${where}`),
    })
    await fine(s.send('POST', '/chat', { body: body('a turn') }))
    await fine(
      s.send('POST', '/chat', {
        body: { user_text: s.long('a first turn'), session_id: s.label('a session') },
      }),
    )
    await repeated(s, '/chat', body)
  },
  'GET /sessions': get(() => '/sessions'),
  'GET /sessions/:user': async s => {
    await fine(s.send('GET', `/sessions/${s.asked('another user')}?after=${s.asked('a cursor')}`), 400, 403)
  },
  'GET /history/:user/:session': async s => {
    await fine(s.send('GET', `/history/${s.asked('another user')}/${s.asked('a session')}`), 403)
  },
  'DELETE /sessions/:user/:session': async s => {
    await fine(s.send('DELETE', `/sessions/${s.asked('another user')}/${s.asked('a session')}`), 403)
  },
  ...documentRecipes,
  ...accessRecipes,
}

/** Makes one of everything. */
export async function belongings(s: Speaker, adminKey: string): Promise<Belongings> {
  const { id: conversationId } = await s.ask('POST', '/v1/conversations', {
    body: { items: items(s, 'belongings') },
  })
  const conversation = String(conversationId)
  const path = `/v1/conversations/${conversation}/items`
  const added = await s.ask('POST', path, { body: { items: items(s, 'an added item') } })
  const session = s.label('the session of belongings')
  await s.ask('POST', '/chat', { body: { user_text: s.text('a session'), session_id: session } })
  const { id: responseId } = await s.ask('POST', responses, { body: response(s, 'belongings') })
  const { id: completion } = await s.ask('POST', chats, { body: chat(s, 'belongings', { store: true }) })
  const made = await s.ask('POST', '/v1/documents/echoed', {
    body: { input: { text: s.text('belongings') } },
  })
  const apiKey = await s.ask('POST', '/v1/api_keys', { body: { name: s.label('the name of a key') } })
  s.learn('an API key', String(apiKey['secret']))
  return {
    conversation,
    session,
    adminKey,
    apiKey: String(apiKey['id']),
    item: String(added['first_id']),
    response: String(responseId),
    completion: String(completion),
    document: String(made['id']),
  }
}
