import fc from 'fast-check'
import { expect, test } from 'vitest'
import { doUsageStep } from '../../src/analytics/do-step.ts'
import { type Dimension, dimensionNames, type UsageTotals } from '../../src/analytics/report.ts'
import { rollUp } from '../../src/analytics/roll-up.ts'
import type { BegunCall } from '../../src/model/call.ts'
import { Accounting } from '../../src/pricing/accounting.ts'
import { Settlements } from '../../src/recorder/settlements.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { settleAnyway } from '../harness/settle-anyway.ts'
import {
  callIdAt,
  letClocksRun,
  outcomeOf,
  type Recounted,
  recount,
  rollUpAll,
  settled,
  totalsOf,
} from '../harness/usage.ts'

const day = 86_400_000
const today = Date.UTC(2026, 4, 20, 12)

/** So long that no process says meanwhile what time it is. */
const lease = day

const range = { since: '2000-01-01', until: '2100-01-01' }

/** That every report says what the calls say: exactly, and of percentiles within 2 %. */
async function expectExact(stele: Stele, known?: readonly Recounted[]): Promise<void> {
  const calls = known ?? (await recount(stele))
  const asked: Dimension[][] = [[], ['day', 'model'], ['user'], ['key', 'day'], [...dimensionNames]]
  for (const by of asked) {
    const report = await stele.usage.report({ ...range, by, limit: 100_000 })
    expectTotals(report.total, totalsOf(calls))
    const groups = Map.groupBy(calls, call => JSON.stringify(by.map(dimension => call[dimension])))
    expect(report.rowCount).toBe(groups.size)
    for (const { group, ...totals } of report.rows) {
      const key = JSON.stringify(by.map(dimension => group[dimension]))
      expectTotals(totals, totalsOf(groups.get(key) ?? []))
    }
  }
  const own = await stele.usage.report({ ...range, user: 'ada', by: ['model'] })
  expectTotals(own.total, totalsOf(calls.filter(call => call.user === 'ada')))
  const costs = Map.groupBy(
    calls.filter(({ conversation }) => conversation !== ''),
    call => `${call.conversation} ${call.user}`,
  )
  const expected = [...costs].map(([key, of]) => [
    key,
    of.length,
    of.reduce((sum, { tokens }) => sum + tokens[0] + tokens[1], 0),
    of.reduce((sum, { cost }) => sum + (cost ?? 0), 0),
    of.filter(({ cost }) => cost === null).length,
  ])
  const top = await stele.usage.conversations({ ...range, limit: 1_000, order: 'calls' })
  const said = top.map(({ conversationId, userId, calls: count, tokens, costNanousd, unpricedCalls }) => [
    `${conversationId} ${userId}`,
    count,
    tokens,
    costNanousd,
    unpricedCalls,
  ])
  expect(said.sort()).toEqual(expected.sort())
}

function expectTotals(found: UsageTotals, expected: UsageTotals): void {
  const { latency, timeToFirstChunk, ...sums } = found
  const { latency: _, timeToFirstChunk: __, ...expectedSums } = expected
  expect(sums).toEqual(expectedSums)
  for (const [one, other] of [
    [latency, expected.latency],
    [timeToFirstChunk, expected.timeToFirstChunk],
  ] as const) {
    expect(one.average).toBe(other.average)
    for (const share of ['p50', 'p95', 'p99'] as const) {
      const exact = other[share]
      if (exact === undefined) expect(one[share]).toBeUndefined()
      else expect(Math.abs((one[share] ?? Number.NaN) - exact)).toBeLessThanOrEqual(exact * 0.020001)
    }
  }
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('call' as const),
      userId: fc.constantFrom('ada', 'bob', 'eve'),
      provider: fc.constantFrom('one', 'two'),
      model: fc.constantFrom('small', 'large'),
      /** Whether its id says that it was made long before. */
      isLate: fc.boolean(),
      ending: fc.constantFrom('completed', 'failed', 'open', 'aborted'),
      daysAgo: fc.nat({ max: 2 }),
      tokens: fc.option(fc.nat({ max: 5_000 })),
      cost: fc.option(fc.nat({ max: 1_000_000_000 })),
      latency: fc.option(fc.nat({ max: 100_000 })),
      isChat: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), which: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('roll-up' as const), limit: fc.integer({ min: 1, max: 5 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('crash' as const), limit: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('orphan' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('supersede' as const), which: fc.nat() }) },
)

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** A store with calls under way, some of which another process has given up. */
class Story {
  readonly stele: Stele
  readonly open: BegunCall[] = []
  readonly orphans: BegunCall[] = []

