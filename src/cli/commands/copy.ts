import type { Database, DatabaseSettings } from '../../db/database.ts'
import { type CopyReport, copyDatabase } from '../../moving/copy.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, requireExisting, withDatabase } from '../open-store.ts'
import { noteStoredActing } from '../operator.ts'
import { say, write, writeJson } from '../output.ts'
import { withProgress } from '../progress.ts'
import { formatTable } from '../table.ts'

export interface CopyCommandOptions extends GlobalOptions {
  readonly from: string
  readonly to: string
  readonly fromSchema?: string
  readonly toSchema?: string
  readonly json?: boolean
}

const columns = [
  { title: 'TABLE', text: ({ table }: CopyReport['tables'][number]) => table },
  {
    title: 'ROWS',
    text: ({ rows }: CopyReport['tables'][number]) => String(rows),
    align: 'right' as const,
  },
  {
    title: 'SAME',
    text: ({ difference }: CopyReport['tables'][number]) =>
      difference === undefined ? 'yes' : `NO: ${difference}`,
  },
]

/** Copies one database into another; prints every table with its rows and whether the two are the same. */
export async function copy(options: CopyCommandOptions): Promise<void> {
  const { from, to, fromSchema, toSchema, json } = options
  const report = await withDatabase(
    { database: from },
    source => withDatabase({ database: to }, target => copied(source, target, options), inSchema(toSchema)),
    inSchema(fromSchema),
  )
  if (json === true) await writeJson(report)
  else await write(formatTable(columns, report.tables))
  const different = report.tables.filter(({ difference }) => difference !== undefined)
  if (different.length > 0)
    throw new Failure(`The copy differs in: ${different.map(({ table }) => table).join(', ')}`)
  say(`${report.isResumed ? 'Finished the copy that was begun. ' : ''}Source and target hold the same.`)
  say(
    'The secrets moved along: the copy opens with the same master key, in its own key file or STELE_MASTER_KEY.',
  )
}

async function copied(source: Database, target: Database, options: GlobalOptions): Promise<CopyReport> {
  requireExisting(source)
  await noteStoredActing(source, 'record.copied', options)
  return withProgress('rows', progress =>
    copyDatabase(source, target, {
      onProgress: ({ step, table, done, total }) => progress.update(done, total, `${step} ${table}`),
    }),
  )
}

function inSchema(schema: string | undefined): DatabaseSettings {
  return schema === undefined ? {} : { schema }
}
