import { expect } from 'vitest'
import { upstreamFaults } from '../../faults/provider.ts'
import { summary } from '../../faults/report.ts'
import type { DatabaseName, RoundPlan, Step } from '../../faults/schedule.ts'
import { madeUpShape } from '../../faults/shape.ts'
import { runSuite, type SuiteOptions } from '../../faults/suite.ts'
import { packed, source } from '../harness/packed.ts'

/** Parts of `npm run faults`, their faults fixed. */
export const timeout = 180_000

const seed = 5
export const calm = { weather: { rate: 0, faults: [] }, leaveRate: 0, keyRate: 0, ending: 'stopped' } as const
export const rough = {
  weather: { rate: 0.3, faults: upstreamFaults },
  leaveRate: 0.1,
  keyRate: 0.4,
  ending: 'killed',
} as const
/** With calls under way at any moment, so that a kill finds some. */
export const slow = {
  weather: { rate: 0.4, faults: ['slow', 'silence'] },
  leaveRate: 0,
  keyRate: 0,
  ending: 'killed',
} as const

export const run = (database: DatabaseName, plans: RoundPlan[], more: Partial<SuiteOptions> = {}) =>
  runSuite({
    database,
    plans,
    seed,
    shape: madeUpShape(12),
    // A break takes the place of a module, which is one only in the sources.
    program: (more.break === undefined ? packed : source)('src/cli/main.ts'),
    ...more,
  })

export const plan = (
  round: number,
  steps: readonly Step[],
  more: typeof calm | typeof rough | typeof slow,
): RoundPlan => ({
  seed,
  round,
  questions: 110,
  steps,
  ...more,
})

export async function expectUnharmed(database: DatabaseName, plans: RoundPlan[]): Promise<void> {
  const result = await run(database, plans)
  expect([...result.violations, ...result.rounds.flatMap(round => round.violations)]).toEqual([])
  const { totals, troubles, answers } = summary(result)
  // Rounds in which nothing went well, or nothing went wrong, would prove nothing.
  expect(totals.acknowledged).toBeGreaterThan(20)
  expect(Object.keys(troubles).length).toBeGreaterThan(1)
  expect(Object.keys(answers).length).toBeGreaterThan(2)
}