  constructor(stele: Stele) {
    this.stele = stele
  }

  async play(one: Step): Promise<void> {
    const { database } = this.stele
    switch (one.kind) {
      case 'call':
        return this.#call(one)
      case 'settle': {
        const [call] = this.open.splice(one.which % Math.max(1, this.open.length), 1)
        if (call !== undefined) await this.stele.recorder.settle(call, outcomeOf({ latencyMs: 7 }))
        return
      }
      case 'roll-up':
        await doUsageStep(database, { kind: 'roll-up', limit: one.limit, now: settled() })
        return
      case 'crash': {
        const broken = database.kysely.transaction().execute(async tx => {
          await rollUp(tx, database.forUpdate, { limit: one.limit, now: settled() })
          throw new Error('the process is gone')
        })
        await expect(broken).rejects.toThrow('the process is gone')
        return
      }
      case 'orphan': {
        const [call] = this.open.splice(one.which % Math.max(1, this.open.length), 1)
        if (call === undefined) return
        await this.stele.recorder.settle(call, { status: 'orphaned', createdAt: today - day })
        this.orphans.push(call)
        return
      }
      case 'supersede': {
        const [call] = this.orphans.splice(one.which % Math.max(1, this.orphans.length), 1)
        if (call !== undefined) await supersede(this.stele, call)
      }
    }
  }

  /** Everything that was begun ends, whether it was passed by or given up meanwhile. */
  async end(): Promise<void> {
    for (const call of this.open.splice(0))
      await this.stele.recorder.settle(call, outcomeOf({ latencyMs: 3 }))
    for (const call of this.orphans.splice(0)) await supersede(this.stele, call)
  }

  async #call(one: Extract<Step, { kind: 'call' }>): Promise<void> {
    const { userId, provider, model, tokens, cost, latency, ending } = one
    const call = await this.stele.recorder.begin({
      userId,
      provider,
      callId: callIdAt(one.isLate ? today - day : Date.now()),
      apiKeyId: cost === null ? undefined : `key_${userId}`,
      operation: one.isChat ? undefined : 'moderations',
      body: one.isChat ? chatBody([user('q')], { model }) : JSON.stringify({ model, input: 'q' }),
    })
    if (ending === 'open') {
      this.open.push(call)
      return
    }
    const usage = tokens === null ? {} : { inputTokens: tokens, outputTokens: 3, cacheReadInputTokens: 2 }
    await this.stele.recorder.settle(call, {
      status: ending as 'completed',
      reply: { responseModel: `${model}-2026`, finishReasons: [], usage, message: undefined },
      costNanousd: cost ?? undefined,
      latencyMs: latency ?? undefined,
      timeToFirstChunkMs: latency === null ? undefined : Math.floor(latency / 3),
      createdAt: today - one.daysAgo * day,
    })
  }
}

/** Settles a call as a spool does that knows its end when it has been given up. */
async function supersede(stele: Stele, call: BegunCall): Promise<void> {
  const settlements = new Settlements(stele.hashes, new Accounting({}))
  const settlement = await settlements.of(outcomeOf({ costNanousd: 4, latencyMs: 90 }), call)
  await settleAnyway(stele, call, settlement)
}

