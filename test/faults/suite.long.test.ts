import { describe, expect, test } from 'vitest'
import type { BreakName } from '../../faults/breaks.ts'
import type { Step } from '../../faults/schedule.ts'
import type { Check } from '../../faults/verdict.ts'
import { calm, expectUnharmed, plan, rough, run, slow, timeout } from './slices.ts'

// The runs have nothing in common, and each waits for much.
test.concurrent('under faults, postgres loses, doubles and changes nothing', { timeout }, async () => {
  await expectUnharmed('postgres', [
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
  ])
})

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
