import { SteleError } from '../errors.ts'

/** What applications keep as they like: members of a JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>

/** Characters that one value of a column may have. */
const longest = 100_000

/** The last millisecond of the year 9999. */
export const lastTime = 253_402_300_799_999

/**
 * The JSON text of what an application gives as an object, for a column.
 * @throws SteleError invalid_value when it is no object, or has no JSON text, or too long a one
 */
export function objectText(name: string, value: unknown, most = longest): string {
  givenObject(name, value)
  let text: string
  try {
    text = JSON.stringify(value)
  } catch {
    throw invalid(name, 'it has no JSON form')
  }
  // What says itself how it is written need not be written as an object.
  if (typeof text !== 'string' || !text.startsWith('{')) throw invalid(name, 'it must be an object')
  if (text.length > most) throw invalid(name, `its JSON text may have ${most} characters`)
  return text
}

/** The inverse; undefined where there is none. @throws SteleError content_unreadable */
export function objectFrom(text: string | null): JsonObject | undefined {
  if (text === null) return undefined
  try {
    return JSON.parse(text) as JsonObject
  } catch (cause) {
    throw new SteleError('content_unreadable', { reason: 'it is no JSON' }, { cause })
  }
}

/**
 * Text for a column.
 * @throws SteleError invalid_value when not every database could keep it
 */
export function columnText(
  name: string,
  value: unknown,
  { least = 0, most = longest }: { least?: number; most?: number } = {},
): string {
  if (typeof value !== 'string' || value.length < least || value.length > most)
    throw invalid(name, `it must be text of ${least} to ${most} characters`)
  if (value.includes('\0') || !value.isWellFormed())
    throw invalid(name, 'it holds a NUL character or half a surrogate pair')
  return value
}

/**
 * What names something on record: whoever asks for it may have it from anywhere.
 * @throws SteleError invalid_value when it is no text that a database could hold
 */
export function keyText(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(name, 'it must be text')
  if (value.includes('\0') || !value.isWellFormed())
    throw invalid(name, 'it holds a NUL character or half a surrogate pair')
  return value
}

/** How many rows a page may have. @throws SteleError invalid_value */
export function pageLimit(limit: unknown, usual: number): number {
  return limit === undefined ? usual : wholeNumber('limit', limit, 0)
}

/** @throws SteleError invalid_value unless it is an object with members, and no list */
export function givenObject<T>(name: string, value: T): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(name, 'it must be an object')
  return value
}

/** @throws SteleError invalid_value unless it is a list */
export function givenList<T>(name: string, value: readonly T[]): readonly T[] {
  if (!Array.isArray(value)) throw invalid(name, 'it must be a list')
  return value
}

/** @throws SteleError invalid_value unless it is a whole number in this range */
export function wholeNumber(
  name: string,
  value: unknown,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const isWithin = typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most
  if (!isWithin) throw invalid(name, `it must be a whole number from ${least} to ${most}`)
  return value
}

function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
