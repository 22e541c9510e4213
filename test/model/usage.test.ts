import fc from 'fast-check'
import { expect, test } from 'vitest'
import { conversationsCsv } from '../../src/analytics/csv.ts'
import { addPacked, note, packSketch, percentiles, type Sketch } from '../../src/analytics/sketch.ts'
import { usageTable } from '../../src/cli/commands/usage.ts'
import { parseDay } from '../../src/cli/parse-arguments.ts'
import { bar, sparkline } from '../../src/cli/plots.ts'

const durations = fc.array(fc.nat({ max: 100_000_000 }), { minLength: 1, maxLength: 200 })

function sketchOf(values: readonly number[]): Sketch {
  const sketch: Sketch = new Map()
  for (const value of values) note(sketch, value)
  return sketch
}

test('percentiles are those of nearest rank, within 2 %, through packing and adding up', () => {
  fc.assert(
    fc.property(durations, durations, fc.double({ min: 0, max: 1, noNaN: true }), (ones, others, share) => {
      const both: Sketch = new Map()
      for (const values of [ones, others]) addPacked(both, packSketch(sketchOf(values)))
      const sorted = [...ones, ...others].sort((a, b) => a - b)
      const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? Number.NaN
      const [found = Number.NaN] = percentiles(both, [share])
      expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * 0.020001)
    }),
  )
})

test('of short times too a percentile is within 2 %, and whole where that is near enough', () => {
  for (let time = 1; time <= 1_000; time++) {
    const [found = Number.NaN] = percentiles(sketchOf([time]), [0.5])
    expect(Math.abs(found - time), String(time)).toBeLessThanOrEqual(time * 0.020001)
  }
  expect([1, 2, 5, 10, 20].map(time => percentiles(sketchOf([time]), [0.5])[0])).toEqual([1, 2, 5, 10, 20])
})

test('what is added and taken away again leaves nothing', () => {
  fc.assert(
    fc.property(durations, values => {
      const sketch = sketchOf(values)
      addPacked(sketch, packSketch(sketchOf(values)), -1)
      expect(packSketch(sketch)).toEqual(new Uint8Array())
      expect(percentiles(sketch, [0.5])).toEqual([undefined])
    }),
  )
})

test('no text of a CSV begins as a formula does, and all of it can be read back', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'=+-@\t\r\n", aé；') }), name => {
      const text = conversationsCsv([
        { conversationId: 'c', userId: name, calls: 1, tokens: 2, costNanousd: -3, unpricedCalls: 0 },
      ])
      const [, row = ''] = text.split('unpriced_calls\r\n')
      const [, quoted, bare] = /^c,(?:"((?:[^"]|"")*)"|([^",\r\n]*)),1,2,-3,0\r\n$/.exec(row) ?? []
      const cell = quoted?.replaceAll('""', '"') ?? bare ?? ''
      expect(cell).not.toMatch(/^\s*[=+\-@\t\r]/)
      expect(cell.replace(/^'/, '')).toBe(name.replace(/^'/, ''))
    }),
  )
})

test('bars and sparklines', () => {
  expect(bar(10, 10, 4)).toBe('████')
  expect(bar(5, 10, 1)).toBe('▌')
  expect(bar(0, 10, 4)).toBe('')
  expect(bar(1, 1_000_000, 4)).toBe('▏')
  expect(sparkline([0, 4, 8])).toBe('▁▅█')
  expect(sparkline([0, 0])).toBe('▁▁')
})

test('days are days, or so many days ago', () => {
  const now = Date.UTC(2026, 2, 1, 1)
  expect(parseDay('1d', undefined, now)).toBe('2026-02-28')
  expect(parseDay('2026-01-31')).toBe('2026-01-31')
  expect(() => parseDay('2026-02-30')).toThrow()
})

test('a table has bars and the course of the days in a terminal, and neither elsewhere', () => {
  const durations = { average: 12.4, p50: 12, p95: undefined, p99: undefined }
  const totals = {
    errors: 1,
    errorRate: 0.25,
    inputTokens: 10,
    outputTokens: 5,
    cacheReadInputTokens: 0,
    reasoningOutputTokens: 0,
    unpricedCalls: 0,
    latency: durations,
    timeToFirstChunk: { ...durations, p50: undefined },
  }
  const report = {
    since: '2026-01-01',
    until: '2026-01-02',
    by: ['day'] as const,
    rows: [
      { ...totals, calls: 4, costNanousd: 2_000_000_000, group: { day: '2026-01-02' } },
      { ...totals, calls: 4, costNanousd: 1_000_000_000, group: { day: '2026-01-01' } },
    ],
    total: { ...totals, calls: 8, costNanousd: 3_000_000_000 },
    rowCount: 2,
  }
  const plain = usageTable(report)
  expect(plain).toMatch(/^DAY +CALLS +ERRORS/)
  expect(plain).toMatch(/2026-01-02 +4 +1 \(25\.0 %\) +10 +0 +5 +\$2\.00 +0 +12 +12 +- +- +-\n/)
  expect(plain).toMatch(/in all +8 /)
  expect(plain).not.toMatch(/[█▁]/)
  const shown = usageTable(report, 200)
  expect(shown).toContain(`${'█'.repeat(16)}\n`)
  expect(shown).toContain('\n2026-01-01 ▅█ 2026-01-02\n')
  expect(usageTable({ ...report, total: { ...report.total, calls: 0 } })).toContain('No calls')
})
