import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { randomOf } from '../../faults/random.ts'
import { type Arrival, loadShape, type Shape } from '../../faults/shape.ts'
import { temporaryFolder } from '../harness/databases.ts'

function some(shape: Shape, count: number): Arrival[] {
  const arrivals = shape.arrivals(randomOf('shape'))
  return Array.from({ length: count }, () => arrivals.next().value)
}

test('a trace gives its arrival times, so many times as fast, and its sizes, from a random place on and round again', async () => {
  const path = join(await temporaryFolder(), 'trace.csv')
  const lines = [
    'TIMESTAMP,ContextTokens,GeneratedTokens',
    '2023-11-16 18:15:46.6800000,374,44',
    '2023-11-16 18:15:46.9800000,396,109',
    '2023-11-16 18:15:47.5800000,99999,55',
  ]
  await writeFile(path, `${lines.join('\n')}\n`)
  const shape = loadShape(path, 10)
  expect(shape.name).toContain('Azure')
  const arrivals = some(shape, 7)
  const first = arrivals.findIndex(({ replyTokens }) => replyTokens === 44)
  // From one end of the trace to the other no time passes.
  expect(arrivals.slice(first, first + 4)).toEqual([
    { gapMs: 0, promptTokens: 374, replyTokens: 44 },
    { gapMs: 30, promptTokens: 396, replyTokens: 109 },
    { gapMs: 60, promptTokens: 1_500, replyTokens: 55 },
    { gapMs: 0, promptTokens: 374, replyTokens: 44 },
  ])
  expect(some(shape, 7)).toEqual(arrivals)
})

test('a file that is no trace is refused', async () => {
  const path = join(await temporaryFolder(), 'trace.csv')
  await writeFile(path, 'a,b,c\n1,2,3\n4,5,6\n')
  expect(() => loadShape(path, 10)).toThrow('is not the trace')
})

test('without a trace, arrivals and sizes are made up, about as dense, and it says so', async () => {
  const shape = loadShape(join(await temporaryFolder(), 'none.csv'), 10)
  expect(shape.name).toContain('Poisson')
  const arrivals = some(shape, 2_000)
  const mean = (measure: (arrival: Arrival) => number): number =>
    arrivals.reduce((sum, arrival) => sum + measure(arrival), 0) / arrivals.length
  expect(mean(({ gapMs }) => gapMs)).toBeGreaterThan(15)
  expect(mean(({ gapMs }) => gapMs)).toBeLessThan(21)
  expect(arrivals.every(({ promptTokens, replyTokens }) => promptTokens >= 1 && replyTokens >= 1)).toBe(true)
  expect(mean(({ promptTokens }) => promptTokens)).toBeGreaterThan(700)
})
