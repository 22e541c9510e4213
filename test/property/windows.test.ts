import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dollarsOf, nanousdOf } from '../../src/limits/money.ts'
import { type Period, Windows } from '../../src/limits/windows.ts'

const hour = 3_600_000
const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/St_Johns',
  'America/Sao_Paulo',
  'Asia/Kathmandu',
  'Asia/Beirut',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Pacific/Kiritimati',
  'Africa/Cairo',
]
/** From 1990 to 2040. */
const time = fc.integer({ min: 631_152_000_000, max: 2_208_988_800_000 })
const period = fc.constantFrom<Period>('minute', 'day', 'month')
const lengths = {
  minute: [60_000, 60_000],
  day: [1, 48 * hour],
  month: [26 * 24 * hour, 33 * 24 * hour],
} as const

function localDate(zone: string, at: number): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short' }).format(at)
}

describe('windows', () => {
  test.each(zones)('of %s hold their time and follow each other without a gap or an overlap', zone => {
    fc.assert(
      fc.property(time, period, (at, of) => {
        // Anew, so that nothing is remembered.
        const { start, end } = new Windows(zone).at(of, at)
        expect(start <= at && at < end).toBe(true)
        expect(new Windows(zone).at(of, start)).toEqual({ start, end })
        expect(new Windows(zone).at(of, end - 1)).toEqual({ start, end })
        expect(new Windows(zone).at(of, end).start).toBe(end)
        const [least, most] = lengths[of]
        expect(end - start).toBeGreaterThanOrEqual(least)
        expect(end - start).toBeLessThanOrEqual(most)
      }),
      { numRuns: 40 },
    )
  })

  test('a day holds the times that its zone dates alike', () => {
    fc.assert(
      fc.property(
        time,
        fc.constantFrom('Europe/Berlin', 'America/New_York', 'Asia/Kathmandu'),
        (at, zone) => {
          const { start, end } = new Windows(zone).at('day', at)
          const date = localDate(zone, at)
          expect([localDate(zone, start), localDate(zone, end - 1)]).toEqual([date, date])
          expect(localDate(zone, start - 1)).not.toBe(date)
          expect(localDate(zone, end)).not.toBe(date)
        },
      ),
      { numRuns: 100 },
    )
  })

  test.each([
    [
      'of 23 hours, when clocks go forward',
      'Europe/Berlin',
      '2026-03-29T12:00:00Z',
      '2026-03-28T23:00:00Z',
      23,
    ],
    ['of 25 hours, when they go back', 'Europe/Berlin', '2026-10-25T12:00:00Z', '2026-10-24T22:00:00Z', 25],
    [
      'that begins at one, as midnight is left out',
      'America/Sao_Paulo',
      '2018-11-04T12:00:00Z',
      '2018-11-04T03:00:00Z',
      23,
    ],
    ['after one that was left out', 'Pacific/Apia', '2011-12-31T00:00:00Z', '2011-12-30T10:00:00Z', 24],
  ])('a day %s', (_, zone, at, start, hours) => {
    const window = new Windows(zone).at('day', Date.parse(at))
    expect(new Date(window.start).toISOString()).toBe(new Date(start).toISOString())
    expect((window.end - window.start) / hour).toBe(hours)
  })

  test('what is remembered is what is found anew', () => {
    const remembering = new Windows('Europe/Berlin')
    fc.assert(
      fc.property(time, period, fc.integer({ min: -2 * hour, max: 2 * hour }), (at, of, shift) => {
        for (const each of [at, at + shift])
          expect(remembering.at(of, each)).toEqual(new Windows('Europe/Berlin').at(of, each))
      }),
      { numRuns: 100 },
    )
  })
})

test('dollars and nano-dollars are the same amount, to the last digit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999_999 }), nanousd => {
      expect(nanousdOf(dollarsOf(nanousd).slice(1))).toBe(nanousd)
    }),
  )
  expect(['5', '0.25', '12.000000001'].map(nanousdOf)).toEqual([5_000_000_000, 250_000_000, 12_000_000_001])
  expect(['', '.5', '5.', '-1', '1e3', '0.0000000001', '12345678'].map(nanousdOf)).toEqual(
    Array(7).fill(undefined),
  )
})
