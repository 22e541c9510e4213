import type { IBufferCell, Terminal } from '@xterm/headless'

const cellWidth = 8.4
const lineHeight = 19
const padding = 18
const titleHeight = 36

const foreground = '#d8dee9'
const background = '#14181f'
const palette: Readonly<Record<number, string>> = {
  1: '#e06c75',
  2: '#98c379',
  3: '#e5c07b',
  4: '#61afef',
  5: '#c678dd',
  6: '#56b6c2',
}

interface Run {
  readonly column: number
  readonly width: number
  readonly text: string
  readonly look: string
}

/** The lines of a terminal as a picture: text that can be selected, in whatever monospaced font there is. */
export function screenSvg(terminal: Terminal, lineCount: number, title: string): string {
  const width = Math.ceil(terminal.cols * cellWidth + 2 * padding)
  const height = Math.ceil(lineCount * lineHeight + titleHeight + 1.5 * padding)
  const rows = Array.from({ length: lineCount }, (_, row) => rowSvg(terminal, row)).filter(row => row !== '')
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title>`,
    '<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}</style>',
    `<rect width="${width}" height="${height}" rx="10" fill="${background}"/>`,
    ...['#ff5f57', '#febc2e', '#28c840'].map(
      (color, index) => `<circle cx="${22 + 20 * index}" cy="20" r="6" fill="${color}"/>`,
    ),
    `<g fill="${foreground}">`,
    ...rows,
    '</g>',
    '</svg>',
  ].join('\n')}\n`
}

function rowSvg(terminal: Terminal, row: number): string {
  const y = titleHeight + padding / 2 + (row + 0.75) * lineHeight
  return runsOf(terminal, row)
    .map(({ column, width, text, look }) => {
      const x = number(padding + column * cellWidth)
      // Fonts differ in width; the columns must not.
      const length = number(width * cellWidth)
      return `<text x="${x}" y="${number(y)}" textLength="${length}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"${look}>${escaped(text)}</text>`
    })
    .join('')
}

/** Neighbouring cells of one look; blank ones between words included, others left out. */
function runsOf(terminal: Terminal, row: number): Run[] {
  const line = terminal.buffer.active.getLine(row)
  const runs: Run[] = []
  for (let column = 0; line !== undefined && column < terminal.cols; column++) {
    const cell = line.getCell(column)
    if (cell === undefined || cell.getWidth() === 0) continue
    const text = cell.getChars() || ' '
    const look = lookOf(cell)
    const last = runs.at(-1)
    if (last !== undefined && last.look === look && last.column + last.width === column)
      runs[runs.length - 1] = { ...last, width: last.width + cell.getWidth(), text: last.text + text }
    else runs.push({ column, width: cell.getWidth(), text, look })
  }
  return runs
    .map(run => {
      const text = run.text.trimEnd()
      return { ...run, text, width: run.width - (run.text.length - text.length) }
    })
    .filter(({ text }) => text !== '')
}

function lookOf(cell: IBufferCell): string {
  const color = cell.isFgPalette() ? palette[cell.getFgColor()] : undefined
  return [
    color === undefined ? '' : ` fill="${color}"`,
    cell.isBold() === 0 ? '' : ' font-weight="700"',
    cell.isItalic() === 0 ? '' : ' font-style="italic"',
    cell.isDim() === 0 ? '' : ' opacity="0.55"',
    cell.isUnderline() === 0 ? '' : ' text-decoration="underline"',
  ].join('')
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
