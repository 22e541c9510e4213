import type { Tokens } from 'marked'
import { inlineSpans } from './markdown-inline.ts'
import { type Line, lineWidth, padded, type Style } from './styled.ts'
import { wrapWords } from './wrap.ts'

const quiet: Style = { dim: true }
const gap = ' │ '
const narrowestColumn = 3

/** A table with its columns under one another. One that is too wide is made narrower by breaking its cells. */
export function tableLines({ header, rows, align }: Tokens.Table, width: number): Line[] {
  const cells = [header, ...rows].map((row, index) =>
    row.map(({ tokens }) => inlineSpans(tokens, index === 0 ? { bold: true } : {})),
  )
  const widths = header.map((_, column) =>
    cells.reduce((widest, row) => Math.max(widest, lineWidth(row[column] ?? [])), narrowestColumn),
  )
  shrink(widths, width - gap.length * (header.length - 1))
  const shown = cells.map(row => rowLines(row, widths, align))
  const rule: Line = [{ text: widths.map(each => '─'.repeat(each)).join('─┼─'), style: quiet }]
  const [head = [], ...body] = shown
  return [...head, rule, ...body.flat()]
}

function rowLines(row: readonly Line[], widths: readonly number[], align: Tokens.Table['align']): Line[] {
  const columns = widths.map((width, index) => wrapWords(row[index] ?? [], width))
  const height = Math.max(1, ...columns.map(lines => lines.length))
  return Array.from({ length: height }, (_, at) =>
    columns.flatMap((lines, index): Line => {
      const width = widths[index] ?? 0
      const line = lines[at] ?? []
      const missing = ' '.repeat(Math.max(0, width - lineWidth(line)))
      const cell = align[index] === 'right' ? [{ text: missing }, ...line] : padded(line, width)
      return index === 0 ? cell : [{ text: gap, style: quiet }, ...cell]
    }),
  )
}

/** Takes columns from the widest until the table fits or none can give any more. */
function shrink(widths: number[], width: number): void {
  const total = (): number => widths.reduce((sum, each) => sum + each, 0)
  while (total() > width) {
    const widest = Math.max(...widths)
    if (widest <= narrowestColumn) return
    widths[widths.indexOf(widest)] = widest - 1
  }
}
