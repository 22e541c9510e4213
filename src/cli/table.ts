import { printableLine } from './printable.ts'
import { fitText, textWidth } from './text-width.ts'

export interface Column<T> {
  readonly title: string
  readonly text: (row: T) => string
  readonly align?: 'left' | 'right'
  /** At least this wide; for tables of which not all rows are known. */
  readonly width?: number
  /** May be cut when the table is wider than the terminal. Columns one copies from (ids) may not. */
  readonly elastic?: boolean
}

const gap = '  '
const narrowest = 8

/** A table of aligned columns under their titles, one line a row, no line wider than `width` if cutting can help it. */
export function formatTable<T>(columns: readonly Column<T>[], rows: readonly T[], width?: number): string {
  const cells = rows.map(row => columns.map(column => printableLine(column.text(row))))
  const lines = [columns.map(({ title }) => title), ...cells]
  const widths = columns.map((column, index) =>
    lines.reduce((widest, line) => Math.max(widest, textWidth(line[index] ?? '')), column.width ?? 0),
  )
  if (width !== undefined) shrink(columns, widths, width)
  return lines.map(line => `${formatLine(columns, widths, line)}\n`).join('')
}

/** One more line of a table whose columns have a fixed width. */
export function formatRow<T>(columns: readonly Column<T>[], row: T): string {
  const widths = columns.map(column => column.width ?? column.title.length)
  const cells = columns.map(column => printableLine(column.text(row)))
  return formatLine(columns, widths, cells, { cut: false })
}

/** Names with their values, aligned. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...facts.map(([name]) => textWidth(name)))
  return facts
    .map(([name, value]) => `${name.padEnd(width)}${gap}${printableLine(value)}`.trimEnd())
    .join('\n')
}

/** Takes columns from the widest elastic one until the table fits or none can give any more. */
function shrink<T>(columns: readonly Column<T>[], widths: number[], width: number): void {
  const total = () => widths.reduce((sum, each) => sum + each, gap.length * (widths.length - 1))
  while (total() > width) {
    let widest = -1
    columns.forEach(({ elastic }, index) => {
      const own = widths[index] ?? 0
      if (elastic && own > narrowest && own > (widths[widest] ?? 0)) widest = index
    })
    const own = widths[widest]
    if (own === undefined) return
    widths[widest] = own - 1
  }
}

function formatLine<T>(
  columns: readonly Column<T>[],
  widths: readonly number[],
  cells: readonly string[],
  { cut = true } = {},
): string {
  return columns
    .map(({ align }, index) => {
      const width = widths[index] ?? 0
      const cell = cut ? fitText(cells[index] ?? '', width) : (cells[index] ?? '')
      const padding = ' '.repeat(Math.max(0, width - textWidth(cell)))
      return align === 'right' ? padding + cell : cell + padding
    })
    .join(gap)
    .trimEnd()
}
