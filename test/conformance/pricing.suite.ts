import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { PriceOverride } from '../../src/pricing/overrides.ts'
import type { Stele } from '../../src/stele.ts'
import { accountOfRow } from '../../src/store/account-columns.ts'
import { begin, completed, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { letClocksRun, rollUpAll } from '../harness/usage.ts'
import { asked, askedTokens, endedCalls, openai, reply, reported, said, saidTokens } from './pricing-table.ts'

/** What calls took and cost, however they end; and what of it can be told and put right later. */
export function pricingSuite(bed: Bed): void {
  test('each call has the tokens and the cost that it should, and none is zero by accident', async () => {
    const stele = await (await bed.place()).stele()
    const found = new Map<string, unknown>()
    for (const { name, outcome, body = asked, input } of endedCalls) {
      const call = await begin(stele, body, { ...openai, ...input })
      await stele.recorder.settle(call, outcome)
      const recorded = await stele.calls.get('ada', call.callId)
      const {
        inputTokens = null,
        outputTokens = null,
        usageSource = null,
        costNanousd = null,
      } = recorded ?? {}
      found.set(name, [inputTokens, outputTokens, usageSource, costNanousd])
      // Recomputed from what is on record, it is the same.
      expect([name, await stele.costs.explain(call.callId)]).toMatchObject([name, { agrees: true }])
    }
    expect(Object.fromEntries(found)).toEqual(
      Object.fromEntries(endedCalls.map(({ name, is }) => [name, is])),
    )
    await expectDaysToAdd(stele)
  })

  test('what an application saves of calls made elsewhere is priced in the same way', async () => {
    const stele = await (await bed.place()).stele()
    const save = async (more: object) => {
      const { callId } = await stele.saveInteraction({
        userId: 'ada',
        model: 'gpt-4o',
        messages: [user('What is the capital of France?')],
        responseText: said,
        ...more,
      })
      return stele.calls.get('ada', callId)
    }
    expect(await save({ inputTokens: 1_000, outputTokens: 100 })).toMatchObject({
      costNanousd: 3_500_000,
      usageSource: 'reported',
    })
    const estimated = askedTokens * 2_500 + saidTokens * 10_000
    expect(await save({})).toMatchObject({ costNanousd: estimated, usageSource: 'estimated' })
    expect(await save({ model: 'our-own' })).toMatchObject({ costNanousd: undefined })
    expect(await save({ costNanousd: 5 })).toMatchObject({ costNanousd: 5 })
  })

  test('calls without a price are listed, and have one once it is given; their days too', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const own = { provider: 'acme', requestModel: 'acme-1' }
    const times = ['2026-01-10', '2026-02-10', '2026-02-11'].map(day => Date.parse(`${day}T12:00:00Z`))
    for (const createdAt of times)
      await settle(
        stele,
        await begin(stele, asked, { ...own, createdAt }),
        completed(reply(reported), { createdAt }),
      )
    const other = await begin(stele, asked, { ...own, userId: 'bob' })
    await settle(stele, other, completed(reply(reported)))
    await settle(stele, await begin(stele, asked, openai), completed(reply(reported)))
    await settle(stele, await begin(stele, asked, own), { status: 'failed', errorCode: 'provider_timeout' })
    await settle(stele, await begin(stele, asked, own), completed(reply(reported), { costNanousd: 9 }))
    expect(await stele.costs.unpriced()).toMatchObject([
      {
        provider: 'acme',
        model: 'gpt-4o-2024-08-06',
        lacks: 'price',
        calls: 4,
        inputTokens: 4_000,
        outputTokens: 400,
        firstAt: times[0],
      },
      { provider: 'acme', model: 'acme-1', lacks: 'usage', calls: 1 },
    ])
    expect(await stele.costs.unpriced({ userId: 'bob' })).toMatchObject([
      { calls: 1, firstAt: other.createdAt },
    ])
    await stele.close()

    const overrides: PriceOverride[] = [
      { model: 'acme-*', from: '2026-02-01', input: 2, output: 10 },
      { model: 'acme-*', input: 1, output: 10 },
    ]
    const priced = await place.stele({ pricing: { overrides } })
    const before = await rowsOf(priced, 'llm_responses')
    const would = await priced.costs.reprice({ dryRun: true })
    expect(would).toEqual({
      isDryRun: true,
      looked: 7,
      filled: 4,
      corrected: 0,
      unpriced: 1,
      addedNanousd: 3 * 3_000_000 + 2_000_000,
    })
    expect(await rowsOf(priced, 'llm_responses')).toEqual(before)
    const february = { since: Date.parse('2026-02-01'), until: Date.parse('2026-02-11') }
    expect(await priced.costs.reprice(february)).toMatchObject({ looked: 1, filled: 1 })
    const progress: number[][] = []
    const rest = await priced.costs.reprice({
      model: 'acme-1',
      by: { systemUser: 'tess' },
      onProgress: (done, total) => progress.push([done, total]),
    })
    expect(rest).toMatchObject({ looked: 6, filled: 3, corrected: 0, unpriced: 1 })
    expect(progress.at(-1)).toEqual([6, 6])
    expect((await rowsOf(priced, 'llm_responses')).map(row => row.cost_nanousd).sort()).toEqual(
      [2_000_000, 3_000_000, 3_000_000, 3_000_000, 3_500_000, 9, null].sort(),
    )
    await expectDaysToAdd(priced)
    // Once more there is nothing to do, and nothing more on record of it.
    expect(await priced.costs.reprice()).toMatchObject({ filled: 0, corrected: 0, addedNanousd: 0 })
    const events = await priced.auditEvents.list({ action: 'calls.repriced', limit: 10 })
    expect(events.map(({ userId, actor, details }) => [userId, actor, details?.['calls']]).sort()).toEqual([
      ['ada', 'operator', 1],
      ['ada', 'operator:tess', 2],
      ['bob', 'operator:tess', 1],
    ])
  })

  test('a cost by a price that was wrong is corrected; one whose price is gone stays', async () => {
    const place = await bed.place()
    const wrong = await place.stele({ pricing: { overrides: [{ model: 'gpt-4o*', input: 1, output: 1 }] } })
    const call = await begin(wrong, asked, openai)
    await settle(wrong, call, completed(reply(reported)))
    const gone = await begin(wrong, asked, { ...openai, provider: 'acme' })
    await settle(wrong, gone, completed(reply(reported)))
    await wrong.close()
    const right = await place.stele()
    expect(await right.costs.explain(call.callId, 'ada')).toMatchObject({
      basis: 'priced',
      price: { kind: 'list', provider: 'openai', model: 'gpt-4o' },
      lines: [
        { kind: 'input', count: 1_000, price: '2.5', cost: '0.0025' },
        { kind: 'output', count: 100, price: '10', cost: '0.001' },
      ],
      computedNanousd: 3_500_000,
      storedNanousd: 1_100_000,
      agrees: false,
    })
    expect(await right.costs.reprice()).toMatchObject({ filled: 0, corrected: 1, addedNanousd: 2_400_000 })
    expect((await right.calls.get('ada', gone.callId))?.costNanousd).toBe(1_100_000)
    await expectDaysToAdd(right)
  })

  test('what is summed up already follows a cost that changes: filled in, corrected, of every level', async () => {
    const place = await bed.place()
    const wrong = await place.stele({ pricing: { overrides: [{ model: 'gpt-4o*', input: 1, output: 1 }] } })
    const record = async (provider: string, model: string, userId: string): Promise<void> => {
      const call = await begin(wrong, asked, { ...openai, provider, requestModel: model, userId })
      await settle(wrong, call, completed(reply(reported)))
    }
    await record('openai', 'gpt-4o', 'ada')
    await record('acme', 'acme-1', 'ada')
    await record('acme', 'acme-1', 'bob')
    await letClocksRun(wrong)
    await rollUpAll(wrong)
    await record('acme', 'acme-1', 'bob')
    await wrong.close()
    const prices: PriceOverride[] = [{ model: '*', provider: 'acme', input: 2, output: 10 }]
    const right = await place.stele({ pricing: { overrides: prices } })
    const before = await right.usage.report({})
    const { addedNanousd } = await right.costs.reprice()
    expect(addedNanousd).toBeGreaterThan(0)
    const after = await right.usage.report({})
    expect(after.total.costNanousd - before.total.costNanousd).toBe(addedNanousd)
    expect(after.total.unpricedCalls).toBe(0)
    const check = await right.usage.check()
    expect(check).toMatchObject({ calls: 4, differences: [] })
    await expectDaysToAdd(right)
  })

  test('another user does not get an explanation, and what is not there has none', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, asked, openai)
    await expect(stele.costs.explain(call.callId)).rejects.toMatchObject({ code: 'call_not_found' })
    await settle(stele, call, completed(reply(reported)))
    await expect(stele.costs.explain(call.callId, 'bob')).rejects.toMatchObject({ code: 'call_not_found' })
    expect(await stele.costs.explain(call.callId, 'ada')).toMatchObject({ agrees: true })
  })

  test('all that costs follow from goes out with an export and comes in again', async () => {
    const stele = await (await bed.place()).stele()
    for (const { outcome, input } of endedCalls.filter(({ body }) => body === undefined))
      await settle(stele, await begin(stele, asked, { ...openai, ...input }), outcome)
    const other = await (await bed.place()).stele()
    await importLines(other.database, other.hashes, Readable.from([Buffer.from(await exported(stele))]))
    const accounts = async (of: Stele) => (await rowsOf(of, 'llm_responses')).map(accountOfRow)
    expect(await accounts(other)).toEqual(await accounts(stele))
    expect(await rowsOf(other, 'usage_daily')).toEqual(await rowsOf(stele, 'usage_daily'))
    expect(await other.costs.reprice()).toMatchObject({ filled: 0, corrected: 0 })
  })
}

async function exported({ database }: Stele): Promise<string> {
  let text = ''
  await exportLines(database, async lines => {
    text += lines
  })
  return text
}

/** The sums of the days are those of the calls, counted one by one. */
async function expectDaysToAdd(stele: Stele): Promise<void> {
  const rows = await rowsOf(stele, 'llm_responses')
  const days = await rowsOf(stele, 'usage_daily')
  const total = (values: readonly (number | null)[]) =>
    values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
  expect({
    calls: total(days.map(({ calls }) => calls)),
    cost: total(days.map(({ cost_nanousd }) => cost_nanousd)),
    unpriced: total(days.map(({ unpriced_calls }) => unpriced_calls)),
    input: total(days.map(({ input_tokens }) => input_tokens)),
  }).toEqual({
    calls: rows.length,
    cost: total(rows.map(({ cost_nanousd }) => cost_nanousd)),
    unpriced: rows.filter(({ cost_nanousd }) => cost_nanousd === null).length,
    input: total(rows.map(({ input_tokens }) => input_tokens)),
  })
}
