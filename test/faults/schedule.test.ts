import { expect, test } from 'vitest'
import { planRound } from '../../faults/schedule.ts'

test('a plan is made again from its seed, and another seed makes another', () => {
  const options = { seed: 7, database: 'postgres', questions: 300 } as const
  expect(planRound(3, options)).toEqual(planRound(3, options))
  expect(planRound(3, { ...options, seed: 8 })).not.toEqual(planRound(3, options))
  expect(planRound(4, options).steps).not.toEqual(planRound(3, options).steps)
})
