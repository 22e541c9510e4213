import { expect, test } from 'vitest'
import { difference } from '../../src/cli/schema-drift.ts'
import { type Column, formatTable } from '../../src/cli/table.ts'
import { costText, timeText } from '../../src/cli/values.ts'

const columns: readonly Column<readonly [string, string]>[] = [
  { title: 'ID', text: ([id]) => id },
  { title: 'NAME', text: ([, name]) => name, elastic: true },
  { title: 'N', text: () => '7', align: 'right', width: 3 },
]

test('columns are aligned, letters of double width and combining marks counted as shown', () => {
  expect(
    formatTable(columns, [
      ['a', 'plain'],
      ['b', '漢字'],
      ['c', 'e\u0301👩‍👩‍👧'],
    ]),
  ).toBe(['ID  NAME     N', 'a   plain    7', 'b   漢字     7', 'c   e\u0301👩‍👩‍👧      7', ''].join('\n'))
})

test('without a terminal nothing is cut', () => {
  expect(formatTable(columns, [['a', 'x'.repeat(500)]])).toContain('x'.repeat(500))
})

test('on a terminal elastic columns are cut to its width, others never', () => {
  const lines = formatTable(columns, [['key_01h455vb4pex5vsknk084sn02q', 'x'.repeat(500)]], 60)
    .trimEnd()
    .split('\n')
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(60)
  expect(lines[1]).toMatch(/^key_01h455vb4pex5vsknk084sn02q {2}x+… {4}7$/)
  const narrow = formatTable(columns, [['key_01h455vb4pex5vsknk084sn02q', 'x'.repeat(500)]], 10)
  expect(narrow).toContain('key_01h455vb4pex5vsknk084sn02q')
})

test('a row is one line, whatever its values hold', () => {
  expect(formatTable(columns, [['a\nb', '\u001b[2J']]).split('\n')).toHaveLength(3)
})

test('money and times are written without loss', () => {
  expect([0, 1, 1_500_000, 12_000_000_000, undefined].map(costText)).toEqual([
    '$0.00',
    '$0.000000001',
    '$0.0015',
    '$12.00',
    '-',
  ])
  expect([0, 1_700_000_000_999, null].map(timeText)).toEqual([
    '1970-01-01T00:00:00Z',
    '2023-11-14T22:13:20Z',
    '-',
  ])
})

test('drift is what is missing and what is too many', () => {
  expect(difference(['table a', 'table b'], ['table b', 'table c'])).toEqual(['- table a', '+ table c'])
  expect(difference(['table a'], ['table a'])).toEqual([])
})
