import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { BegunCall } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  historyOf,
  reproduced,
  user,
} from '../harness/chat.ts'
import { type Place, postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { indexOf } from '../harness/every-kind.ts'
import { type Link, linkToPostgres } from '../harness/postgres-link.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

interface Away {
  readonly place: Place
  readonly link: Link
  /** Reaches the database over the link. */
  readonly stele: Stele
  /** Reaches it whatever becomes of the link. */
  readonly witness: Stele
}

const quick = { poolTimeout: 2, commitTimeout: 1 } as const

async function start(options: { spoolLimit?: number } = {}): Promise<Away> {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ ...quick, ...options, databaseUrl: link.databaseUrl })
  await stele.recorder.start()
  return { place, link, stele, witness: await place.stele() }
}

/** An idempotency key. */
function claim() {
  return { keyHash: 'k'.repeat(22), requestHash: 'r'.repeat(22), expiresAt: Date.now() + 60_000 }
}

async function drained(stele: Stele): Promise<void> {
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
}

/** One whole call, whether the database is there or not. */
async function call(stele: Stele, messages: readonly unknown[], reply: string) {
  const request = chatBody(messages)
  const begun = await stele.recorder.begin({ userId: 'ada', provider: 'test', body: request })
  const response = completionBody(reply)
  const settled = await stele.recorder.settle(begun, completed(response))
  return { callId: begun.callId, request, response, begun, settled }
}

test.each(['cut', 'hang'] as const)(
  'what is recorded while the database is away (%s) is in it when it is back, once and exactly',
  async how => {
    const { link, stele, witness } = await start()
    const before = await exchange(stele, [user('before')], 'yes')
    link[how]()
    const calls = await Promise.all(
      Array.from({ length: 40 }, (_, index) => call(stele, [user(`question ${index}`)], `reply ${index}`)),
    )
    expect(calls.every(({ begun, settled }) => !begun.conversationId && !settled.conversationId)).toBe(true)
    expect(stele.recorder.spool).toMatchObject({ isSpooling: true, isFull: false })
    expect(stele.recorder.spool?.depth).toBe(80)
    expect(await countOf(witness, 'llm_requests')).toBe(1)

    link.restore()
    await drained(stele)
    expect(await countOf(witness, 'llm_requests')).toBe(41)
    for (const { callId, request, response } of [...calls, { ...before, callId: before.call.callId }]) {
      expect(await witness.calls.find(callId)).toMatchObject({ status: 'completed' })
      expect(await reproduced(witness, callId)).toEqual({ request, response })
    }
    const [day] = await rowsOf(witness, 'usage_daily')
    expect(day).toMatchObject({ calls: 41, errors: 0, input_tokens: 410, output_tokens: 205 })
    // Whoever indexes finds it queued: nobody keeps it in mind.
    while (!(await witness.recorder.index({ limit: 512 })));
    expect((await indexOf(witness)).texts).toBe(80)
    const after = await exchange(stele, [user('after')], 'yes')
    expect(await witness.calls.find(after.call.callId)).toMatchObject({ status: 'completed' })
  },
)

test('a conversation goes on through an outage as one, whichever turns fell into it', async () => {
  const { link, stele, witness } = await start()
  const turns = [
    user('one'),
    assistant('1'),
    user('two'),
    assistant('2'),
    user('three'),
    assistant('3'),
    user('four'),
  ]
  const first = await exchange(stele, turns.slice(0, 1), '1')
  link.cut()
  await call(stele, turns.slice(0, 3), '2')
  await call(stele, turns.slice(0, 5), '3')
  link.restore()
  await drained(stele)
  const last = await exchange(stele, turns, '4')
  expect(last.call.conversationId).toBe(first.call.conversationId)
  const history = await historyOf(witness, last.call.conversationId)
  expect(history.map(({ content }) => content)).toEqual(['one', '1', 'two', '2', 'three', '3', 'four', '4'])
  expect(await witness.conversations.list()).toHaveLength(1)
})

