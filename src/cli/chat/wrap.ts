import { printableText } from '../printable.ts'
import { graphemesOf, textWidth } from '../text-width.ts'
import type { Line, Span } from './styled.ts'

/** Breaks text into lines no wider than `width`: between words, and within one only when it is wider by itself. */
export function wrapWords(spans: readonly Span[], width: number): Line[] {
  return spansOfLines(spans).flatMap(line => wrapLine(line, Math.max(1, width)))
}

/** The same without regard for words, every blank kept: for code. */
export function wrapAnywhere(spans: readonly Span[], width: number): Line[] {
  return spansOfLines(spans).flatMap(line => {
    const filler = new LineFiller(Math.max(1, width))
    for (const span of line) filler.addAnywhere(span)
    return filler.lines()
  })
}

/** Spans cut at their line ends and made safe to show: what a model wrote as a character's number is that character by now. */
function spansOfLines(spans: readonly Span[]): Span[][] {
  const lines: Span[][] = [[]]
  for (const { text, ...look } of spans) {
    for (const [index, part] of printableText(text).replaceAll('\t', '    ').split('\n').entries()) {
      if (index > 0) lines.push([])
      if (part !== '') lines.at(-1)?.push({ text: part, ...look })
    }
  }
  return lines
}

function wrapLine(spans: readonly Span[], width: number): Line[] {
  const filler = new LineFiller(width)
  let word: Span[] = []
  const endWord = (): void => {
    filler.addWord(word)
    word = []
  }
  for (const { text, ...look } of spans) {
    for (const piece of text.match(/ +|[^ ]+/g) ?? []) {
      if (piece.startsWith(' ')) {
        endWord()
        filler.addBlank({ text: piece, ...look })
      } else word.push({ text: piece, ...look })
    }
  }
  endWord()
  return filler.lines()
}

class LineFiller {
  readonly #width: number
  readonly #lines: Line[] = []
  #line: Span[] = []
  #used = 0
  /** Blanks that are set only when a word follows on the same line. */
  #blank: Span | undefined

  constructor(width: number) {
    this.#width = width
  }

  addBlank(blank: Span): void {
    this.#blank = blank
  }

  addWord(word: readonly Span[]): void {
    const width = word.reduce((sum, { text }) => sum + textWidth(text), 0)
    if (width === 0) return
    const blankWidth = this.#blank === undefined ? 0 : textWidth(this.#blank.text)
    if (this.#used > 0 && this.#used + blankWidth + width > this.#width) this.#break()
    else if (this.#blank !== undefined && blankWidth < this.#width) this.#put(this.#blank, blankWidth)
    this.#blank = undefined
    for (const span of word) this.addAnywhere(span)
  }

  addAnywhere({ text, ...look }: Span): void {
    let fitting = ''
    let fittingWidth = 0
    for (const grapheme of graphemesOf(text)) {
      const width = textWidth(grapheme)
      if (this.#used + fittingWidth + width > this.#width && this.#used + fittingWidth > 0) {
        this.#put({ text: fitting, ...look }, fittingWidth)
        this.#break()
        fitting = ''
        fittingWidth = 0
      }
      fitting += grapheme
      fittingWidth += width
    }
    this.#put({ text: fitting, ...look }, fittingWidth)
  }

  lines(): Line[] {
    return [...this.#lines, this.#line]
  }

  #put(span: Span, width: number): void {
    if (span.text === '') return
    const last = this.#line.at(-1)
    if (last !== undefined && last.style === span.style)
      this.#line[this.#line.length - 1] = { ...last, text: last.text + span.text }
    else this.#line.push(span)
    this.#used += width
  }

  #break(): void {
    this.#lines.push(this.#line)
    this.#line = []
    this.#used = 0
  }
}
