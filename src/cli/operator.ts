import { userInfo } from 'node:os'
import type { Database } from '../db/database.ts'
import { reasonOf, SteleError } from '../errors.ts'
import type { AuditAction } from '../model/audit-actions.ts'
import type { JsonObject } from '../model/json-object.ts'
import type { Stele } from '../stele.ts'
import { type Actor, type NewEvent, noteWithoutKeys } from '../store/audit-events.ts'
import { say } from './output.ts'
import { printableText } from './printable.ts'

/** Whoever runs the command line: who has the database and the master key needs no leave, and is named on record. */
export function operatorHere(): Actor {
  try {
    return { systemUser: userInfo().username }
  } catch {
    // A number that the system has no name for.
    return { systemUser: String(process.getuid?.() ?? 'unknown') }
  }
}

/** What of whom is about to be shown, and by which command. */
export interface Reading {
  /** Left out when it is everybody. */
  readonly userId?: string | undefined
  readonly target?: string | undefined
  readonly command: string
}

/** What the operator does, where it may be that it cannot be put on record. */
export interface Unrecorded {
  /** Go on all the same: to rescue what is on a disk that is full, say. */
  readonly unrecorded?: boolean
}

/**
 * Puts on record that the operator reads what was said, before anything is read.
 * @throws SteleError not_on_record when that cannot be written, unless it was asked to go on all the same
 */
export function noteReading(
  stele: Pick<Stele, 'auditEvents'>,
  { userId = '', target, command }: Reading,
  options: Unrecorded,
): Promise<void> {
  return noteActing(stele, { userId, action: 'content.read', target, details: { command } }, options)
}

/** The same of something else that the operator does. @throws SteleError not_on_record */
export function noteActing(
  { auditEvents }: Pick<Stele, 'auditEvents'>,
  event: Omit<NewEvent, 'by'>,
  options: Unrecorded,
): Promise<void> {
  return onRecord(auditEvents.add({ ...event, by: operatorHere() }), options)
}

/** The same of a database that is worked with as it is stored, without the keys. @throws SteleError not_on_record */
export function noteStoredActing(
  database: Database,
  action: AuditAction,
  options: Unrecorded,
): Promise<void> {
  return onRecord(noteWithoutKeys(database, { userId: '', action, by: operatorHere() }), options)
}

/** Puts on record that something is read in, and what came of it. @throws SteleError not_on_record before anything is read */
export async function noteImporting<R extends { readonly imported: number; readonly present: number }>(
  stele: Pick<Stele, 'auditEvents'>,
  source: string,
  options: Unrecorded & { readonly dryRun?: boolean },
  work: () => Promise<R>,
): Promise<R> {
  if (options.dryRun === true) return work()
  await noteActing(stele, { userId: '', action: 'record.import_begun', details: { source } }, options)
  const end = (outcome: string, counts: JsonObject): Promise<void> =>
    noteActing(
      stele,
      { userId: '', action: 'record.imported', outcome, details: { source, ...counts } },
      options,
    )
  let report: R
  try {
    report = await work()
  } catch (error) {
    await end('failure', {}).catch(() => undefined)
    throw error
  }
  await end('success', { imported: report.imported, present: report.present })
  return report
}

async function onRecord(writing: Promise<void>, { unrecorded }: Unrecorded): Promise<void> {
  try {
    await writing
  } catch (cause) {
    const reason = printableText(reasonOf(cause))
    if (unrecorded !== true) throw new SteleError('not_on_record', { reason }, { cause })
    say(`stele: this is not on record: ${reason}`)
  }
}
