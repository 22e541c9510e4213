import fc from 'fast-check'
import { expect, test } from 'vitest'
import { entryKey } from '../../src/cache/entry-key.ts'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { ConversationHashes } from '../../src/model/hashes.ts'
import { rowsOf } from '../harness/rows.ts'
import { jsonValue } from '../property/arbitrary-json.ts'
import { cacheOf, completionOf, exact, saidIn, startCaching } from './caching-start.ts'
import { json } from './upstream.ts'
import { questionOf } from './wire.ts'

const team = { ...exact, cache: { partitions: ['team', 'other'] } }
const inTeam = { 'x-stele-cache-partition': 'team' }

const as = (key: string, more: Record<string, string> = {}) => ({ authorization: `Bearer ${key}`, ...more })

test('nobody is given the answer to another user', async () => {
  const { running, asked } = await startCaching()
  const [bob, service] = [await running.newKey('bob'), await running.newKey('app', 'service')]
  await running.post(questionOf('Hi'))
  expect(cacheOf(await running.post(questionOf('Hi'), as(bob)))).toBe('miss')
  expect(cacheOf(await running.post(questionOf('Hi'), as(service)))).toBe('miss')
  expect(cacheOf(await running.post(questionOf('Hi', { user: 'eve' }), as(service)))).toBe('miss')
  expect(cacheOf(await running.post(questionOf('Hi', { user: 'ada' }), as(service)))).toBe('hit')
  expect(asked()).toBe(4)
})

test('a key that may not read what is stored is given nothing of it', async () => {
  const { running, asked } = await startCaching()
  const [admin, narrow] = [await running.newKey('root', 'admin'), await running.newKey('ada', 'calls:make')]
  await running.post(questionOf('Hi'))
  expect(cacheOf(await running.post(questionOf('Hi', { user: 'ada' }), as(admin)))).toBeUndefined()
  expect(cacheOf(await running.post(questionOf('Hi'), as(narrow)))).toBeUndefined()
  expect(asked()).toBe(3)
})

test('a partition is shared by those who name it, and by nobody else', async () => {
  const { running, asked } = await startCaching(team)
  const bob = await running.newKey('bob')
  await running.post(questionOf('Hi'), inTeam)
  const shared = await running.post(questionOf('Hi'), as(bob, inTeam))
  expect([saidIn(shared), cacheOf(shared)]).toEqual(['novel 1', 'hit'])
  for (const headers of [as(bob), as(running.key), as(bob, { 'x-stele-cache-partition': 'other' })])
    expect(cacheOf(await running.post(questionOf('Hi'), headers))).toBe('miss')
  expect(asked()).toBe(4)
  // What Bob was told is his own record; the entry is Ada's, and goes with her.
  expect(await rowsOf(running.stele, 'cache_entries')).toContainEqual(
    expect.objectContaining({ user_id: 'ada', partition_key: 'team' }),
  )
  await running.stele.erase('ada')
  expect(cacheOf(await running.post(questionOf('Hi'), as(bob, inTeam)))).toBe('miss')
  const calls = await running.stele.calls.list({ userId: 'bob' })
  expect(calls.filter(({ status }) => status === 'cached')).toHaveLength(1)
})

test('a key says which partition, and whether at all', async () => {
  const { running } = await startCaching({ cache: { partitions: ['team'] } })
  const keyOf = async (userId: string, cache: object) =>
    (await running.stele.apiKeys.create({ userId, cache })).secret
  const [ada, bob] = [
    await keyOf('ada', { mode: 'exact', partition: 'team' }),
    await keyOf('bob', { mode: 'exact', partition: 'team' }),
  ]
  await running.post(questionOf('Hi'), as(ada))
  expect(cacheOf(await running.post(questionOf('Hi'), as(bob)))).toBe('hit')
  expect(cacheOf(await running.post(questionOf('Hi'), as(bob, { 'x-stele-cache-partition': 'user' })))).toBe(
    'miss',
  )
  const never = await keyOf('ada', { mode: 'off' })
  for (let i = 0; i < 2; i++)
    expect(
      cacheOf(await running.post(questionOf('Hi'), as(never, { 'x-stele-cache': 'exact' }))),
    ).toBeUndefined()
  const gone = await keyOf('ada', { mode: 'exact', partition: 'was-removed' })
  await running.post(questionOf('Hi'), as(gone))
  await expect
    .poll(() => rowsOf(running.stele, 'cache_entries'))
    .toContainEqual(expect.objectContaining({ user_id: 'ada', partition_key: '' }))
})

