import { expect, test } from 'vitest'
import { say } from '../conformance/search.suite.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { errorOf, type Running, startGateway } from './running.ts'
import { serveProcess } from './serve-process.ts'

interface Found {
  readonly object: string
  readonly data: readonly Record<string, unknown>[]
  readonly has_more: boolean
  readonly next_cursor: string | null
  readonly is_complete: boolean
}

const path = (parameters: Record<string, string>) => `/v1/search?${new URLSearchParams(parameters)}`

async function search(
  { send, key }: Running,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Found> {
  const reply = await send('GET', path(parameters), {
    headers: { authorization: `Bearer ${key}`, ...headers },
  })
  expect(reply.status, reply.text).toBe(200)
  return JSON.parse(reply.text) as Found
}

test('what was said through the gateway is found at once, with where it is', async () => {
  const running = await startGateway()
  const said = await running.post({
    model: 'echo',
    messages: [{ role: 'user', content: 'Where is the <b>needle</b>?' }],
  })
  const { data, ...rest } = await search(running, { query: 'needle', role: 'assistant' })
  expect(rest).toEqual({ object: 'list', has_more: false, next_cursor: null, is_complete: true })
  expect(data).toEqual([
    {
      object: 'search.hit',
      conversation_id: said.headers['x-stele-conversation'],
      message_id: expect.stringMatching(/^msg_/),
      seq: 1,
      role: 'assistant',
      created_at: expect.any(Number),
      title: null,
      snippet: { text: 'Where is the <b>needle</b>?', ranges: [[16, 22]] },
      rank: expect.any(Number),
    },
  ])
  expect(Math.abs(Number(data[0]?.['created_at']) - Date.now() / 1000)).toBeLessThan(60)
})

test('pages, filters and users are told by parameters', async () => {
  const running = await startGateway()
  await say(running.stele, ['one word', 'two word', 'three word'])
  const conversation = await say(running.stele, ['a word of bob'], 'bob')
  const first = await search(running, { query: 'word', limit: '2' })
  expect(first).toMatchObject({ has_more: true, next_cursor: expect.any(String) })
  const second = await search(running, { query: 'word', limit: '2', cursor: first.next_cursor ?? '' })
  const seqs = [...first.data, ...second.data].map(({ seq }) => seq)
  expect(seqs.toSorted()).toEqual([0, 1, 2])
  expect(second.has_more).toBe(false)
  expect((await search(running, { query: 'word', from: '2999-01-01' })).data).toEqual([])
  expect((await search(running, { query: 'word', to: '2999-01-01T00:00Z', cursor: '' })).data).toHaveLength(3)

  const service = { authorization: `Bearer ${await running.newKey('svc', 'service')}` }
  for (const headers of [service, { ...service, 'x-stele-user': 'bob' }]) {
    const { data } = await search(
      running,
      { query: 'word', ...('x-stele-user' in headers ? {} : { user: 'bob' }) },
      headers,
    )
    expect(data).toMatchObject([{ conversation_id: conversation }])
  }
  expect((await search(running, { query: 'word' }, service)).data).toEqual([])
  const others = await running.send('GET', path({ query: 'word', user: 'bob' }), {
    headers: { authorization: `Bearer ${running.key}` },
  })
  expect([others.status, errorOf(others).code]).toEqual([403, 'permission_denied'])
  const theirs = await running.send('GET', path({ query: 'word', conversation }), {
    headers: { authorization: `Bearer ${running.key}` },
  })
  expect([theirs.status, errorOf(theirs).code]).toEqual([404, 'conversation_not_found'])
})

test.each([
  ['', 400, 'missing_required_parameter', 'query'],
  ['query=', 400, 'missing_required_parameter', 'query'],
  ['query=-x', 400, 'invalid_value', 'query'],
  ['query=x&query=y', 400, 'invalid_value', 'query'],
  ['query=x&limit=many', 400, 'invalid_value', 'limit'],
  ['query=x&from=yesterday', 400, 'invalid_value', 'from'],
  ['query=x&to=2026-02-31', 400, 'invalid_value', 'to'],
  ['query=x&role=system', 400, 'invalid_value', 'role'],
  ['query=x&cursor=x', 400, 'invalid_value', 'cursor'],
  ['query=x&q=y', 400, 'invalid_value', 'q'],
])('%s is refused in words', async (parameters, status, code, param) => {
  const running = await startGateway()
  const reply = await running.send('GET', `/v1/search?${parameters}`, {
    headers: { authorization: `Bearer ${running.key}` },
  })
  expect({ status: reply.status, ...errorOf(reply) }).toMatchObject({ status, code, param })
})

test('strangers, other methods and a store without search are refused', async () => {
  const running = await startGateway({ store: { search: false } })
  const stranger = await running.send('GET', path({ query: 'x' }))
  expect([stranger.status, errorOf(stranger).code]).toEqual([401, 'missing_api_key'])
  const headers = { authorization: `Bearer ${running.key}` }
  const post = await running.send('POST', '/v1/search', { headers })
  expect([post.status, errorOf(post).code]).toEqual([405, 'method_not_allowed'])
  const off = await running.send('GET', path({ query: 'x' }), { headers })
  expect([off.status, errorOf(off).code]).toEqual([403, 'search_disabled'])
})

describeEachDatabase('stele serve', bed => {
  test('indexes in the background, and says nothing of it', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await say(
      stele,
      Array.from({ length: 100 }, (_, index) => `word ${index}`),
    )
    const gateway = await serveProcess({ place, env: { PORT: '0' } })
    await gateway.address
    const waiting = async () =>
      (await stele.database.kysely.selectFrom('search_queue').selectAll().execute()).length
    await expect.poll(waiting).toBe(0)
    gateway.kill('SIGTERM')
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    expect(gateway.stderr()).not.toContain('failed')
    expect((await stele.search({ userId: 'ada', query: '"word 99"' })).hits).toHaveLength(1)
  })
})
