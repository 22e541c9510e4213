import { addEvents, eventRow, operator } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { repairCell } from './repair.ts'
import { rollUp } from './roll-up.ts'
import type { UsageStep, UsageStepResult } from './steps.ts'

/** Does a step of the work on sums, in one transaction. */
export async function doUsageStep(database: Store, step: UsageStep): Promise<UsageStepResult> {
  return database.kysely.transaction().execute(async tx => {
    if (step.kind === 'roll-up') return rollUp(tx, database.forUpdate, step)
    const { userId, day, model } = step.cell
    await repairCell(tx, database.forUpdate, step.cell)
    const event = { userId, by: operator, action: 'usage.repaired', details: { day, model } } as const
    await addEvents(tx, database.contents, eventRow(event, Date.now()))
    return { calls: 0, isDone: true }
  })
}