test('no answer crosses how content is kept or masked', async () => {
  const { running, asked } = await startCaching()
  const plain = (await running.stele.apiKeys.create({ userId: 'ada', contentMode: 'plain' })).secret
  const hashed = (await running.stele.apiKeys.create({ userId: 'ada', contentMode: 'hashed' })).secret
  const ways = [
    as(running.key),
    as(plain),
    as(running.key, { 'x-mask-pii-before-llm': 'true' }),
    as(running.key, { 'x-mask-pii-in-logs': 'true' }),
  ]
  for (const headers of ways) expect(cacheOf(await running.post(questionOf('Hi'), headers))).toBe('miss')
  for (const headers of ways) expect(cacheOf(await running.post(questionOf('Hi'), headers))).toBe('hit')
  expect(cacheOf(await running.post(questionOf('Hi'), as(hashed)))).toBeUndefined()
  expect(asked()).toBe(5)
})

test('of what is masked in storage only answers are kept in which nothing was masked', async () => {
  const { running, asked, upstream } = await startCaching()
  const masked = { 'x-mask-pii-in-logs': 'true' }
  upstream.answer(json(completionOf('Write to ada@example.com.')))
  for (let i = 0; i < 2; i++) await running.post(questionOf('Whom?'), masked)
  expect(asked()).toBe(2)
  upstream.answer(json(completionOf('Nobody.')))
  const question = questionOf('Is ada@example.com right?')
  for (let i = 0; i < 2; i++) expect(saidIn(await running.post(question, masked))).toBe('Nobody.')
  expect(asked()).toBe(3)
  const hit = (await running.stele.calls.list()).find(({ status }) => status === 'cached')
  const request = await running.stele.calls.exactRequest('ada', hit?.id ?? '')
  expect(request.toString()).not.toContain('ada@example.com')
})

test('a value that is masked before the provider comes back from the cache as it was', async () => {
  const { running, asked, upstream } = await startCaching()
  upstream.answer(json(completionOf('It is [EMAIL_1].')))
  const masked = { 'x-mask-pii-before-llm': 'true' }
  const ask = (mail: string) => running.post(questionOf(`Say ${mail}`), masked)
  for (let i = 0; i < 2; i++) expect(saidIn(await ask('ada@example.com'))).toBe('It is ada@example.com.')
  expect(asked()).toBe(1)
  expect(saidIn(await ask('bob@example.com'))).toBe('It is bob@example.com.')
  expect(asked()).toBe(2)
})

