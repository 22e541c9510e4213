import { SteleError } from '../../errors.ts'
import type { FailureKind } from '../database.ts'

/** Primary result codes, https://sqlite.org/rescode.html; an error may carry an extended code, whose low byte is one. */
const busy = 5
const ioError = 10
const corrupt = 11
const full = 13
const cannotOpen = 14
const notADatabase = 26

const damageCodes = new Set([corrupt, notADatabase])
const brokenCodes = new Set([ioError, full, cannotOpen, ...damageCodes])
const rejectedCodes = new Set([1, 18, 19, 20, 25])

const unavailableErrors = new Set(['database_not_writable', 'database_damaged', 'store_unavailable'])

/** Another process holds the lock that the statement needs. */
export function isBusy(error: unknown): boolean {
  return primaryCode(error) === busy
}

/** The bytes of the file are not those of a database. */
export function isDamage(error: unknown): boolean {
  return damageCodes.has(primaryCode(error) ?? 0)
}

/** The file could not be read or written as it should be: what the connection believes about it is in doubt. */
export function isBroken(error: unknown): boolean {
  return brokenCodes.has(primaryCode(error) ?? 0)
}

export function classify(error: unknown): FailureKind {
  if (error instanceof SteleError) return unavailableErrors.has(error.code) ? 'unavailable' : 'rejected'
  const code = primaryCode(error)
  return code === undefined || rejectedCodes.has(code) ? 'rejected' : 'unavailable'
}

function primaryCode(error: unknown): number | undefined {
  const code = (error as { errcode?: number } | null)?.errcode
  return code === undefined ? undefined : code & 0xff
}
