import { migrateDown, migrationHistory } from '../../db/migrate.ts'
import { notingSchema } from '../../store/audit-events.ts'
import { type GlobalOptions, requireExisting, withDatabase } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeLine } from '../output.ts'

export interface DownOptions extends GlobalOptions {
  readonly count: number
  readonly dryRun?: boolean
}

/** Undoes the newest migrations; prints the name of each. */
export async function undoMigrations(options: DownOptions): Promise<void> {
  const { count, dryRun } = options
  await withDatabase(options, async database => {
    requireExisting(database)
    const applied = (await migrationHistory(database)).filter(({ appliedAt }) => appliedAt !== undefined)
    const doomed = applied.reverse().slice(0, count)
    const names =
      dryRun === true || doomed.length === 0
        ? doomed.map(({ name }) => name)
        : await migrateDown(database, count, notingSchema(database, 'schema.reverted', operatorHere()))
    for (const name of names) await writeLine(name)
    const where = database.location.display
    if (names.length === 0) say(`Nothing to undo: ${where} has no migration applied.`)
    else say(`${dryRun === true ? 'Would undo' : 'Undid'} ${names.length} of ${where}.`)
  })
}
