import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { ConversationHashes } from '../../src/model/hashes.ts'
import { threadWriter } from '../../src/recorder/thread-writer.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'

test('calls go on when the writer thread has died between two of them', async () => {
  const { stele, workers } = await watchedStele()
  const call = await begin(stele, chatBody([user('q')]))
  await killNewest(workers)
  expect(await stele.recorder.settle(call, completed(completionBody('a')))).toMatchObject({ isRepeat: false })
  expect(workers).toHaveLength(2)
})

test('what the writer thread held when it died is written once by its successor', async () => {
  const { stele, workers } = await watchedStele()
  await stele.recorder.start()
  const begins = Array.from({ length: 200 }, (_, index) =>
    begin(stele, chatBody([user(`question ${index}`)])),
  )
  await nextTurn()
  await killNewest(workers)
  const calls = await Promise.all(begins)
  const settles = calls.map(call => stele.recorder.settle(call, completed(completionBody('a'))))
  await nextTurn()
  await killNewest(workers)
  await Promise.all(settles)
  expect(await countOf(stele, 'llm_requests')).toBe(200)
  expect(await countOf(stele, 'llm_responses')).toBe(200)
  expect(await countOf(stele, 'messages')).toBe(400)
  expect(await countOf(stele, 'audit_events')).toBe(400)
})

test('the event loop turns while the writer waits for a lock, and the call is written once the lock is gone', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  await stele.recorder.start()
  const stranger = new DatabaseSync(place.databaseUrl.replace('sqlite:', ''))
  stranger.exec('BEGIN IMMEDIATE')
  let isBegun = false
  const beginning = begin(stele, chatBody([user('q')])).then(() => {
    isBegun = true
  })
  const started = performance.now()
  for (let turn = 0; turn < 50; turn++) await nextTurn()
  expect(performance.now() - started).toBeLessThan(1_000)
  expect(isBegun).toBe(false)
  stranger.exec('ROLLBACK')
  stranger.close()
  await beginning
  expect(await countOf(stele, 'llm_requests')).toBe(1)
})

test('a closed writer refuses instead of starting another thread', async () => {
  const place = await sqlitePlace()
  await place.stele()
  await takeIdleThread()
  const workers = watchWorkers()
  const writer = threadWriter({
    databaseUrl: place.databaseUrl,
    settings: {},
    hashKey: 'key',
    content: {
      masterKeys: { from: { kind: 'given', key: place.masterKey }, previous: [] },
      mode: 'encrypted',
      acceptsOld: false,
      eventSecret: Buffer.alloc(32),
    },
  })
  await writer.apply([])
  await writer.close()
  await failure('store_unavailable', writer.apply([]))
  expect(workers).toHaveLength(1)
})

test('the writer thread makes the same hashes as the thread that reads requests', async () => {
  const { stele } = await watchedStele()
  const call = await begin(stele, chatBody([user('q')]))
  await stele.recorder.settle(call, completed(completionBody('a')))
  const rows = await stele.database.kysely
    .selectFrom('messages')
    .select(['chain_hash', 'role'])
    .orderBy('seq')
    .execute()
  const canonical = '{"content":"a","role":"assistant"}'
  expect(rows[1]?.chain_hash).toBe(stele.hashes.chain(rows[0]?.chain_hash ?? '', canonical))
  expect(new ConversationHashes('another key').chain(rows[0]?.chain_hash ?? '', canonical)).not.toBe(
    rows[1]?.chain_hash,
  )
})

test('a thread that is done with one store serves the next, and nothing of the first', async () => {
  await takeIdleThread()
  const workers = watchWorkers()
  for (const text of ['one', 'two', 'three']) {
    const stele = await (await sqlitePlace()).stele()
    await exchange(stele, [user(text)], 'a')
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    await stele.close()
  }
  expect(workers).toHaveLength(1)
})

test('stores that are open at once have a thread each', async () => {
  await takeIdleThread()
  const workers = watchWorkers()
  const stores = await Promise.all([sqlitePlace(), sqlitePlace()].map(async place => (await place).stele()))
  await Promise.all(stores.map(stele => exchange(stele, [user('q')], 'a')))
  expect(workers).toHaveLength(2)
  for (const stele of stores) expect(await countOf(stele, 'llm_requests')).toBe(1)
})

test('an idle thread that died is not taken', async () => {
  await takeIdleThread()
  const workers = watchWorkers()
  const first = await (await sqlitePlace()).stele()
  await exchange(first, [user('q')], 'a')
  await first.close()
  await killNewest(workers)
  const next = await (await sqlitePlace()).stele()
  await exchange(next, [user('q')], 'a')
  expect(workers).toHaveLength(2)
})

async function watchedStele(): Promise<{ stele: Stele; workers: Worker[] }> {
  await takeIdleThread()
  const workers = watchWorkers()
  return { stele: await (await sqlitePlace()).stele(), workers }
}

/** Takes the thread that an earlier test left, until this one ends. */
async function takeIdleThread(): Promise<void> {
  await (await (await sqlitePlace()).stele()).recorder.start()
}

/** The worker threads that this process starts from now on. */
function watchWorkers(): Worker[] {
  const workers: Worker[] = []
  const note = (worker: Worker): void => void workers.push(worker)
  process.on('worker', note)
  onTestFinished(() => void process.off('worker', note))
  return workers
}

async function killNewest(workers: readonly Worker[]): Promise<void> {
  const worker = workers.at(-1)
  expect(worker).toBeDefined()
  await worker?.terminate()
}
