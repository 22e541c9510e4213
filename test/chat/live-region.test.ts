import xterm from '@xterm/headless'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LiveRegion } from '../../src/cli/chat/live-region.ts'
import type { Line } from '../../src/cli/chat/styled.ts'

const columns = 40
const rows = 8

const line = fc.constantFrom('', 'a', 'some words', 'x'.repeat(columns - 1), '漢字')
const lines = (most: number) => fc.array(line, { maxLength: most })

const step = fc.oneof(
  fc.record({
    kind: fc.constant('update' as const),
    settled: lines(12),
    open: lines(rows),
    cursorRow: fc.option(fc.nat({ max: rows - 1 })),
  }),
  fc.record({ kind: fc.constant('print' as const), settled: lines(12) }),
  fc.record({ kind: fc.constantFrom('commit' as const, 'clear' as const) }),
)

const asLines = (texts: readonly string[]): Line[] => texts.map(text => [{ text }])

/** What a terminal shows of everything that was written. */
async function shownBy(written: readonly string[]): Promise<string[]> {
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 2_000 })
  for (const text of written) await new Promise<void>(resolve => terminal.write(text, resolve))
  const { active } = terminal.buffer
  const shown = Array.from({ length: active.length }, (_, row) =>
    (active.getLine(row)?.translateToString(true) ?? '').trimEnd(),
  )
  terminal.dispose()
  return shown.slice(0, shown.findLastIndex(text => text !== '') + 1)
}

test('whatever is shown, settled, let stand and taken away: nothing is lost, doubled or left behind', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async steps => {
      const written: string[] = []
      const region = new LiveRegion({ columns, rows, isStyled: false, write: text => written.push(text) })
      const stands: string[] = []
      let open: string[] = []
      for (const each of steps) {
        if (each.kind === 'update') {
          const row = Math.min(each.cursorRow ?? -1, each.open.length - 1)
          const cursor = row < 0 ? {} : { cursor: { row, column: 0 } }
          region.update(asLines(each.open), { settled: asLines(each.settled), ...cursor })
          stands.push(...each.settled)
          open = each.open
        } else if (each.kind === 'print') {
          region.print(asLines(each.settled))
          stands.push(...each.settled)
          open = []
        } else {
          if (each.kind === 'commit') stands.push(...open)
          region[each.kind]()
          open = []
        }
      }
      const expected = [...stands, ...open]
      expect(await shownBy(written)).toEqual(
        expected.slice(0, expected.findLastIndex(text => text !== '') + 1),
      )
    }),
    { numRuns: 150 },
  )
})

test('lines that stay the same are not written again', () => {
  const written: string[] = []
  const region = new LiveRegion({ columns, rows, isStyled: false, write: text => written.push(text) })
  region.update(asLines(['first', 'second']))
  region.update(asLines(['first', 'second and more']))
  region.update(asLines(['first', 'second and more']))
  expect(written).toHaveLength(2)
  expect(written[1]).not.toContain('first')
})
