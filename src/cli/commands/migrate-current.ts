import { migrationHistory } from '../../db/migrate.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, requireExisting, withDatabase } from '../open-store.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { toRecord } from '../record.ts'

export interface CurrentOptions extends GlobalOptions {
  readonly json?: boolean
}

/** Prints the newest applied migration. */
export async function printCurrent(options: CurrentOptions): Promise<void> {
  await withDatabase(options, async database => {
    requireExisting(database)
    const history = await migrationHistory(database)
    const current = history.findLast(({ appliedAt }) => appliedAt !== undefined)
    const missing = history.filter(({ appliedAt }) => appliedAt === undefined).length
    if (current === undefined) throw new Failure('No migration is applied. Run: stele migrate up')
    await (options.json === true ? writeJson(toRecord(current)) : writeLine(current.name))
    if (missing > 0) say(`${missing} not applied yet. Run: stele migrate up`)
  })
}