test('what comes when the database is back does not overtake what still waits', async () => {
  const { link, stele, witness } = await start()
  const turns = [user('one'), assistant('1'), user('two'), assistant('2'), user('three')]
  await exchange(stele, turns.slice(0, 1), '1')
  link.cut()
  await Promise.all(Array.from({ length: 300 }, (_, index) => call(stele, [user(`other ${index}`)], 'a')))
  await call(stele, turns.slice(0, 3), '2')
  link.restore()
  await witness.ping()
  await call(stele, turns, '3')
  await drained(stele)
  const all = await witness.conversations.list({ limit: 1_000 })
  expect(all).toHaveLength(301)
  expect(await historyOf(witness, all.at(-1)?.id ?? '')).toHaveLength(6)
})

test('a call that was begun before the outage is settled in it, one begun in it after it', async () => {
  const { link, stele, witness } = await start()
  const early = await begin(stele, chatBody([user('early')]))
  link.cut()
  const late = await stele.recorder.begin({ userId: 'ada', provider: 'test', body: chatBody([user('late')]) })
  await stele.recorder.settle(early, completed(completionBody('one')))
  link.restore()
  await drained(stele)
  expect(await witness.calls.find(late.callId)).toMatchObject({ status: 'pending' })
  const settled = await stele.recorder.settle(late, completed(completionBody('two')))
  expect(settled.conversationId).toMatch(/^conv_/)
  for (const [callId, reply] of [
    [early.callId, 'one'],
    [late.callId, 'two'],
  ] as const)
    expect((await reproduced(witness, callId)).response).toBe(completionBody(reply))
  expect(await historyOf(witness, settled.conversationId ?? '')).toHaveLength(2)
})

test('repeating a begin and a settle in the spool changes nothing', async () => {
  const { link, stele, witness } = await start()
  link.cut()
  const one = await call(stele, [user('q')], 'a')
  const input = { userId: 'ada', provider: 'test', body: one.request, callId: one.callId }
  const again = await stele.recorder.begin(input)
  await stele.recorder.settle(again, completed(one.response))
  link.restore()
  await drained(stele)
  expect(await countOf(witness, 'llm_responses')).toBe(1)
  expect(await countOf(witness, 'messages')).toBe(2)
  expect((await rowsOf(witness, 'usage_daily')).map(({ calls }) => calls)).toEqual([1])
})

test('gateways with a spool each continue one conversation without losing or overwriting a turn', async () => {
  const { place, link, stele, witness } = await start()
  const other = await place.stele({ ...quick, databaseUrl: link.databaseUrl })
  await other.recorder.start()
  const start_ = [user('one'), assistant('1')]
  await exchange(witness, start_.slice(0, 1), '1')
  link.cut()
  const calls = await Promise.all([
    call(stele, [...start_, user('left')], 'went left'),
    call(other, [...start_, user('right')], 'went right'),
    call(stele, [...start_, user('left')], 'went left too'),
  ])
  link.restore()
  await drained(stele)
  await drained(other)
  for (const { callId, request, response } of calls)
    expect(await reproduced(witness, callId)).toEqual({ request, response })
  const histories = new Set<string>()
  for (const { id } of await witness.conversations.list())
    histories.add((await historyOf(witness, id)).map(({ content }) => content).join())
  expect([...histories].sort()).toEqual(
    ['one,1,left,went left', 'one,1,left,went left too', 'one,1,right,went right'].sort(),
  )
})

test('a named conversation is continued from the spool; one that is not there costs the call its name only', async () => {
  const { link, stele, witness } = await start()
  const named = await exchange(stele, [user('one')], '1')
  link.cut()
  const input = {
    userId: 'ada',
    provider: 'test',
    body: chatBody([user('one'), assistant('1'), user('two')]),
  }
  const good = await stele.recorder.begin({ ...input, conversationId: named.call.conversationId })
  const stray = await stele.recorder.begin({
    ...input,
    body: chatBody([user('stray')]),
    conversationId: 'conv_01h455vb4pex5vsknk084sn02q',
  })
  for (const begun of [good, stray]) await stele.recorder.settle(begun, completed(completionBody('2')))
  link.restore()
  await drained(stele)
  expect(await historyOf(witness, named.call.conversationId)).toHaveLength(4)
  expect(await witness.calls.find(stray.callId)).toMatchObject({ status: 'completed' })
  expect(await witness.conversations.list()).toHaveLength(2)
})

