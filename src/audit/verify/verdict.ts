import { reasonOf, SteleError } from '../../errors.ts'

/** What is wrong, and with which entry of the log: the first that is not as it was signed. */
export interface AuditFault {
  readonly reason: string
  /** The place of the entry in the log. */
  readonly index?: number | undefined
  readonly eventId?: string | undefined
  /** The line of the export, counted from 1. */
  readonly line?: number | undefined
  /** The file that has the line, where there are files. */
  readonly file?: string | undefined
}

/** What a verification has come to. */
export interface AuditVerdict {
  readonly verified: boolean
  /** The first thing that is wrong; undefined when all was verified. */
  readonly fault: AuditFault | undefined
  /** Entries that were looked at. */
  readonly entries: number
  /** Checkpoints whose signature and root were verified. */
  readonly checkpoints: number
  /** Entries that the newest of them is of. */
  readonly size: number
  /** False for a selection: each of its events is in the log, and there may be others. */
  readonly complete: boolean
  /** The newest verified checkpoint, a signed note: to be kept for the next time. */
  readonly checkpoint: string | undefined
}

/** Ends a verification at what is wrong. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly fault: AuditFault

  constructor(fault: AuditFault) {
    super(fault.reason)
    this.fault = fault
  }
}

/** What cannot be read is wrong; that the database cannot be asked is not. */
export function asFault(error: unknown): Fault {
  if (error instanceof Fault) return error
  if (error instanceof RangeError) return new Fault({ reason: reasonOf(error) })
  if (error instanceof SteleError && error.code === 'content_unreadable')
    return new Fault({ reason: `the event cannot be read: ${reasonOf(error)}` })
  throw error
}

/** A fault in one line of words. */
export function faultText({ index, eventId, line, file, reason }: AuditFault): string {
  const places = [
    ...(index === undefined ? [] : [`entry ${index}`]),
    ...(eventId === undefined ? [] : [`event ${eventId}`]),
    ...(line === undefined ? [] : [file === undefined ? `line ${line}` : `line ${line} of ${file}`]),
  ]
  return places.length === 0 ? reason : `${places.join(', ')}: ${reason}`
}
