import { expect, onTestFinished, test } from 'vitest'
import { AnswerCache } from '../../src/cache/cache.ts'
import { doCacheStep } from '../../src/cache/do-step.ts'
import type { EntryKey } from '../../src/cache/entry-key.ts'
import type { CacheLimits } from '../../src/cache/limits.ts'
import { normalized } from '../../src/cache/vector-index.ts'
import type { ContentMode } from '../../src/db/batch.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import { destroyKeys } from '../../src/recorder/data-keys.ts'
import type { Stele } from '../../src/stele.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { rowsOf, storedRowsOf } from '../harness/rows.ts'

const day = 86_400_000

/** Ids name the time of the real clock, so the tests' own begins there. */
class Clock {
  now = Date.now()
  readonly tell = (): number => this.now
}

interface Started {
  readonly stele: Stele
  readonly cache: AnswerCache
  readonly clock: Clock
  readonly errors: unknown[]
}

function cacheOn(stele: Stele, clock: Clock, limits: Partial<CacheLimits> = {}): Omit<Started, 'stele'> {
  const errors: unknown[] = []
  const { database } = stele
  const doStep = (step: Parameters<typeof doCacheStep>[1]) => doCacheStep(database, step)
  const onError = (error: unknown): void => void errors.push(error)
  const cache = new AnswerCache({ database, doStep, limits, now: clock.tell, onError })
  onTestFinished(() => cache.close().catch(() => undefined))
  return { cache, clock, errors }
}

const keyFor = (entryHash: string, { userId = 'ada', partition = '', said = '' } = {}): EntryKey => ({
  place: { userId, partition },
  provider: 'test',
  model: 'm',
  entryHash: `${partition === '' ? userId : partition} ${entryHash}`,
  context: said === '' ? undefined : { hash: `${partition === '' ? userId : partition} context`, said },
})

/** Keeps an answer that a call of this user has got. */
async function keep(
  { stele, cache }: Pick<Started, 'stele' | 'cache'>,
  key: EntryKey,
  {
    text = '{"a":"words"}',
    ttl = day,
    vector,
  }: { text?: string; ttl?: number; vector?: readonly number[] } = {},
): Promise<string> {
  const { call } = await exchange(stele, [user('Hi')], text, { userId: key.place.userId })
  const { callId } = call
  await cache.keep({ key, text, vector: vector && normalized(vector), callId, apiKeyId: undefined, ttl })
  return callId
}

const vectorOf = (...numbers: number[]) => {
  const vector = normalized(numbers)
  if (vector === undefined) throw new Error('it has no direction')
  return vector
}

