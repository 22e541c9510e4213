import { describe, expect, test } from 'vitest'
import type { BreakName } from '../../faults/breaks.ts'
import { upstreamFaults } from '../../faults/provider.ts'
import { summary } from '../../faults/report.ts'
import type { DatabaseName, RoundPlan, Step } from '../../faults/schedule.ts'
import { madeUpShape } from '../../faults/shape.ts'
import { runSuite, type SuiteOptions } from '../../faults/suite.ts'
import type { Check } from '../../faults/verdict.ts'
import { packed, source } from '../harness/packed.ts'

/** A short slice of `npm run faults`, its faults fixed. */
const timeout = 180_000

const seed = 5
const calm = { weather: { rate: 0, faults: [] }, leaveRate: 0, keyRate: 0, ending: 'stopped' } as const
const rough = {
  weather: { rate: 0.3, faults: upstreamFaults },
  leaveRate: 0.1,
  keyRate: 0.4,
  ending: 'killed',
} as const
/** With calls under way at any moment, so that a kill finds some. */
const slow = {
  weather: { rate: 0.4, faults: ['slow', 'silence'] },
  leaveRate: 0,
  keyRate: 0,
  ending: 'killed',
} as const

const run = (database: DatabaseName, plans: RoundPlan[], more: Partial<SuiteOptions> = {}) =>
  runSuite({
    database,
    plans,
    seed,
    shape: madeUpShape(12),
    // A break takes the place of a module, which is one only in the sources.
    program: (more.break === undefined ? packed : source)('src/cli/main.ts'),
    ...more,
  })

const plan = (
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

const slices: [DatabaseName, RoundPlan[]][] = [
  [
    'sqlite',
    [
      plan(
        1,
        [
          { after: 15, fault: 'gateway killed', holdMs: 0 },
          { after: 60, fault: 'gateway killed', holdMs: 100 },
          { after: 100, fault: 'gateway restarted', holdMs: 0 },
        ],
        calm,
      ),
      plan(
        2,
        [
          { after: 20, fault: 'disk full', holdMs: 1_000, fileLimit: 64 * 1024 },
          { after: 90, fault: 'gateway frozen', holdMs: 300 },
        ],
        rough,
      ),
    ],
  ],
  [
    'postgres',
    [
      plan(
        1,
        [
          { after: 20, fault: 'gateway killed', holdMs: 0 },
          { after: 50, fault: 'database killed', holdMs: 1_200 },
          // With a spool to leave.
          { after: 75, fault: 'gateway killed', holdMs: 0 },
          { after: 90, fault: 'sessions ended', holdMs: 100 },
          { after: 100, fault: 'database restarted', holdMs: 100 },
        ],
        calm,
      ),
      plan(
        2,
        [
          { after: 20, fault: 'connections taken', holdMs: 300 },
          { after: 60, fault: 'database frozen', holdMs: 300 },
        ],
        rough,
      ),
    ],
  ],
]

// The runs have nothing in common, and each waits for much.
test.concurrent.each(slices)(
  'under faults, %s loses, doubles and changes nothing',
  { timeout },
  async (database, plans) => {
    const result = await run(database, plans)
    expect([...result.violations, ...result.rounds.flatMap(round => round.violations)]).toEqual([])
    const { totals, troubles, answers } = summary(result)
    // Rounds in which nothing went well, or nothing went wrong, would prove nothing.
    expect(totals.acknowledged).toBeGreaterThan(20)
    expect(Object.keys(troubles).length).toBeGreaterThan(1)
    expect(Object.keys(answers).length).toBeGreaterThan(2)
  },
)

describe.concurrent('the suite notices when', () => {
  const kill: Step = { after: 60, fault: 'gateway killed', holdMs: 0 }
  const broken: [BreakName, Check][] = [
    ['acknowledge-early', 'missing'],
    ['record-twice', 'double'],
    ['change-byte', 'wrongBytes'],
    ['skip-recovery', 'open'],
  ]
  test.for(broken)('%s is broken', { timeout }, async ([name, check], { signal }) => {
    const { rounds } = await run('sqlite', [plan(1, [kill], slow)], { break: name, signal })
    expect(new Set(rounds.flatMap(round => round.violations.map(one => one.check)))).toContain(check)
  })
})
