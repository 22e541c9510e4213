import type { Database } from '../../db/database.ts'
import { knownMigrations, migrateUp, migrationHistory } from '../../db/migrate.ts'
import { SteleError } from '../../errors.ts'
import { notingSchema } from '../../store/audit-events.ts'
import { type GlobalOptions, withDatabase } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeLine } from '../output.ts'

export interface UpOptions extends GlobalOptions {
  readonly to?: number
  readonly dryRun?: boolean
}

/** Applies missing migrations; prints the name of each. */
export async function applyMigrations(options: UpOptions): Promise<void> {
  const { to, dryRun } = options
  const newest = (await knownMigrations()).at(-1)
  if (to !== undefined && to > (newest?.id ?? 0)) {
    throw new SteleError('usage', {
      reason: `There is no migration ${to}; the newest is ${newest?.name ?? 'none'}.`,
    })
  }
  await withDatabase(options, async database => {
    const names =
      dryRun === true
        ? await missing(database, to)
        : await migrateUp(database, { target: to, onChange: noted(database) })
    for (const name of names) await writeLine(name)
    const where = database.location.display
    if (names.length === 0) say(`Nothing to apply: ${where} is up to date.`)
    else say(`${dryRun === true ? 'Would apply' : 'Applied'} ${names.length} to ${where}.`)
  })
}

function noted(database: Database) {
  return notingSchema(database, 'schema.migrated', operatorHere())
}

async function missing(database: Database, to = Number.POSITIVE_INFINITY): Promise<string[]> {
  // A file that is not there lacks them all, and looking must not make it.
  const migrations = database.exists()
    ? (await migrationHistory(database)).filter(({ appliedAt }) => appliedAt === undefined)
    : await knownMigrations()
  return migrations.filter(({ id }) => id <= to).map(({ name }) => name)
}
