import { expect, test } from 'vitest'
import { SteleError } from '../../src/errors.ts'
import { newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** Many operations at once. */
export function loadSuite(bed: Bed): void {
  test('hundreds of calls at once end up once each, and usage is their sum', async () => {
    const stele = await (await bed.place()).stele()
    const users = ['ada', 'bob', 'eve']
    const costs = Array.from({ length: 300 }, (_, index) => index * 3)
    const calls = await Promise.all(
      costs.map(async (costNanousd, index) => {
        const userId = users[index % 3] ?? ''
        const call = await begin(stele, chatBody([user(`question ${index}`)]), { userId })
        const outcome = completed(completionBody(`answer ${index}`), {
          costNanousd,
          createdAt: Date.UTC(2026, 0, 1),
        })
        return stele.recorder.settle(call, outcome)
      }),
    )
    expect(new Set(calls.map(call => call.callId)).size).toBe(300)
    expect(await countOf(stele, 'llm_requests')).toBe(300)
    expect(await countOf(stele, 'llm_responses')).toBe(300)
    expect(await countOf(stele, 'messages')).toBe(600)
    expect(await countOf(stele, 'audit_events')).toBe(600)
    const usage = await rowsOf(stele, 'usage_daily')
    expect(
      usage.map(row => [row.user_id, row.calls, row.input_tokens, row.output_tokens, row.cost_nanousd]),
    ).toEqual(
      users.map((userId, nth) => [
        userId,
        100,
        1_000,
        500,
        costs.filter((_, index) => index % 3 === nth).reduce((a, b) => a + b),
      ]),
    )
  })

  test('two stores that write to one place at once lose and double nothing', async () => {
    const place = await bed.place()
    const steles =
      bed.name === 'SQLite memory' ? [await place.stele()] : [await place.stele(), await place.stele()]
    await Promise.all(
      Array.from({ length: 120 }, (_, index) => {
        const stele = steles[index % steles.length]
        return (
          stele && exchange(stele, [user(`question ${index}`)], 'a', { userId: index % 2 ? 'ada' : 'bob' })
        )
      }),
    )
    const [stele] = steles
    expect(stele && (await rowsOf(stele, 'usage_daily')).map(row => row.calls)).toEqual([60, 60])
    expect(stele && (await countOf(stele, 'messages'))).toBe(240)
  })

  test('of stores that make the first key at once one makes it, whether its secret is given or not', async () => {
    const place = await bed.place()
    const first = await place.stele()
    const stores =
      bed.name === 'SQLite memory' ? [first, first] : [first, await place.stele(), await place.stele()]
    const secret = 'sk-a-secret-of-its-own'
    for (const options of [{ userId: 'admin' }, { userId: 'admin', secret }]) {
      const made = await Promise.all(stores.map(({ apiKeys }) => apiKeys.createFirst(options)))
      expect(made.filter(key => key !== undefined)).toHaveLength(1)
    }
    expect(await stores[0]?.apiKeys.list()).toHaveLength(2)
  })

  test('a repeat among many at once costs its neighbours nothing', async () => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    const body = chatBody([user('the same')])
    await begin(stele, body, { callId })
    const calls = await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        index % 20 === 7
          ? begin(stele, body, { callId })
          : begin(stele, chatBody([user(`question ${index}`)])),
      ),
    )
    expect(calls.filter(call => call.callId === callId)).toHaveLength(3)
    expect(await countOf(stele, 'llm_requests')).toBe(58)
    expect(await countOf(stele, 'messages')).toBe(58)
  })

  test('a begin that cannot be stored fails alone in a batch of many', async () => {
    const stele = await (await bed.place()).stele()
    await stele.recorder.start()
    const bad = new Set([0, 13, 49])
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) =>
        begin(stele, chatBody([user(`question ${index}`)]), bad.has(index) ? { createdAt: Number.NaN } : {}),
      ),
    )
    expectOnlyBad(outcomes, bad)
    expect(await countOf(stele, 'llm_requests')).toBe(47)
    expect(await countOf(stele, 'messages')).toBe(47)
    expect(await countOf(stele, 'conversations')).toBe(47)
  })

  test('a settle that cannot be stored fails alone in a batch of many, and its call can be settled properly', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await Promise.all(
      Array.from({ length: 50 }, (_, index) => begin(stele, chatBody([user(`question ${index}`)]))),
    )
    const bad = new Set([1, 25])
    const outcomes = await Promise.allSettled(
      calls.map((call, index) =>
        stele.recorder.settle(
          call,
          completed(completionBody('a'), bad.has(index) ? { status: null as never } : {}),
        ),
      ),
    )
    expectOnlyBad(outcomes, bad)
    expect(await countOf(stele, 'llm_responses')).toBe(48)
    expect((await rowsOf(stele, 'usage_daily')).map(row => row.calls)).toEqual([48])
    const [, failed] = calls
    expect(failed && (await stele.recorder.settle(failed, completed(completionBody('a'))))).toMatchObject({
      isRepeat: false,
    })
  })

  test('a queue that is full makes callers wait and drops nothing', async () => {
    const stele = await (await bed.place()).stele({ maxQueued: 3 })
    const lengths: number[] = []
    const calls = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const call = await begin(stele, chatBody([user(`question ${index}`)]))
        lengths.push(stele.recorder.queueLength)
        return call
      }),
    )
    expect(Math.max(...lengths)).toBeLessThanOrEqual(3)
    expect(new Set(calls.map(call => call.callId)).size).toBe(100)
    expect(await countOf(stele, 'llm_requests')).toBe(100)
  })

  test('closing waits until everything that was handed over is committed', async () => {
    const place = await bed.place()
    const stele = await place.stele({ maxQueued: 20 })
    await stele.recorder.start()
    const begins = Array.from({ length: 100 }, (_, index) =>
      begin(stele, chatBody([user(`question ${index}`)])),
    )
    await stele.recorder.close()
    expect((await Promise.all(begins)).length).toBe(100)
    expect(await countOf(stele, 'llm_requests')).toBe(100)
  })

  test('a settle that was under way when closing began is committed', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    // Long enough to be compressed on the way, which takes a while.
    const settling = stele.recorder.settle(
      call,
      completed(Buffer.from(`data: {"x":"${'long '.repeat(200_000)}"}\n\n`)),
    )
    await stele.recorder.close()
    expect(await settling).toMatchObject({ isRepeat: false })
    expect(await countOf(stele, 'llm_responses')).toBe(1)
    expect(await countOf(stele, 'instances')).toBe(0)
  })

  test('a first begin that meets the closing is either committed or refused', async () => {
    const stele = await (await bed.place()).stele({ retryFor: 100 })
    const began = begin(stele, chatBody([user('q')])).then(
      () => 'committed',
      (error: unknown) => (error instanceof SteleError ? error.code : 'something else'),
    )
    await stele.close()
    expect(['committed', 'shutting_down']).toContain(await began)
  })

  test('a process is off the list of the living once it has closed with nothing open', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('q')], 'a')
    expect(await countOf(stele, 'instances')).toBe(1)
    await stele.recorder.close()
    expect(await countOf(stele, 'instances')).toBe(0)
  })

  test('each reply lands in its own conversation however the calls interleave', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await Promise.all(
      Array.from({ length: 40 }, (_, index) => begin(stele, chatBody([user(`question ${index}`)]))),
    )
    const shuffled = calls
      .map((call, index) => ({ call, index }))
      .sort((a, b) => ((a.index * 7) % 40) - ((b.index * 7) % 40))
    await Promise.all(
      shuffled.map(({ call, index }) =>
        stele.recorder.settle(call, completed(completionBody(`answer ${index}`))),
      ),
    )
    for (const [index, call] of calls.entries())
      expect(await said(stele, call.conversationId)).toEqual([`question ${index}`, `answer ${index}`])
  })
}

function expectOnlyBad(outcomes: readonly PromiseSettledResult<unknown>[], bad: ReadonlySet<number>): void {
  const failed = outcomes.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))
  expect(failed).toEqual([...bad])
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect((outcome.reason as SteleError).code).toBe('record_rejected')
  }
}

async function said(stele: Stele, conversationId: string): Promise<unknown[]> {
  const messages = await stele.messages.list({ userId: 'ada', conversationId })
  return messages.map(({ raw }) => (JSON.parse(raw) as { content: unknown }).content)
}
