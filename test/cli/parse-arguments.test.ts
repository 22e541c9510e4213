import { expect, test } from 'vitest'
import { parseExpiry, parseLimit } from '../../src/cli/parse-arguments.ts'

const now = Date.UTC(2026, 0, 1)

test.each([
  ['15m', now + 900_000],
  ['12h', now + 43_200_000],
  ['30d', now + 30 * 86_400_000],
  ['2w', now + 14 * 86_400_000],
  ['2026-02-03', Date.UTC(2026, 1, 3)],
  ['2026-02-03T04:05', Date.UTC(2026, 1, 3, 4, 5)],
  ['2026-02-03T04:05:06Z', Date.UTC(2026, 1, 3, 4, 5, 6)],
  ['2026-02-03T04:05:06+02:00', Date.UTC(2026, 1, 3, 2, 5, 6)],
])('the expiry %s is understood, in UTC unless it says otherwise', (text, time) => {
  expect(parseExpiry(text, now)).toBe(time)
})

test.each([
  '',
  '30',
  '0d',
  '-1d',
  '1y',
  '30 d',
  '2026-02-31',
  '2026-13-01',
  '2026-02-03T25:00',
  '2025-01-01',
  '99999999d',
  'tomorrow',
])("the expiry '%s' is refused", text => {
  expect(() => parseExpiry(text, now)).toThrow()
})

test.each(['', '0', '-1', '1.5', '1e3', '0x10', '9'.repeat(30), ' 5'])("the limit '%s' is refused", text => {
  expect(() => parseLimit(text)).toThrow()
})
