import { type Line, lineText, lineWidth } from './styled.ts'

/** What lines are drawn on. */
export interface Canvas {
  readonly columns: number
  readonly rows: number
  readonly isStyled: boolean
  write(text: string): void
}

export interface Cursor {
  /** Of the lines shown, from 0. */
  readonly row: number
  readonly column: number
}

/** Asks terminals that know it to show what comes in between at once. */
const begin = '\u001b[?2026h'
const end = '\u001b[?2026l'

interface Shown {
  readonly text: string
  readonly width: number
}

/**
 * The last lines of a terminal's output, which may still change: what is being typed or said. Only lines that differ are
 * drawn again. Lines that have left the screen at its top are out of reach and stay as they were.
 */
export class LiveRegion {
  readonly #canvas: Canvas
  /** What stands on the screen. With nothing there, the cursor is at the start of a free line. */
  #shown: readonly Shown[] = []
  /** How many of the lines that were given last have left the screen. */
  #gone = 0
  #cursorRow = 0

  constructor(canvas: Canvas) {
    this.#canvas = canvas
  }

  /**
   * Shows these lines in place of those shown before.
   * @param settled lines above them that will not change any more
   */
  update(
    lines: readonly Line[],
    { settled = [], cursor }: { settled?: readonly Line[]; cursor?: Cursor } = {},
  ): void {
    const { isStyled } = this.#canvas
    const next = [...settled, ...lines]
      .slice(this.#gone)
      .map((line): Shown => ({ text: lineText(line, isStyled), width: lineWidth(line) }))
    let output = this.#drawn(next) + this.#settle(next, settled.length)
    if (cursor !== undefined) {
      output += `${this.#moveTo(Math.max(0, cursor.row - this.#gone))}\r`
      if (cursor.column > 0) output += `\u001b[${cursor.column}C`
    }
    if (output !== '') this.#canvas.write(begin + output + end)
  }

  /** Shows lines for good, in place of what is shown. */
  print(lines: readonly Line[]): void {
    this.#gone = 0
    this.update([], { settled: lines })
  }

  /** Lets what is shown stand as it is. */
  commit(): void {
    if (this.#shown.length > 0) this.#canvas.write(`${this.#moveTo(this.#shown.length - 1)}\r\n`)
    this.#forget()
  }

  /** Takes away what is shown. */
  clear(): void {
    if (this.#shown.length > 0) this.#canvas.write(`${this.#moveTo(0)}\r\u001b[J`)
    this.#forget()
  }

  /**
   * The terminal has another width. Terminals break lines anew that do not fit any more, but for the cursor's; what is
   * shown is taken away, to be shown again as it fits.
   */
  resized(): void {
    const { columns } = this.#canvas
    const above = this.#shown
      .slice(0, this.#cursorRow)
      .reduce((rows, { width }) => rows + Math.max(1, Math.ceil(width / columns)), 0)
    if (this.#shown.length > 0) this.#canvas.write(`${above > 0 ? `\u001b[${above}A` : ''}\r\u001b[J`)
    this.#forget()
  }

  /** Draws what differs. */
  #drawn(next: readonly Shown[]): string {
    const shown = this.#shown
    const same = next.findIndex(({ text }, index) => text !== shown[index]?.text)
    const first = same === -1 ? next.length : same
    if (first === next.length && first === shown.length) return ''
    const lines = next.slice(first).map(({ text }) => `${text}\u001b[K`)
    const erasing = next.length < shown.length ? '\u001b[J' : ''
    if (first > 0 && first === shown.length) {
      const start = this.#moveTo(shown.length - 1)
      this.#cursorRow = next.length - 1
      return `${start}\r\n${lines.join('\r\n')}`
    }
    const start = `${this.#moveTo(first)}\r`
    if (lines.length > 0) {
      this.#cursorRow = next.length - 1
      return start + lines.join('\r\n') + erasing
    }
    return start + erasing + this.#moveTo(Math.max(0, next.length - 1))
  }

  /** Lets go of lines that are settled or have left the screen. */
  #settle(next: readonly Shown[], settledCount: number): string {
    const settled = Math.max(0, settledCount - this.#gone)
    const open = next.length - settled
    const outOfReach = Math.max(0, open - this.#canvas.rows)
    this.#gone = Math.max(0, this.#gone - settledCount) + outOfReach
    this.#shown = next.slice(settled + outOfReach)
    this.#cursorRow -= settled + outOfReach
    if (open > 0 || next.length === 0) return ''
    // What comes next begins on a line of its own.
    this.#cursorRow = 0
    return '\r\n'
  }

  #moveTo(row: number): string {
    const up = this.#cursorRow - row
    this.#cursorRow = row
    return up > 0 ? `\u001b[${up}A` : up < 0 ? `\u001b[${-up}B` : ''
  }

  #forget(): void {
    this.#shown = []
    this.#gone = 0
    this.#cursorRow = 0
  }
}
