import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { BegunCall } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  chatBody,
  completed,
  completionBody,
  historyOf,
  reproduced,
  user,
} from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { rowsOf } from '../harness/rows.ts'

type Action =
  | {
      readonly kind: 'ask'
      readonly conversation: number
      readonly settles: boolean
      readonly repeats: boolean
    }
  | { readonly kind: 'settle'; readonly pick: number }
  | { readonly kind: 'cut' | 'restore' | 'restart' | 'drained' }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      conversation: fc.nat(2),
      settles: fc.boolean(),
      repeats: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), pick: fc.nat(50) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('cut' as const, 'restore' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('restart' as const, 'drained' as const) }) },
)

/** What the caller was told. */
interface Told {
  readonly call: BegunCall
  readonly request: string
  readonly conversation: number
  /** The instance that began it. */
  readonly generation: number
  reply: string | undefined
}

test('whatever becomes of the database, what was acknowledged is on record once, exactly and in order', async () => {
  await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 20 }), play), {
    numRuns: 8,
    interruptAfterTimeLimit: 40_000,
  })
}, 90_000)

async function play(actions: readonly Action[]): Promise<void> {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const open = () =>
    place.stele({ databaseUrl: link.databaseUrl, poolTimeout: 2, commitTimeout: 1, retryFor: 100 })
  let stele = await open()
  let generation = 0
  const told: Told[] = []
  /** What clients have of each conversation, which they send whole every time. */
  const histories = [0, 1, 2].map((): unknown[] => [])

  const settle = async (one: Told): Promise<void> => {
    const reply = `reply to ${told.indexOf(one)}`
    await stele.recorder.settle(one.call, completed(completionBody(reply)))
    one.reply = reply
    histories[one.conversation] = [
      ...(JSON.parse(one.request) as { messages: unknown[] }).messages,
      assistant(reply),
    ]
  }
  const perform = async (step: Action): Promise<void> => {
    if (step.kind === 'ask') {
      const messages = [
        ...(histories[step.conversation] ?? []),
        user(`question ${told.length} of ${step.conversation}`),
      ]
      const input = { userId: 'ada', provider: 'test', body: chatBody(messages), callId: newId('call') }
      const call = await stele.recorder.begin(input)
      if (step.repeats) await stele.recorder.begin(input)
      const one = { call, request: input.body, conversation: step.conversation, generation, reply: undefined }
      told.push(one)
      if (step.settles) await settle(one)
      if (step.settles && step.repeats)
        await stele.recorder.settle(call, completed(completionBody(`reply to ${told.length - 1}`)))
    } else if (step.kind === 'settle') {
      const unsettled = told.filter(one => one.reply === undefined && one.generation === generation)
      const one = unsettled[step.pick % Math.max(1, unsettled.length)]
      if (one !== undefined) await settle(one)
    } else if (step.kind === 'cut') link.cut()
    else if (step.kind === 'restore') link.restore()
    else if (step.kind === 'drained') {
      link.restore()
      await drained(stele)
    } else {
      await stele.close()
      link.restore()
      stele = await open()
      await stele.recorder.start()
      generation++
    }
  }
  for (const step of actions) await perform(step)
  link.restore()
  if (told.length === 0) return
  await drained(stele)
  await stele.close()
  // Over connections that were never cut.
  await expectTruth(await place.stele(), told)
}

async function drained(stele: Stele): Promise<void> {
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
}

async function expectTruth(stele: Stele, told: readonly Told[]): Promise<void> {
  const calls = await stele.calls.list({ limit: 1_000 })
  expect(calls.map(({ id }) => id).sort()).toEqual(told.map(({ call }) => call.callId).sort())
  for (const { call, request, reply } of told) {
    const recorded = await reproduced(stele, call.callId)
    expect(recorded.request).toBe(request)
    expect(recorded.response).toBe(reply === undefined ? undefined : completionBody(reply))
  }
  const settled = told.filter(({ reply }) => reply !== undefined).length
  const usage = await rowsOf(stele, 'usage_daily')
  const responses = await rowsOf(stele, 'llm_responses')
  expect(responses.filter(({ status }) => status === 'completed')).toHaveLength(settled)
  expect(usage.reduce((sum, row) => sum + row.calls, 0)).toBe(responses.length)
  for (const { id, next_seq: nextSeq } of await rowsOf(stele, 'conversations'))
    expect(await historyOf(stele, id)).toHaveLength(nextSeq)
}