test('no idempotency key is taken in a spool, where another gateway could not see it', async () => {
  const { link, stele, witness } = await start()
  link.cut()
  const input = { userId: 'ada', provider: 'test', body: chatBody([user('q')]), claim: claim() }
  // In doubt, as the database was asked and did not answer; then not asked any more.
  await failure('store_unavailable', stele.recorder.begin(input))
  await failure('store_unavailable', stele.recorder.begin(input))
  await witness.recorder.begin(input)
  link.restore()
  await drained(stele)
  await failure('idempotency_key_in_use', stele.recorder.begin(input))
  expect(await countOf(witness, 'llm_requests')).toBe(1)
})

test('a call that others gave up for lost while this process was cut off ends as it really did', async () => {
  const { link, stele, witness } = await start()
  const begun = await begin(stele, chatBody([user('q')]))
  link.cut()
  await stele.recorder.settle(begun, completed(completionBody('a')))
  await witness.recorder.record(
    { userId: 'ada', provider: 'test', body: chatBody([user('q')]), callId: begun.callId },
    { status: 'orphaned', errorCode: 'orphaned' },
  )
  expect(await witness.calls.find(begun.callId)).toMatchObject({ status: 'orphaned' })
  link.restore()
  await drained(stele)
  expect(await witness.calls.find(begun.callId)).toMatchObject({ status: 'completed', errorCode: undefined })
  expect((await reproduced(witness, begun.callId)).response).toBe(completionBody('a'))
  const usage = await rowsOf(witness, 'usage_daily')
  const sum = (key: 'calls' | 'errors' | 'unpriced_calls') =>
    usage.reduce((total, row) => total + row[key], 0)
  expect([sum('calls'), sum('errors'), sum('unpriced_calls')]).toEqual([1, 0, 1])
})

test('a full spool takes no new call, and still takes how those end that it let through', async () => {
  const { link, stele, witness } = await start({ spoolLimit: 20_000 })
  link.cut()
  const begun: BegunCall[] = []
  const body = (index: number) => chatBody([user(`${index} ${Math.random()}`.repeat(100))])
  await expect(async () => {
    for (let index = 0; index < 1_000; index++)
      begun.push(await stele.recorder.begin({ userId: 'ada', provider: 'test', body: body(index) }))
  }).rejects.toMatchObject({ code: 'spool_full', status: 503, retryable: true })
  expect(begun.length).toBeGreaterThan(5)
  const [first] = begun
  if (first === undefined) throw new Error('nothing was begun')
  await stele.recorder.settle(first, completed(completionBody('a')))
  link.restore()
  await drained(stele)
  expect(await witness.calls.find(first.callId)).toMatchObject({ status: 'completed' })
  expect(await countOf(witness, 'llm_requests')).toBe(begun.length)
})

test('nothing of it can be read in the spool, and nothing is left of the spool', async () => {
  const { place, link, stele } = await start()
  link.cut()
  await call(stele, [user('a marked secret')], 'another marked secret')
  const files = readdirSync(place.spoolFolder)
  expect(files.length).toBeGreaterThan(0)
  for (const file of files)
    expect(readFileSync(join(place.spoolFolder, file)).includes('marked secret')).toBe(false)
  link.restore()
  await drained(stele)
  await expect.poll(() => readdirSync(place.spoolFolder)).toEqual([])
})

test('an entry that was tampered with is set aside, the others arrive', async () => {
  const { place, link, stele, witness } = await start()
  link.cut()
  const good = await call(stele, [user('good')], 'a')
  const bad = await call(stele, [user('bad')], 'a')
  await stele.close()
  const [file] = readdirSync(place.spoolFolder).filter(name => name.endsWith('.db'))
  const path = join(place.spoolFolder, file ?? '')
  const spool = new DatabaseSync(path)
  spool.exec(`UPDATE entries SET sealed = sealed || x'00' WHERE call_id = '${bad.callId}'`)
  spool.close()
  link.restore()
  const next = await place.stele()
  await next.recorder.start()
  expect(await witness.calls.find(good.callId)).toMatchObject({ status: 'completed' })
  expect(await witness.calls.find(bad.callId)).toBeUndefined()
  const kept = new DatabaseSync(path)
  expect(kept.prepare('SELECT call_id, reason FROM rejected').all()).toEqual(
    Array(2).fill({ call_id: bad.callId, reason: 'it cannot be read' }),
  )
  kept.close()
})

