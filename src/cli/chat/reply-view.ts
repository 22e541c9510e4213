import type { Answer } from '../../chat/backend.ts'
import { answerNotes, secondsText } from './answer-notes.ts'
import type { LiveRegion } from './live-region.ts'
import { MarkdownStream } from './markdown-stream.ts'
import type { ReplyView } from './screen.ts'
import type { Line } from './styled.ts'

/** Milliseconds between two drawings of what comes. */
const drawInterval = 30
const waitInterval = 100
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

/** A reply in a terminal: rendered as it comes, only its last block drawn again. */
export class TerminalReply implements ReplyView {
  readonly #region: LiveRegion
  readonly #width: () => number
  readonly #model: string
  readonly #stream = new MarkdownStream()
  readonly #startedAt = performance.now()
  readonly #waiting: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  #hasText = false
  #pause = drawInterval
  #frame = 0

  constructor(region: LiveRegion, width: () => number, model: string) {
    this.#region = region
    this.#width = width
    this.#model = model
    this.#waiting = setInterval(() => this.#wait(), waitInterval)
    this.#wait()
  }

  add(text: string): void {
    this.#hasText = true
    clearInterval(this.#waiting)
    this.#stream.add(text)
    this.#timer ??= setTimeout(() => this.draw(), this.#pause)
  }

  /** Shows what has come; again when the terminal has another size. */
  draw(): void {
    this.#timer = undefined
    if (this.#hasText) {
      const startedAt = performance.now()
      const { settled, open } = this.#stream.render(this.#width())
      this.#region.update(open, { settled })
      // A block that is long in drawing must not keep everything else waiting.
      this.#pause = Math.max(drawInterval, 4 * (performance.now() - startedAt))
    } else this.#wait()
  }

  async end(answer: Answer | undefined): Promise<void> {
    clearInterval(this.#waiting)
    clearTimeout(this.#timer)
    const rest = this.#hasText ? this.#stream.end(this.#width()) : []
    const notes = answer === undefined ? [] : answerNotes(answer)
    const apart: Line[] = this.#hasText && notes.length > 0 ? [[]] : []
    this.#region.update([], { settled: [...rest, ...apart, ...notes, []] })
  }

  #wait(): void {
    const seconds = secondsText(performance.now() - this.#startedAt)
    const mark = frames[this.#frame++ % frames.length] ?? ''
    this.#region.update([[{ text: `${mark} ${this.#model} · ${seconds}`, style: { dim: true } }]])
  }
}
