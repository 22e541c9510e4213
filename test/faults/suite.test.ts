import { expect, test } from 'vitest'
import { planRound } from '../../faults/schedule.ts'
import { calm, expectUnharmed, plan, rough, timeout } from './slices.ts'

test('under faults, sqlite loses, doubles and changes nothing', { timeout }, async () => {
  await expectUnharmed('sqlite', [
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
  ])
})

test('a plan is made again from its seed, and another seed makes another', () => {
  const options = { seed: 7, database: 'postgres', questions: 300 } as const
  expect(planRound(3, options)).toEqual(planRound(3, options))
  expect(planRound(3, { ...options, seed: 8 })).not.toEqual(planRound(3, options))
  expect(planRound(4, options).steps).not.toEqual(planRound(3, options).steps)
})