test('a spool that is damaged keeps nobody from starting, is told, and costs the others nothing', async () => {
  const { place, link, stele, witness } = await start()
  link.cut()
  const lost = await call(stele, [user('in the damaged one')], 'a')
  await stele.close()
  const [name = ''] = readdirSync(place.spoolFolder).filter(file => file.endsWith('.db'))
  link.restore()
  const other = await place.stele({
    ...quick,
    databaseUrl: link.databaseUrl,
    spoolFolder: `${place.spoolFolder}-2`,
  })
  await other.recorder.start()
  link.cut()
  const good = await call(other, [user('in the good one')], 'a')
  await other.close()
  const [second = ''] = readdirSync(`${place.spoolFolder}-2`).filter(file => file.endsWith('.db'))
  renameSync(join(`${place.spoolFolder}-2`, second), join(place.spoolFolder, second))
  rmSync(`${place.spoolFolder}-2`, { recursive: true })
  writeFileSync(join(place.spoolFolder, name), 'no database at all')
  link.restore()
  const told: unknown[] = []
  const next = await place.stele({ onError: error => void told.push(error) })
  await next.recorder.start()
  expect(String(told[0])).toContain('the spool')
  expect(await witness.calls.find(good.callId)).toMatchObject({ status: 'completed' })
  expect(await witness.calls.find(lost.callId)).toBeUndefined()
  expect(readFileSync(join(place.spoolFolder, name), 'utf8')).toBe('no database at all')
})

test('the same question many times over is drained too, though each must be placed after the one before', async () => {
  const { link, stele, witness } = await start()
  link.cut()
  await Promise.all(Array.from({ length: 300 }, () => call(stele, [user('the same')], 'a')))
  link.restore()
  await drained(stele)
  expect(await countOf(witness, 'llm_responses')).toBe(300)
})

test.each([
  ['store_unavailable', 'it is refused', { onStoreFailure: 'refuse' }, {}],
  ['store_unavailable', 'it has an idempotency key', {}, { claim: claim() }],
  ['spool_full', 'the spool is full', { spoolLimit: 0 }, {}],
] as const)(
  'a begin that was committed and could not be answered is given up: %s, as %s',
  async (code, _, settings, more) => {
    const place = await postgresPlace()
    const link = await linkToPostgres()
    const options = { ...quick, lease: 600, retryFor: 100, ...settings } as const
    const stele = await place.stele({ ...options, databaseUrl: link.databaseUrl })
    const witness = await place.stele()
    await stele.recorder.start()
    const body = chatBody([user('q')])
    const input = { userId: 'ada', provider: 'test', body, callId: newId('call'), ...more }
    link.cut()
    await failure(code, stele.recorder.begin(input))
    // As if the answer to its commit had been lost on the way.
    const instance = (await rowsOf(witness, 'instances'))[0]?.id ?? ''
    await witness.recorder.begin(input)
    await witness.database.kysely.transaction().execute(async tx => {
      await witness.database.permit(tx, 'retention')
      await tx.updateTable('llm_requests').set({ instance_id: instance }).execute()
    })
    link.restore()
    await expect
      .poll(() => witness.calls.find(input.callId), { timeout: 10_000 })
      .toMatchObject({ status: 'orphaned' })
  },
)

test('the spool of another database is left alone', async () => {
  const { place, link, stele } = await start()
  link.cut()
  await call(stele, [user('q')], 'a')
  await stele.close()
  const files = readdirSync(place.spoolFolder).sort()
  const stranger = await (await postgresPlace()).stele({ spoolFolder: place.spoolFolder })
  await stranger.recorder.start()
  expect(readdirSync(place.spoolFolder).sort()).toEqual(files)
  expect(await countOf(stranger, 'llm_requests')).toBe(0)
})

test('what cannot be spooled is not acknowledged', async () => {
  const { place, link, stele } = await start()
  rmSync(place.spoolFolder, { recursive: true, force: true })
  writeFileSync(place.spoolFolder, 'a file where the folder belongs')
  link.cut()
  await failure(
    'store_unavailable',
    stele.recorder.begin({ userId: 'ada', provider: 'test', body: chatBody([user('q')]) }),
  )
  rmSync(place.spoolFolder)
  const begun = await stele.recorder.begin({ userId: 'ada', provider: 'test', body: chatBody([user('q')]) })
  expect(begun.conversationId).toBeUndefined()
})
