import { createReadStream, statSync } from 'node:fs'
import { basename } from 'node:path'
import { SteleError } from '../../errors.ts'
import { type ImportReport, importLines } from '../../moving/import.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteImporting } from '../operator.ts'
import { say, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { type Progress, withProgress } from '../progress.ts'

export interface ImportCommandOptions extends GlobalOptions {
  readonly keepGoing?: boolean
  readonly withKeys?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** Reads an export; tells how much of it is new. Exits with 1 when any line was refused. */
export async function importRecord(path: string, options: ImportCommandOptions): Promise<void> {
  const total = path === '-' ? undefined : sizeOf(path)
  const report = await withProgress('bytes', progress => imported(path, total, options, progress))
  if (options.json === true) await writeJson(report)
  else if (options.dryRun !== true)
    say(`Imported ${report.imported} records; ${report.present} were here already.`)
  if (report.refused > 0) throw new Failure(`Lines that could not be imported: ${report.refused}`)
  if (options.dryRun === true) say('Every line can be read. Nothing was written.')
}

function imported(
  path: string,
  total: number | undefined,
  options: ImportCommandOptions,
  { update }: Progress,
): Promise<ImportReport> {
  const { keepGoing, withKeys, dryRun } = options
  const input = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 1 << 18 })
  return withStele(options, stele =>
    noteImporting(stele, basename(path), options, () =>
      importLines(stele.database, stele.hashes, input, {
        keepGoing,
        withKeys,
        dryRun,
        onProblem: problem => say(printableLine(problem.message)),
        onProgress: bytes => total !== undefined && update(bytes, total),
      }),
    ),
  )
}

function sizeOf(path: string): number {
  const size = statSync(path, { throwIfNoEntry: false })
  if (size?.isFile() !== true) throw new SteleError('usage', { reason: `There is no file ${path}.` })
  return size.size
}
