import { Lexer, type Token } from 'marked'
import { printableText } from '../printable.ts'
import { blockLines } from './markdown.ts'
import type { Line } from './styled.ts'

/** What a reply that is still coming looks like. */
export interface StreamedLines {
  /** Lines that will not change any more; told once. */
  readonly settled: readonly Line[]
  /** Lines of what is still being said. */
  readonly open: readonly Line[]
}

/**
 * Renders Markdown as it comes. A block is settled as soon as another one follows it; only the last is rendered again,
 * so that a long reply costs no more per word than a short one.
 */
export class MarkdownStream {
  /** What is not settled, made safe. */
  #tail = ''
  /** A carriage return at the end may be half a line end. */
  #held = ''
  #hasSettled = false

  add(text: string): void {
    const all = this.#held + text
    this.#held = all.endsWith('\r') ? '\r' : ''
    this.#tail += printableText(this.#held === '' ? all : all.slice(0, -1))
  }

  /** The lines as they are now. */
  render(width: number): StreamedLines {
    const blocks = this.#blocks()
    const last = blocks.findLastIndex(({ type }) => type !== 'space')
    const settled = this.#settle(blocks.slice(0, Math.max(0, last)))
    return {
      settled: this.#apart(settled, width),
      open: this.#apart(settled.length > 0 ? this.#blocks() : blocks, width, false),
    }
  }

  /** All that is left. */
  end(width: number): Line[] {
    this.#tail += printableText(this.#held)
    this.#held = ''
    const blocks = this.#blocks()
    this.#tail = ''
    return this.#apart(blocks, width)
  }

  #blocks(): Token[] {
    return new Lexer({ gfm: true }).lex(this.#tail)
  }

  /** Takes blocks out of what is open, if they are how it begins. */
  #settle(blocks: readonly Token[]): readonly Token[] {
    const raw = blocks.map(block => block.raw).join('')
    if (raw === '' || !this.#tail.startsWith(raw)) return []
    this.#tail = this.#tail.slice(raw.length)
    return blocks
  }

  /** With a blank line before them when something came before. */
  #apart(blocks: readonly Token[], width: number, areSettled = true): Line[] {
    const lines = blockLines(blocks, width)
    if (lines.length === 0) return lines
    const separated: Line[] = this.#hasSettled ? [[], ...lines] : lines
    if (areSettled) this.#hasSettled = true
    return separated
  }
}
