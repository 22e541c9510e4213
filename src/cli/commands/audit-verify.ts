import { statSync } from 'node:fs'
import { verifyAuditExport } from '../../audit/verify/export.ts'
import type { LogVerdict } from '../../audit/verify/store.ts'
import { type AuditVerdict, faultText } from '../../audit/verify/verdict.ts'
import { SteleError } from '../../errors.ts'
import { FileLines, readInOrder, readWhole, takeQueued, writeFileWhole } from '../audit-files.ts'
import { Failure, Verdict } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { withProgress } from '../progress.ts'

export interface VerifyCommandOptions extends GlobalOptions {
  readonly from?: readonly string[]
  readonly key?: readonly string[]
  readonly checkpoint?: readonly string[]
  readonly incremental?: boolean
  readonly contents?: boolean
  readonly save?: string
  readonly json?: boolean
}

/** Verifies the log of the database, or with `--from` what was written of it. */
export async function verifyAudit(options: VerifyCommandOptions): Promise<void> {
  const { from, incremental, checkpoint = [], save, json } = options
  if (incremental === true && (checkpoint.length === 0 || from !== undefined))
    throw new SteleError('usage', {
      reason: '--incremental is for the database, and goes on from what --checkpoint names.',
    })
  if (options.contents === true && from !== undefined)
    throw new SteleError('usage', {
      reason: '--contents is for the database: of an export everything is verified.',
    })
  const notes: string[] = []
  for (const path of checkpoint) notes.push((await readWhole(path, 'checkpoint')).toString())
  const verdict =
    from === undefined ? await verifyDatabase(options, notes) : await verifyFiles(from, options, notes)
  if (verdict.verified && save !== undefined) await keep(save, verdict)
  if (json === true) {
    await writeJson(asRecord(verdict))
    if (!verdict.verified) throw new Verdict(1)
    return
  }
  if (verdict.fault !== undefined) throw new Failure(`Not verified: ${faultText(verdict.fault)}`)
  await writeLine(wordsOf(verdict))
}

type AnyVerdict = AuditVerdict & Partial<Pick<LogVerdict, 'pending' | 'contents'>>

function verifyDatabase(options: VerifyCommandOptions, checkpoints: readonly string[]): Promise<LogVerdict> {
  return withStele(options, async stele => {
    const refusal = await takeQueued(stele).catch(whatIsBroken)
    const verdict = await withProgress('entries', ({ update }) =>
      stele.audit.verify({
        keys: options.key,
        checkpoints,
        incremental: options.incremental,
        contents: options.contents,
        onProgress: update,
      }),
    )
    // What takes events in knows more than the database says: checkpoints that are known outside.
    if (refusal === undefined || !verdict.verified) return verdict
    return { ...verdict, verified: false, fault: { reason: refusal } }
  })
}

function whatIsBroken(error: unknown): string {
  if (error instanceof SteleError && error.code === 'audit_log_broken') return error.message
  throw error
}

async function verifyFiles(
  files: readonly string[],
  { key: keys }: VerifyCommandOptions,
  checkpoints: readonly string[],
): Promise<AuditVerdict> {
  if (keys === undefined)
    throw new SteleError('usage', {
      reason: 'Name the public key of the log with --key: whose an export is cannot be learned from it.',
    })
  const bytes = files.includes('-')
    ? undefined
    : files.reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0)
  const megabytes = (count: number): number => Math.round(count / 1_000_000)
  const lines = new FileLines()
  const verdict = await withProgress('MB', ({ update }) =>
    verifyAuditExport(readInOrder(files, lines), {
      keys,
      checkpoints,
      onProgress: (_entries, done) => update(megabytes(done), megabytes(bytes ?? done)),
    }),
  )
  const { fault } = verdict
  if (fault?.line === undefined) return verdict
  return { ...verdict, fault: { ...fault, ...lines.placeOf(fault.line) } }
}

async function keep(path: string, { checkpoint }: AuditVerdict): Promise<void> {
  if (checkpoint === undefined) return
  await writeFileWhole(path, { overwrite: true }, write => write(checkpoint))
  say(`The checkpoint is kept in ${path}.`)
}

function wordsOf({ entries, checkpoints, size, complete, contents, pending = 0 }: AnyVerdict): string {
  const waiting = pending === 0 ? '' : ` ${pending} events wait to be taken into the log.`
  const compared =
    contents === undefined
      ? ''
      : ` Of what events commit to ${contents.same} are as they were, and ${contents.gone} are gone.`
  if (complete)
    return `Verified: ${entries} entries and ${checkpoints} checkpoints, the newest of ${size} entries.${compared}${waiting}`
  return `Verified: ${entries} events of a log of ${size}. It is a selection: there may be others.`
}

function asRecord({ fault, ...verdict }: AnyVerdict) {
  return {
    ...verdict,
    checkpoint: verdict.checkpoint ?? null,
    fault: fault
      ? {
          index: fault.index ?? null,
          event: fault.eventId ?? null,
          line: fault.line ?? null,
          file: fault.file ?? null,
          reason: fault.reason,
        }
      : null,
  }
}
