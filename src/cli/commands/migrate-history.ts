import { type MigrationStatus, migrationHistory } from '../../db/migrate.ts'
import { type GlobalOptions, requireExisting, withDatabase } from '../open-store.ts'
import { outputWidth, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { timeText } from '../values.ts'

export interface HistoryOptions extends GlobalOptions {
  readonly json?: boolean
}

const columns: readonly Column<MigrationStatus>[] = [
  { title: 'MIGRATION', text: ({ name }) => name, elastic: true },
  { title: 'APPLIED', text: ({ appliedAt }) => (appliedAt === undefined ? 'not yet' : timeText(appliedAt)) },
]

/** Lists every migration and when it was applied. */
export async function printHistory(options: HistoryOptions): Promise<void> {
  await withDatabase(options, async database => {
    requireExisting(database)
    const history = await migrationHistory(database)
    if (options.json === true) await writeJson(history.map(toRecord))
    else await write(formatTable(columns, history, outputWidth()))
  })
}