export function cacheSuite(bed: Bed): void {
  const start = async (
    limits: Partial<CacheLimits> = {},
    { contentMode }: { contentMode?: ContentMode } = {},
  ): Promise<Started> => {
    const stele = await (await bed.place()).stele({ contentMode })
    return { stele, ...cacheOn(stele, new Clock(), limits) }
  }

  test('an answer is found by its hash until its time is over, by its user alone', async () => {
    const started = await start()
    const { cache, clock, stele } = started
    const key = keyFor('h')
    expect(await cache.exact(key)).toBeUndefined()
    await keep(started, key)
    clock.now += 5_500
    const found = await cache.exact(key)
    expect(found).toMatchObject({ text: '{"a":"words"}', made: { inputTokens: 10, outputTokens: 5 } })
    expect(found && cache.ageOf(found)).toBe(5)
    expect(await cache.exact(key, { maxAge: 5_000 })).toBeUndefined()
    expect(await cache.exact({ ...key, place: { userId: 'bob', partition: '' } })).toBeUndefined()
    expect(await cache.exact({ ...key, place: { userId: 'ada', partition: 'team' } })).toBeUndefined()
    clock.now += day
    expect(await cache.exact(key)).toBeUndefined()
    await cache.sweep()
    expect(await rowsOf(stele, 'cache_entries')).toEqual([])
    expect(started.errors).toEqual([])
  })

  test('a later answer takes the place of the one before', async () => {
    const started = await start()
    await keep(started, keyFor('h'))
    await keep(started, keyFor('h'), { text: '{"a":"other"}' })
    expect((await started.cache.exact(keyFor('h')))?.text).toBe('{"a":"other"}')
    expect(await started.cache.stats()).toMatchObject({ entries: 1 })
  })

  test('what was used longest ago goes when there are too many', async () => {
    const started = await start({ maxEntries: 10 })
    const { cache, clock } = started
    for (let i = 0; i < 10; i++) {
      await keep(started, keyFor(`h${i}`))
      clock.now += 1_000
    }
    const first = await cache.exact(keyFor('h0'))
    if (first !== undefined) cache.used(first.name)
    await cache.noteUses()
    await keep(started, keyFor('h10'))
    expect(await cache.stats()).toMatchObject({ entries: 9, hits: 1 })
    expect(await cache.exact(keyFor('h0'))).toBeDefined()
    expect(await cache.exact(keyFor('h10'))).toBeDefined()
    for (const gone of ['h1', 'h2']) expect(await cache.exact(keyFor(gone)), gone).toBeUndefined()
  })

  test('so it does when there are too many bytes, and what is too long is not kept', async () => {
    const started = await start({ maxBytes: 10_000, maxEntryBytes: 2_000 })
    const { cache, clock } = started
    const text = JSON.stringify({ a: 'x'.repeat(1_900) })
    for (let i = 0; i < 8; i++) {
      await keep(started, keyFor(`h${i}`), { text })
      clock.now += 1_000
    }
    const { bytes, entries } = await cache.stats()
    expect(bytes).toBeLessThanOrEqual(10_000)
    expect(entries).toBeGreaterThan(2)
    expect(await cache.exact(keyFor('h7'))).toBeDefined()
    expect(await cache.exact(keyFor('h0'))).toBeUndefined()
    await keep(started, keyFor('long'), { text: JSON.stringify({ a: 'x'.repeat(2_000) }) })
    expect(await cache.exact(keyFor('long'))).toBeUndefined()
  })

  test('a bound holds although others fill the same database, from the next sweep on', async () => {
    const started = await start({ maxEntries: 4 })
    const other = cacheOn(started.stele, started.clock)
    for (let i = 0; i < 8; i++) await keep({ ...other, stele: started.stele }, keyFor(`h${i}`))
    await started.cache.sweep()
    expect((await started.cache.stats()).entries).toBeLessThanOrEqual(4)
  })

  test('what is stored says nothing, and stays readable when the data key is replaced', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const started = { stele, ...cacheOn(stele, new Clock()) }
    await keep(started, keyFor('h', { said: 'heliotrope' }), {
      text: '{"a":"heliotrope"}',
      vector: [1, 2, 3],
    })
    const readable = async (): Promise<string> =>
      (await storedRowsOf(stele.database, 'cache_entries'))
        .flatMap(row => Object.values(row))
        .map(value => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value)))
        .join('\n')
    const vectorText = Buffer.from(vectorOf(1, 2, 3).buffer).toString('latin1')
    expect(await readable()).not.toContain('heliotrope')
    expect(await readable()).not.toContain(vectorText)
    await rotateDataKey(stele, 'ada')
    expect((await started.cache.exact(keyFor('h')))?.text).toBe('{"a":"heliotrope"}')
    const query = { vector: vectorOf(1, 2, 3), threshold: 0.99 }
    expect(await started.cache.similar(keyFor('i', { said: 'x' }), query)).toMatchObject({
      text: '{"a":"heliotrope"}',
    })
  })

  test('of somebody who is erased nothing is found, shared answers included, and nothing comes back', async () => {
    const started = await start()
    const { stele, cache } = started
    const shared = { partition: 'team', said: 'x' }
    const callId = await keep(started, keyFor('mine', { said: 'x' }), { vector: [1, 0] })
    await keep(started, keyFor('ours', shared), { vector: [1, 0] })
    await keep(started, keyFor('theirs', { ...shared, userId: 'bob' }), {
      text: '{"a":"bob"}',
      vector: [0, 1],
    })
    const query = { vector: vectorOf(1, 0.1), threshold: 0.9 }
    const asBob = keyFor('z', { ...shared, userId: 'bob' })
    expect(await cache.similar(asBob, query)).toMatchObject({ text: '{"a":"words"}' })
    expect(cache.vectorBytes).toBe(16)
    expect(await stele.erase('ada')).toMatchObject({ remains: [], counts: { cache_entries: 2 } })
    cache.forget('ada')
    expect(cache.vectorBytes).toBe(8)
    expect(await cache.similar(asBob, query)).toBeUndefined()
    expect(await cache.exact(keyFor('ours', { ...shared, userId: 'bob' }))).toBeUndefined()
    expect(await cache.exact(keyFor('theirs', { ...shared, userId: 'bob' }))).toMatchObject({
      text: '{"a":"bob"}',
    })
    // An answer to what was asked before comes late.
    await cache.keep({
      key: keyFor('late'),
      text: '{}',
      vector: undefined,
      callId,
      apiKeyId: undefined,
      ttl: day,
    })
    expect((await rowsOf(stele, 'cache_entries')).map(row => row.user_id)).toEqual(['bob'])
    expect(
      (await rowsOf(stele, 'data_keys')).filter(row => row.user_id === 'ada' && row.destroyed_at === null),
    ).toEqual([])
    expect(started.errors).toEqual([])
  })

  test('nor when she has come back meanwhile', async () => {
    const started = await start()
    const { stele, cache } = started
    const callId = await keep(started, keyFor('before'))
    await stele.erase('ada')
    await keep(started, keyFor('after'))
    const late = { text: '{}', vector: undefined, callId, apiKeyId: undefined, ttl: day }
    await cache.keep({ key: keyFor('late'), ...late })
    expect(await cache.exact(keyFor('late'))).toBeUndefined()
    expect(await cache.exact(keyFor('after'))).toBeDefined()
  })

  test('an answer for somebody without a key makes none', async () => {
    const started = await start()
    const { stele, cache } = started
    const callId = await keep(started, keyFor('before'))
    await destroyKeys(stele, 'ada')
    const late = { text: '{}', vector: undefined, callId, apiKeyId: undefined, ttl: day }
    await cache.keep({ key: keyFor('late'), ...late })
    expect((await rowsOf(stele, 'data_keys')).map(row => row.destroyed_at === null)).toEqual([false])
  })

  test('where the key is destroyed and the rows are still there, answers and vectors are not', async () => {
    const started = await start()
    const { stele, cache } = started
    const shared = { partition: 'team', said: 'x' }
    await keep(started, keyFor('ours', shared), { vector: [1, 0] })
    await keep(started, keyFor('theirs', { ...shared, userId: 'bob' }), {
      text: '{"a":"bob"}',
      vector: [1, 0.5],
    })
    await destroyKeys(stele, 'ada')
    stele.database.contents.ring.forget('ada')
    expect(await cache.exact(keyFor('ours', shared))).toBeUndefined()
    const query = { vector: vectorOf(1, 0), threshold: 0.5 }
    expect(await cache.similar(keyFor('z', shared), query)).toMatchObject({ text: '{"a":"bob"}' })
  })

  test('of what is hashed no answer is kept', async () => {
    const started = await start({}, { contentMode: 'hashed' })
    await keep(started, keyFor('h'))
    expect(await started.cache.exact(keyFor('h'))).toBeUndefined()
  })

  test('the nearest is found among the newest of the same context, from the threshold on', async () => {
    const started = await start({ candidates: 3 })
    const { cache } = started
    const at = (name: string, vector: readonly number[]) =>
      keep(started, keyFor(name, { said: name }), { text: JSON.stringify({ a: name }), vector })
    await at('north', [0, 1])
    const query = (numbers: number[], threshold: number) =>
      cache.similar(keyFor('q', { said: 'q' }), { vector: vectorOf(...numbers), threshold })
    expect(await query([0.01, 1], 0.99)).toMatchObject({ text: '{"a":"north"}' })
    expect(await query([0.2, 1], 0.99)).toBeUndefined()
    expect(await query([0.2, 1, 0], 0.5), 'vectors of another length').toBeUndefined()
    await at('east', [1, 0])
    await at('north-east', [1, 1])
    expect(await query([0.9, 1], 0.9)).toMatchObject({ text: '{"a":"north-east"}' })
    expect((await query([0.9, 1], 0.9))?.similarity).toBeCloseTo(0.9986, 3)
    await at('south', [0, -1])
    expect(await query([0, 1], 0.99), 'the oldest is no candidate any more').toBeUndefined()
    expect(cache.vectorBytes).toBe(24)
    const elsewhere = { ...keyFor('q'), context: { hash: 'another', said: 'q' } }
    expect(await cache.similar(elsewhere, { vector: vectorOf(1, 0), threshold: 0.5 })).toBeUndefined()
  })

  test('vectors are held up to a bound, and read again when they are needed', async () => {
    const started = await start({ maxVectorBytes: 8 })
    const { cache } = started
    const inContext = (userId: string) => keyFor('k', { userId, said: 'x' })
    const query = { vector: vectorOf(1, 0), threshold: 0.9 }
    for (const userId of ['ada', 'bob']) await keep(started, inContext(userId), { vector: [1, 0] })
    for (const userId of ['ada', 'bob', 'ada']) {
      expect(await cache.similar(inContext(userId), query)).toBeDefined()
      expect(cache.vectorBytes).toBe(8)
    }
  })

  test('clearing removes all, those of a user, those of a model', async () => {
    const started = await start()
    const { cache } = started
    const fill = async (): Promise<void> => {
      for (const userId of ['ada', 'bob'])
        for (const model of ['m', 'n']) await keep(started, { ...keyFor(`${model}`, { userId }), model })
    }
    await fill()
    expect(await cache.clear({ userId: 'ada', model: 'm' })).toBe(1)
    expect(await cache.clear({ userId: 'ada' })).toBe(1)
    expect(await cache.clear({ model: 'n' })).toBe(1)
    expect(await cache.clear()).toBe(1)
    expect(await cache.stats()).toEqual({ entries: 0, bytes: 0, semantic: 0, hits: 0 })
  })

  test('what expires or is purged is given to nobody again', async () => {
    const started = await start()
    const { stele, cache } = started
    await keep(started, keyFor('old'))
    await stele.retention.set('ada', { contentDays: 1 })
    await stele.retention.run({ now: Date.now() + 2 * day })
    expect(await rowsOf(stele, 'cache_entries')).toEqual([])
    await keep(started, keyFor('new', { userId: 'bob' }))
    const [conversation] = await stele.conversations.list({ userId: 'bob' })
    await stele.conversations.purge('bob', conversation?.id ?? '')
    expect(await rowsOf(stele, 'cache_entries')).toEqual([])
    expect(await cache.exact(keyFor('new', { userId: 'bob' }))).toBeUndefined()
  })

  test('many keep, find and sweep at once', async () => {
    const started = await start({ maxEntries: 5 })
    const { cache } = started
    await Promise.all(
      Array.from({ length: 24 }, async (_, i) => {
        const key = keyFor(`h${i % 8}`)
        await keep(started, key)
        const found = await cache.exact(key)
        if (found !== undefined) cache.used(found.name)
        await cache.noteUses()
      }),
    )
    await cache.sweep()
    expect((await cache.stats()).entries).toBeLessThanOrEqual(5)
    expect(started.errors).toEqual([])
  })
}
