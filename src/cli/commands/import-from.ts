import { readFileSync } from 'node:fs'
import { reasonOf, SteleError } from '../../errors.ts'
import { FernetKey } from '../../moving/foreign/fernet.ts'
import type { FormatName } from '../../moving/foreign/formats.ts'
import { importForeign } from '../../moving/foreign/import-foreign.ts'
import type { ForeignReport } from '../../moving/foreign/report.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteImporting } from '../operator.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { withProgress } from '../progress.ts'
import { type Column, formatTable } from '../table.ts'
import { none } from '../values.ts'

export interface ImportFromOptions extends GlobalOptions {
  readonly from?: string
  readonly as: FormatName | 'auto'
  readonly fromSchema?: string
  readonly user?: string
  readonly sourceName?: string
  readonly sourceKey?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** Reads what another program kept; prints what became of every row. */
export async function importFrom(options: ImportFromOptions): Promise<void> {
  const { from = '', as, fromSchema, user, sourceName, sourceKey, dryRun, json } = options
  const key = sourceKey === undefined ? undefined : keyIn(sourceKey)
  const report = await withProgress(/\.(json|jsonl|zip)$/i.test(from) ? 'bytes' : 'rows', ({ update }) =>
    withStele(options, stele =>
      noteImporting(stele, as, options, () =>
        importForeign(stele, {
          from,
          as,
          schema: fromSchema,
          owner: user,
          name: sourceName,
          key,
          dryRun,
          onProgress: (done, { total }) => update(done, total),
        }),
      ),
    ),
  )
  if (json === true) return writeJson(report)
  await write(formatTable(columns, linesOf(report), outputWidth()))
  for (const { what, count } of report.notes) say(printableLine(`${count} × ${what}`))
  say(`${printableLine(report.source)} was taken for ${report.format}.`)
  say(
    report.dryRun
      ? `${report.imported} records would be new, ${report.present} are here already. Nothing was written.`
      : `Imported ${report.imported} records; ${report.present} were here already.`,
  )
}

interface ReportLine {
  readonly table: string
  readonly rows: string
  readonly mapped: string
  readonly skipped: string
  readonly why: string
}

const columns: readonly Column<ReportLine>[] = [
  { title: 'TABLE', text: ({ table }) => table },
  { title: 'ROWS', text: ({ rows }) => rows, align: 'right' },
  { title: 'MAPPED', text: ({ mapped }) => mapped, align: 'right' },
  { title: 'SKIPPED', text: ({ skipped }) => skipped, align: 'right' },
  { title: 'WHY', text: ({ why }) => why },
]

/** A line for each table, and one more for each further reason why rows of it were skipped. */
function linesOf({ tables }: ForeignReport): ReportLine[] {
  return tables.flatMap(({ table, rows, mapped, skipped }) => {
    const [first, ...more] = skipped
    return [
      {
        table,
        rows: String(rows),
        mapped: String(mapped),
        skipped: String(first?.rows ?? 0),
        why: first?.reason ?? none,
      },
      ...more.map(({ reason, rows: each }) => ({
        table: '',
        rows: '',
        mapped: '',
        skipped: String(each),
        why: reason,
      })),
    ]
  })
}

function keyIn(path: string): FernetKey {
  try {
    return new FernetKey(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new SteleError('usage', { reason: `--source-key ${path}: ${reasonOf(error)}` }, { cause: error })
  }
}