/** Every way in which a request may differ that could change its answer; and some that must not matter. */
test('requests that differ in anything that counts have different keys, those that do not the same', () => {
  const hashes = new ConversationHashes('k'.repeat(43))
  const keyOf = (
    body: object,
    { userId = 'ada', partition = '', provider = 'p', model = 'm', variant = 'v' } = {},
  ) => {
    const keyed = { body: parseChatRequest(JSON.stringify(body)), provider, model, variant }
    return entryKey(hashes, { userId, partition }, keyed, 'embedder')
  }
  const text = fc.string({ maxLength: 12 })
  const message = fc.record(
    {
      role: fc.constantFrom('user', 'assistant', 'system', 'tool'),
      content: text,
      name: text,
      tool_call_id: text,
    },
    { requiredKeys: ['role', 'content'] },
  )
  const request = fc.record(
    {
      messages: fc.array(message, { minLength: 1, maxLength: 4 }),
      temperature: fc.double({ min: 0, max: 2, noNaN: true }),
      seed: fc.integer(),
      n: fc.integer({ min: 1, max: 3 }),
      stop: fc.oneof(text, fc.array(text, { maxLength: 2 })),
      tools: fc.array(fc.record({ type: fc.constant('function'), function: fc.record({ name: text }) }), {
        maxLength: 2,
      }),
      response_format: fc.record({ type: text }),
      unheard_of: jsonValue({ maxDepth: 2 }),
    },
    { requiredKeys: ['messages'] },
  )
  const delivery = fc.record(
    {
      stream: fc.boolean(),
      user: text,
      store: fc.boolean(),
      metadata: fc.constantFrom({}, { about: 'this' }),
      safety_identifier: text,
    },
    { requiredKeys: [] },
  )
  const meaning = (body: Record<string, unknown>): string =>
    JSON.stringify(
      Object.entries(body)
        .filter(([, value]) => value !== null)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    )
  fc.assert(
    fc.property(request, request, delivery, delivery, (one, other, ...how) => {
      const [a, b] = [keyOf({ model: 'x', ...one, ...how[0] }), keyOf({ model: 'y', ...one, ...how[1] })]
      // Of numbers too large to be told apart there is no key.
      fc.pre(a !== undefined)
      expect(a.entryHash).toBe(b?.entryHash)
      const [first, second] = [
        meaning(JSON.parse(JSON.stringify(one))),
        meaning(JSON.parse(JSON.stringify(other))),
      ]
      if (first !== second) expect(keyOf({ model: 'x', ...other })?.entryHash).not.toBe(a?.entryHash)
      // All but what is said last, of which numbers count.
      const numbers = one.messages.at(-1)?.content.replace(/[^\p{N}.,:/]+/gu, ' ') ?? ''
      const saying = (content: string) => one.messages.with(-1, { role: 'user', content })
      const lastIsWords =
        one.messages.at(-1)?.role === 'user' &&
        one.messages.at(-1)?.name === undefined &&
        one.messages.at(-1)?.tool_call_id === undefined
      if (lastIsWords && a?.context !== undefined) {
        const contextOf = (said: string) =>
          keyOf({ model: 'x', ...one, messages: saying(said) })?.context?.hash
        expect(contextOf(`other words ${numbers}`)).toBe(a.context.hash)
        expect(contextOf(`other words ${numbers} 7`)).not.toBe(a.context.hash)
      }
      for (const elsewhere of [
        { userId: 'bob' },
        { partition: 'team' },
        { provider: 'q' },
        { model: 'n' },
        { variant: 'w' },
      ]) {
        const there = keyOf({ model: 'x', ...one }, elsewhere)
        expect(there?.entryHash).not.toBe(a?.entryHash)
        if (a?.context !== undefined) expect(there?.context?.hash).not.toBe(a.context.hash)
      }
    }),
    { numRuns: 300 },
  )
})

test('numbers that JavaScript cannot tell apart make no key', () => {
  const hashes = new ConversationHashes('k'.repeat(43))
  const keyOf = (seed: string) => {
    const body = parseChatRequest(`{"model":"m","seed":${seed},"messages":[{"role":"user","content":"x"}]}`)
    return entryKey(
      hashes,
      { userId: 'ada', partition: '' },
      { body, provider: 'p', model: 'm', variant: '' },
    )
  }
  expect(keyOf('9007199254740993')).toBeUndefined()
  expect(keyOf('9007199254740991')).toBeDefined()
})

test("one's own answers can be counted and cleared; everybody's by whoever runs the place", async () => {
  const { running } = await startCaching()
  const [bob, admin] = [await running.newKey('bob'), await running.newKey('root', 'admin')]
  const send = async (method: string, key: string, query = ''): Promise<Record<string, unknown>> => {
    const reply = await running.send(method, `/v1/cache${query}`, { headers: as(key) })
    return { status: reply.status, ...(JSON.parse(reply.text) as object) }
  }
  for (const key of [running.key, bob])
    for (const content of ['Hi', 'Ho']) await running.post(questionOf(content), as(key))
  await running.post(questionOf('Hi', { model: 'gpt-other' }))
  await expect.poll(() => send('GET', admin, '?of=all')).toMatchObject({ object: 'cache', entries: 5 })
  expect(await send('GET', running.key)).toMatchObject({ entries: 3, semantic_entries: 0 })
  expect(await send('GET', bob, '?of=all')).toMatchObject({ status: 403 })
  expect(await send('DELETE', bob, '?of=all')).toMatchObject({ status: 403 })
  expect(await send('DELETE', bob, '?user=ada')).toMatchObject({ status: 403 })
  expect(await send('DELETE', running.key, '?model=gpt-other')).toMatchObject({ removed: 1 })
  expect(await send('DELETE', running.key)).toMatchObject({ removed: 2 })
  expect(await send('GET', bob)).toMatchObject({ entries: 2 })
  expect(await send('DELETE', admin, '?of=all')).toMatchObject({ object: 'cache.cleared', removed: 2 })
})
