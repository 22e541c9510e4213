import { SteleError } from '../errors.ts'

/** How long something is counted before counting begins anew. */
export const periods = ['minute', 'day', 'month'] as const

export type Period = (typeof periods)[number]

/** A stretch of time in milliseconds since 1970: from `start` on and before `end`. */
export interface Window {
  readonly start: number
  readonly end: number
}

/** Days are UTC's where nothing else is set. */
export const defaultTimeZone = 'UTC'

const minute = 60_000
const hour = 60 * minute
/** No zone is further from UTC than this. */
const farthest = 16 * hour

/** @throws SteleError invalid_value when this system knows no such time zone */
export function checkTimeZone(timeZone: string): string {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone }).resolvedOptions().timeZone
  } catch {
    throw new SteleError('invalid_value', {
      name: 'timeZone',
      reason: 'it is no time zone that this system knows; they are called as in Europe/Berlin',
    })
  }
}

/**
 * The windows of a time zone. Minutes are those of UTC, which every zone shares; days and months begin when the zone's own
 * calendar turns to them, so that a day may last 23 or 25 hours. The windows of a period follow each other without a gap or an overlap.
 */
export class Windows {
  readonly timeZone: string
  readonly #format: Intl.DateTimeFormat
  /** The last window found: calls that begin one after another nearly always share it. */
  readonly #last = new Map<Period, Window>()

  constructor(timeZone: string) {
    this.timeZone = timeZone
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
    })
  }

  /** The window of a period in which a time lies. */
  at(period: Period, time: number): Window {
    const last = this.#last.get(period)
    if (last !== undefined && time >= last.start && time < last.end) return last
    const found = period === 'minute' ? minuteAt(time) : this.#calendarWindow(period, time)
    this.#last.set(period, found)
    return found
  }

  #calendarWindow(period: 'day' | 'month', time: number): Window {
    const local = this.#localDay(time)
    const first = (shift: number): number => {
      const date = new Date(local)
      if (period === 'month') date.setUTCDate(1)
      return period === 'month'
        ? date.setUTCMonth(date.getUTCMonth() + shift)
        : date.setUTCDate(date.getUTCDate() + shift)
    }
    // Where clocks go back over midnight a date comes twice: what follows its first beginning is all its own.
    for (let shift = 1; shift >= -1; shift--) {
      const start = this.#beginningOf(first(shift))
      if (start <= time) return { start, end: this.#beginningOf(first(shift + 1)) }
    }
    throw new RangeError(`the time ${time} lies in no ${period} of ${this.timeZone}`)
  }

  /** The first moment at which the zone's calendar shows this date or a later one. @param day the date's midnight in UTC */
  #beginningOf(day: number): number {
    let before = day - farthest
    let from = day + farthest
    while (from - before > 1) {
      const middle = Math.floor((before + from) / 2)
      if (this.#localDay(middle) >= day) from = middle
      else before = middle
    }
    return from
  }

  /** The date that the zone's calendar shows, as that date's midnight in UTC. */
  #localDay(time: number): number {
    if (this.timeZone === defaultTimeZone) return time - (((time % (24 * hour)) + 24 * hour) % (24 * hour))
    const parts = new Map(this.#format.formatToParts(time).map(({ type, value }) => [type, value]))
    const number = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type))
    const year = parts.get('era') === 'BC' ? 1 - number('year') : number('year')
    return new Date(0).setUTCFullYear(year, number('month') - 1, number('day'))
  }
}

function minuteAt(time: number): Window {
  const start = Math.floor(time / minute) * minute
  return { start, end: start + minute }
}