/** Reports, and the sums that they read. */
export function usageSuite(bed: Bed): void {
  test('reports say what the calls say, whatever happens between them and however far the summing has come', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 30 }), async steps => {
        const stele = await (await bed.place()).stele({ poolSize: 2, lease })
        await stele.recorder.start()
        await letClocksRun(stele)
        const story = new Story(stele)
        for (const one of steps) await story.play(one)
        await expectExact(stele)
        await rollUpAll(stele)
        await story.end()
        await expectExact(stele)
        await rollUpAll(stele)
        await expectExact(stele)
        expect((await stele.usage.check()).differences).toEqual([])
        await stele.close()
      }),
      { numRuns: Number(process.env['USAGE_RUNS'] ?? 4), endOnFailure: true },
    )
  })

  test('several that sum up at once count every call once', async () => {
    const stele = await (await bed.place()).stele({ poolSize: 4, lease })
    await stele.recorder.start()
    await letClocksRun(stele)
    const calls = Array.from({ length: 40 }, async (_, index) => {
      const call = await begin(stele, chatBody([user(`q${index}`)]), { userId: `u${index % 3}` })
      await settle(stele, call, outcomeOf({ latencyMs: index, model: 'm' }))
    })
    await Promise.all(calls)
    await Promise.all(Array.from({ length: 4 }, () => rollUpAll(stele, 2)))
    expect(await rollUpAll(stele)).toBe(1)
    await expectExact(stele)
    const [everybody] = await stele.database.kysely
      .selectFrom('usage_rollups')
      .select(eb => eb.fn.sum<number>('calls').as('calls'))
      .where('level', '=', 'all')
      .execute()
    expect(Number(everybody?.calls)).toBe(40)
  })

  test('calls that have not settled long ago are counted though they are not summed up', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    await settle(stele, call, outcomeOf({}))
    expect(await stele.usage.rollUp()).toBe(0)
    expect(await countOf(stele, 'usage_rollups')).toBe(0)
    await expectExact(stele)
  })

  test('what retention lets go stays in the reports, summed up before or not', async () => {
    const stele = await (await bed.place()).stele({ lease, retention: { metadataDays: 30 } })
    await stele.recorder.start()
    await letClocksRun(stele)
    const old = { createdAt: today - 90 * day }
    const record = async (isRolled: boolean): Promise<void> => {
      for (const userId of ['ada', 'bob']) {
        const call = await begin(stele, chatBody([user(`${isRolled}`)]), { userId, ...old })
        await settle(stele, call, outcomeOf({ ...old, costNanousd: 5, latencyMs: 100, model: 'm' }))
      }
      if (isRolled) await rollUpAll(stele)
    }
    await record(true)
    await record(false)
    const before = await recount(stele)
    const usage = await rowsOf(stele, 'usage_daily')
    await stele.retention.run({ now: today })
    expect(await countOf(stele, 'llm_responses')).toBe(0)
    await expectExact(stele, before)
    expect(await rowsOf(stele, 'usage_daily')).toEqual(usage)
    const check = await stele.usage.check()
    expect(check).toMatchObject({ calls: 0, letGo: 2, differences: [] })
  })

  test('a check finds what is wrong, and a repair makes it right', async () => {
    const stele = await (await bed.place()).stele({ lease })
    await stele.recorder.start()
    await letClocksRun(stele)
    for (const userId of ['ada', 'ada', 'bob']) {
      const call = await begin(stele, chatBody([user('q')]), { userId })
      await settle(stele, call, outcomeOf({ costNanousd: 9, latencyMs: 50, model: 'm', createdAt: today }))
      if (userId === 'ada') await rollUpAll(stele)
    }
    const sound = { daily: await rowsOf(stele, 'usage_daily') }
    const { kysely } = stele.database
    const spoils: (() => Promise<unknown>)[] = [
      () => kysely.updateTable('usage_daily').set({ cost_nanousd: 1 }).where('user_id', '=', 'ada').execute(),
      () => kysely.deleteFrom('usage_daily').where('user_id', '=', 'bob').execute(),
      () => kysely.updateTable('usage_rollups').set({ latency_ms: 1 }).where('user_id', '=', 'ada').execute(),
      () => kysely.updateTable('usage_rollups').set({ calls: 7 }).where('level', '=', 'all').execute(),
      () => kysely.deleteFrom('usage_rollups').where('user_id', '=', 'ada').execute(),
      () => kysely.updateTable('usage_rollups').set({ errors: 7 }).where('level', '=', 'user').execute(),
      () =>
        kysely
          .insertInto('usage_daily')
          .values({ ...sumsOfNobody, user_id: 'nobody', day: '2026-01-01', model: 'm' })
          .execute(),
    ]
    for (const spoil of spoils) {
      await spoil()
      const found = await stele.usage.check()
      expect(found.differences).not.toEqual([])
      await stele.usage.repair(found)
      expect((await stele.usage.check()).differences).toEqual([])
      await expectExact(stele)
      const daily = (await rowsOf(stele, 'usage_daily')).filter(row => row.user_id !== 'nobody')
      expect(daily).toEqual(sound.daily)
    }
  })

  test('what is not a day, a dimension or a number of rows is refused', async () => {
    const stele = await (await bed.place()).stele()
    const bad = [
      { by: ['words' as Dimension] },
      { by: ['day', 'day'] as Dimension[] },
      { since: 'yesterday' },
      { since: '2026-02-30' },
      { since: '2026-02-02', until: '2026-02-01' },
      { limit: 0 },
      { user: '' },
    ]
    for (const input of bad) await failure('invalid_value', stele.usage.report(input))
    await failure('invalid_value', stele.usage.conversations({ order: 'beauty' as 'cost' }))
  })
}

const sumsOfNobody = {
  calls: 1,
  errors: 0,
  input_tokens: 5,
  output_tokens: 0,
  cost_nanousd: 0,
  unpriced_calls: 1,
}
