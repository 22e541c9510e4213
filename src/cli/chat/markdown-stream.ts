import type { Token } from 'marked'
import { printableText } from '../printable.ts'
import { blockLines, blocksOf } from './markdown.ts'
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
    const settled = this.#apart(this.#settle(), width)
    if (settled.length > 0) this.#hasSettled = true
    return { settled, open: this.#apart(blocksOf(this.#tail), width) }
  }

  /** All that is left. */
  end(width: number): Line[] {
    this.#tail += printableText(this.#held)
    this.#held = ''
    const lines = this.#apart(blocksOf(this.#tail), width)
    this.#tail = ''
    return lines
  }

  /**
   * Takes the blocks out of what is open that another one follows. What a line is can be told when it has come to its end,
   * so the last one does not count before.
   */
  #settle(): readonly Token[] {
    const blocks = blocksOf(this.#tail.slice(0, this.#tail.lastIndexOf('\n') + 1))
    const last = blocks.findLastIndex(({ type }) => type !== 'space')
    const settled = blocks.slice(0, Math.max(0, last))
    const raw = settled.map(block => block.raw).join('')
    // A block that is not how the text begins was put together from it.
    if (raw === '' || !this.#tail.startsWith(raw)) return []
    this.#tail = this.#tail.slice(raw.length)
    return settled
  }

  /** With a blank line before them when something came before. */
  #apart(blocks: readonly Token[], width: number): Line[] {
    const lines = blockLines(blocks, width)
    return lines.length > 0 && this.#hasSettled ? [[], ...lines] : lines
  }
}
