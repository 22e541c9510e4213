import { printableText } from '../printable.ts'
import { textWidth } from '../text-width.ts'

/** How a piece of text looks. */
export interface Style {
  readonly bold?: boolean
  readonly dim?: boolean
  readonly italic?: boolean
  readonly underline?: boolean
  readonly struck?: boolean
  readonly color?: keyof typeof colors
}

/** Text in one look, without line ends. */
export interface Span {
  readonly text: string
  readonly style?: Style
}

/** A line of a terminal: no wider than it was made for. */
export type Line = readonly Span[]

const colors = { red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const

/**
 * A line as a terminal takes it; without `isStyled` nothing but its text. Everything that is shown comes through here, and
 * so nothing that anybody said is obeyed, whoever forgot to make it safe.
 */
export function lineText(line: Line, isStyled: boolean): string {
  const safe = line.map(({ text, ...look }): Span => ({ text: printableText(text), ...look }))
  if (!isStyled)
    return safe
      .map(({ text }) => text)
      .join('')
      .trimEnd()
  return safe.map(({ text, style }) => (style === undefined ? text : styledText(text, style))).join('')
}

function styledText(text: string, { bold, dim, italic, underline, struck, color }: Style): string {
  const codes = [
    ...(bold === true ? [1] : []),
    ...(dim === true ? [2] : []),
    ...(italic === true ? [3] : []),
    ...(underline === true ? [4] : []),
    ...(struck === true ? [9] : []),
    ...(color === undefined ? [] : [colors[color]]),
  ]
  return codes.length === 0 || text === '' ? text : `\u001b[${codes.join(';')}m${text}\u001b[0m`
}

export function lineWidth(line: Line): number {
  return line.reduce((width, { text }) => width + textWidth(text), 0)
}

/** The line with blanks up to a width. */
export function padded(line: Line, width: number): Line {
  const missing = width - lineWidth(line)
  return missing > 0 ? [...line, { text: ' '.repeat(missing) }] : line
}
