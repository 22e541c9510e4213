import type { ExportFormat } from '../../audit/export/formats.ts'
import { SteleError } from '../../errors.ts'
import { takeQueued, writeFileWhole } from '../audit-files.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteActing } from '../operator.ts'
import { say, write } from '../output.ts'
import { withProgress } from '../progress.ts'

export interface AuditExportCommandOptions extends GlobalOptions {
  readonly format: ExportFormat
  readonly user?: string
  /** Milliseconds since 1970. */
  readonly since?: number
  readonly until?: number
  readonly proofs: boolean
  readonly contents?: boolean
  readonly output?: string
  readonly force?: boolean
}

/** Writes the log, or a selection of its events: to stdout, or to a file that is whole once it has its name. */
export async function exportAuditLog(options: AuditExportCommandOptions): Promise<void> {
  const { format, user: userId, since, until, proofs, contents, output, force = false } = options
  if (contents === true && format !== 'jsonl')
    throw new SteleError('usage', { reason: '--contents is for JSON Lines.' })
  const { events, size } = await withStele(options, async stele => {
    const details = { format, since, until, contents }
    await noteActing(stele, { userId: userId ?? '', action: 'audit.exported', details }, options)
    await takeQueued(stele)
    return withProgress('entries', ({ update }) => {
      const run = (to: (lines: string) => Promise<void>) =>
        stele.audit.export(to, { format, userId, since, until, proofs, contents, onProgress: update })
      return output === undefined ? run(write) : writeFileWhole(output, { overwrite: force }, run)
    })
  })
  say(
    `Exported ${events} of ${size} events.${events === size ? '' : ' Nothing proves that a selection has all.'}`,
  )
}
