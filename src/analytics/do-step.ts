import type { Database } from '../db/database.ts'
import { repairCell } from './repair.ts'
import { rollUp } from './roll-up.ts'
import type { UsageStep, UsageStepResult } from './steps.ts'

/** Does a step of the work on sums, in one transaction. */
export async function doUsageStep(database: Database, step: UsageStep): Promise<UsageStepResult> {
  return database.kysely.transaction().execute(async tx => {
    if (step.kind === 'roll-up') return rollUp(tx, database.forUpdate, step)
    await repairCell(tx, database.forUpdate, step.cell)
    return { calls: 0, isDone: true }
  })
}
