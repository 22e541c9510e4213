import type { Batch } from '../../src/db/batch.ts'
import { applySettles as original } from '../../src/recorder/apply-settles.ts'

export * from '../../src/recorder/apply-settles.ts'

export const applySettles: typeof original = (batch, ...rest) =>
  original({ ...batch, insertOrAdd: twice(batch) }, ...rest)

function twice(batch: Batch): Batch['insertOrAdd'] {
  return async (...sums) => {
    await batch.insertOrAdd(...sums)
    await batch.insertOrAdd(...sums)
  }
}
