import { expect, test } from 'vitest'
import { versions } from '../../src/compression/compress-text.ts'
import { compressionLevels } from '../../src/compression/levels.ts'

/** What makes careless patterns and searches take a time that grows with the square of a text. */
const units = [
  '\n',
  ' \t',
  '`',
  '"',
  '“',
  '<',
  '{\n',
  '[a](',
  'a',
  'A ',
  '- ',
  'the ',
  'a@a',
  '_',
  'please. ',
  'not  really ',
]

test.each(units)('a text of %j alone is done with in no time', unit => {
  const text = unit.repeat(Math.ceil(60_000 / unit.length))
  const before = process.cpuUsage()
  for (const level of compressionLevels) versions[1]?.(text, level)
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000)
})

test('a text that is too long to be looked through is sent as it is', () => {
  const text = 'Could you please tell me the  end of it? '.repeat(10_000)
  for (const level of compressionLevels) expect(versions[1]?.(text, level)).toBe(text)
})
