import { InvalidArgumentError } from 'commander'
import { checkedDimensions } from '../analytics/input.ts'
import type { Dimension } from '../analytics/report.ts'
import { reasonOf } from '../errors.ts'
import { partitionName } from '../model/caching.ts'
import { isoTime } from '../model/iso-time.ts'
import { isScope, type Scope } from '../model/permissions.ts'
import { forEver, longestPeriod } from '../retention/periods.ts'

/** Reads the values of options; what they refuse is wrong usage and named as such. */

export function parseLimit(text: string): number {
  return integer(text, 1, 100_000)
}

export function parseCount(text: string): number {
  return integer(text, 1, 1_000_000)
}

/** A period for which something is kept: whole days, 0 for `forever`. */
export function parseDays(text: string): number {
  if (text === 'forever') return forEver
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > longestPeriod)
    throw new InvalidArgumentError(`It must be a number of days from 1 to ${longestPeriod}, or forever.`)
  return Number(text)
}

export function parsePort(text: string): number {
  return integer(text, 0, 65_535)
}

export function parseWorkers(text: string): number {
  return integer(text, 1, 64)
}

export function parseHttpUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new InvalidArgumentError('It must be an http or https URL.')
  return text
}

export function parseEmail(text: string): string {
  if (!/^[^\s@]+@[^\s@]+$/.test(text)) throw new InvalidArgumentError('It must be an e-mail address.')
  return text
}

/** Scopes of a key: roles or permissions, with commas between them. */
export function parseScopes(text: string): Scope[] {
  return text.split(',').map(part => {
    const scope = part.trim()
    if (!isScope(scope)) throw new InvalidArgumentError(`There is no scope '${scope}'.`)
    return scope
  })
}

/** The name of a partition of the cache. */
export function parsePartition(text: string): string {
  if (!partitionName.test(text))
    throw new InvalidArgumentError("It must be of lower-case letters, digits, _ and -, and not 'user'.")
  return text
}

const minute = 60_000
const units: Readonly<Record<string, number>> = {
  m: minute,
  h: 60 * minute,
  d: 1_440 * minute,
  w: 10_080 * minute,
}
const longest = 36_525 * 1_440 * minute

/** A time to come, in milliseconds since 1970: `30d` from now, or a date, or a date with a time. */
export function parseExpiry(text: string, now = Date.now()): number {
  const time = durationEnd(text, now) ?? isoTime(text)
  if (time === undefined)
    throw new InvalidArgumentError('Give a duration (15m, 12h, 30d, 8w) or an ISO 8601 date.')
  if (time <= now) throw new InvalidArgumentError('It is in the past.')
  if (time > now + longest) throw new InvalidArgumentError('It is more than a hundred years ahead.')
  return time
}

/** A time in milliseconds since 1970 from a date, or a date with a time. */
export function parseTime(text: string): number {
  const time = isoTime(text)
  if (time === undefined) throw new InvalidArgumentError('Give an ISO 8601 date, or a date with a time.')
  return time
}

/** A day in UTC, as YYYY-MM-DD: as such, or so many days ago. */
export function parseDay(text: string, _previous?: unknown, now = Date.now()): string {
  const [, days] = /^(\d{1,5})d$/.exec(text) ?? []
  const time = days === undefined ? isoTime(text) : now - Number(days) * 1_440 * minute
  if (time === undefined)
    throw new InvalidArgumentError('Give a day (2026-01-31), or 7d for that many days ago.')
  return new Date(time).toISOString().slice(0, 10)
}

/** What a report of usage sums up by, with commas between. */
export function parseDimensions(text: string): Dimension[] {
  try {
    return checkedDimensions(text.split(',').map(part => part.trim()))
  } catch (error) {
    throw new InvalidArgumentError(reasonOf(error))
  }
}

function durationEnd(text: string, now: number): number | undefined {
  const [, count, unit] = /^(\d+)([mhdw])$/.exec(text) ?? []
  return count === undefined || unit === undefined ? undefined : now + Number(count) * (units[unit] ?? 0)
}

function integer(text: string, least: number, most: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most))
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  return value
}
