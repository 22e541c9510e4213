import type { ForeignValue } from '../../db/foreign.ts'

/** What the values of other programs mean. A value that cannot be understood is undefined, never a guess. */

/** The last millisecond of the year 9999. */
const lastTime = 253_402_300_799_999

/** Numbers above this count milliseconds, those below seconds: it is the year 5138 in the one, 1973 in the other. */
const secondsEnd = 1e11

const timePattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|UTC|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?$/i

/**
 * A time in microseconds since 1970, UTC. It is written as databases do (without an offset it is UTC), or as a number of
 * seconds or milliseconds since 1970. Exact until the year 2255. Undefined when it is none, or before 1970.
 */
export function microsecondsOf(value: ForeignValue | number | undefined): number | undefined {
  if (value === null || value === undefined || value instanceof Uint8Array) return undefined
  const text = String(value).trim()
  const micros = /^[\d.]+(e\+?\d+)?$/i.test(text) ? fromNumber(Number(text)) : fromText(text)
  return micros !== undefined && micros >= 0 && micros / 1000 <= lastTime ? micros : undefined
}

function fromNumber(number: number): number | undefined {
  if (!Number.isFinite(number)) return undefined
  return Math.round(number >= secondsEnd ? number * 1000 : number * 1e6)
}

function fromText(text: string): number | undefined {
  const match = timePattern.exec(text)
  if (match === null) return undefined
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = ''] = match
  const time = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  )
  const date = new Date(time)
  // 2024-02-31 would be taken for a day in March.
  if (date.getUTCMonth() !== Number(month) - 1 || Number(hour) > 23 || Number(minute) > 59) return undefined
  return (time - offsetOf(zone)) * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

/** Milliseconds by which a zone is ahead of UTC. */
function offsetOf(zone: string): number {
  const match = /^([+-])(\d{2}):?(\d{2})?:?(\d{2})?$/.exec(zone)
  if (match === null) return 0
  const [, sign, hours = '0', minutes = '0', seconds = '0'] = match
  const total = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)
  return (sign === '-' ? -total : total) * 1000
}

/** The same in milliseconds. */
export function millisecondsOf(value: ForeignValue | number | undefined): number | undefined {
  const micros = microsecondsOf(value)
  return micros === undefined ? undefined : Math.floor(micros / 1000)
}

/** A whole number that is not negative. */
export function countOf(value: ForeignValue | undefined): number | null {
  if (typeof value !== 'string' || !/^\d+(\.0+)?$/.test(value.trim())) return null
  const count = Number(value)
  return Number.isSafeInteger(count) ? count : null
}

/** A number written as `true`, `t` or not zero. */
export function isTrue(value: ForeignValue | undefined): boolean {
  return typeof value === 'string' && /^(true|t|1|yes)$/i.test(value.trim())
}

/**
 * Nano-US-dollars of an amount in US dollars, by its decimal digits and not by a float's; half a nano-dollar counts as
 * one. Null when it is not known or no amount.
 */
export function nanousdOf(value: ForeignValue | undefined): number | null {
  if (typeof value !== 'string') return null
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i.exec(value.trim())
  if (match === null) return null
  const [, sign, whole = '', fraction = '', exponent = '0'] = match
  const digits = whole + fraction
  if (digits === '') return null
  // How many of the digits stand before the point of an amount in nano-dollars.
  const integral = whole.length + Number(exponent) + 9
  const nano = integral <= 0 ? 0n : BigInt(digits.padEnd(integral, '0').slice(0, integral))
  const next = integral < 0 ? '0' : (digits[integral] ?? '0')
  const amount = Number(nano + (next >= '5' ? 1n : 0n))
  if (!Number.isSafeInteger(amount)) return null
  return sign === '-' && amount !== 0 ? -amount : amount
}

/** Text for a column: where it held what not every database can hold, there is a replacement character now. */
export function columnText(value: ForeignValue | undefined): string | null {
  if (typeof value !== 'string') return null
  return value.toWellFormed().replaceAll('\0', '\uFFFD').slice(0, 100_000).toWellFormed()
}

/** The same for a word: what is empty or too long is none. */
export function wordOf(value: ForeignValue | undefined): string | null {
  const text = columnText(value)?.trim()
  return text === undefined || text.length === 0 || text.length > 512 ? null : text
}

/** The meaning of JSON text; undefined when it is none. */
export function jsonOf(value: ForeignValue | undefined): unknown {
  if (typeof value !== 'string') return undefined
  try {
    return JSON.parse(value)
  } catch {
    return undefined
  }
}
