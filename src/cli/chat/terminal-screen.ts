import type { ReadStream, WriteStream } from 'node:tty'
import { printableLine } from '../printable.ts'
import { TerminalComparison } from './comparison-view.ts'
import { Keyboard } from './keyboard.ts'
import { LineEditor, type PromptOptions, type Typed } from './line-editor.ts'
import { type Canvas, LiveRegion } from './live-region.ts'
import { markdownLines } from './markdown.ts'
import { TerminalReply } from './reply-view.ts'
import type { ChatScreen, ComparisonView, ReplyView } from './screen.ts'
import type { Line } from './styled.ts'
import { wrapWords } from './wrap.ts'

const narrowest = 10
const usualColumns = 80
const usualRows = 24

/** Milliseconds after which a program that was to stop has not been stopped. */
const longestStop = 100

/** A chat in a terminal. */
export class TerminalScreen implements ChatScreen, Canvas {
  readonly isStyled: boolean
  readonly #output: WriteStream
  readonly #keyboard: Keyboard
  readonly #region: LiveRegion
  /** Draws what is live again. */
  #redraw: () => void = () => undefined
  #stopper: AbortController | undefined
  #isOver = false
  #goingOn: NodeJS.Timeout | undefined

  constructor(input: ReadStream, output: WriteStream, { isStyled }: { isStyled: boolean }) {
    this.#output = output
    this.isStyled = isStyled
    this.#keyboard = new Keyboard(
      input,
      text => this.write(text),
      () => this.#suspend(),
    )
    this.#region = new LiveRegion(this)
  }

  get columns(): number {
    return Math.max(narrowest, this.#output.columns || usualColumns)
  }

  get rows(): number {
    return Math.max(3, this.#output.rows || usualRows)
  }

  /** One column stays free: a terminal may break a line that fills the last. */
  get width(): number {
    return this.columns - 1
  }

  write(text: string): void {
    this.#output.write(text)
  }

  open(): void {
    this.#keyboard.open()
    this.#output.on('resize', this.#onResize)
    process.on('SIGCONT', this.#goOn)
  }

  /** Gives the terminal back as it was. */
  close(): void {
    this.#output.off('resize', this.#onResize)
    process.off('SIGCONT', this.#goOn)
    clearTimeout(this.#goingOn)
    this.#region.commit()
    this.#keyboard.close()
  }

  /** What Ctrl-C does while a reply comes; at a prompt it is a key. */
  interrupt(): void {
    this.#stopper?.abort()
  }

  /** The person is gone, or the process is to end: nothing more is asked, and what is under way stops. */
  stop(): void {
    this.#isOver = true
    this.#stopper?.abort()
    this.#interruptPrompt()
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Lets the person type. */
  async prompt(options: PromptOptions): Promise<Typed> {
    if (this.#isOver) return { kind: 'end' }
    const size = () => ({ columns: this.columns, rows: this.rows })
    const editor = new LineEditor({ keyboard: this.#keyboard, region: this.#region, size }, options)
    this.#redraw = () => editor.draw()
    const stopped = Promise.withResolvers<Typed>()
    this.#interruptPrompt = () => stopped.resolve({ kind: 'end' })
    try {
      return await Promise.race([editor.read(), stopped.promise])
    } finally {
      this.#redraw = () => undefined
      this.#interruptPrompt = () => undefined
    }
  }

  #interruptPrompt: () => void = () => undefined

  async show(lines: readonly Line[]): Promise<void> {
    this.#region.print(lines.flatMap(line => (line.length === 0 ? [line] : wrapWords(line, this.width))))
  }

  notify(text: string): void {
    const style = { color: 'yellow' } as const
    this.#region.print(wrapWords([{ text: printableLine(text), style }], this.width))
    this.#redraw()
  }

  async showMarkdown(text: string): Promise<void> {
    this.#region.print(markdownLines(text, this.width))
  }

  async fail(error: Error): Promise<void> {
    const words = { text: printableLine(error.message), style: { color: 'red' } as const }
    this.#region.print([...wrapWords([words], this.width), []])
  }

  async choose(question: string): Promise<string | undefined> {
    const typed = await this.prompt({ prompt: { text: `${question} `, style: { bold: true } } })
    return typed.kind === 'text' ? typed.text.trim() : undefined
  }

  reply(model: string): ReplyView {
    const view = new TerminalReply(this.#region, () => this.width, printableLine(model))
    this.#redraw = () => view.draw()
    return view
  }

  comparison(models: readonly string[]): ComparisonView {
    const size = () => ({ columns: this.columns, rows: this.rows })
    const view = new TerminalComparison(this.#region, size, models)
    this.#redraw = () => view.draw()
    return view
  }

  async interruptible<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const stopper = new AbortController()
    this.#stopper = stopper
    if (this.#isOver) stopper.abort()
    const release = this.#keyboard.listen(
      key => {
        if (key.ctrl && key.name === 'c') stopper.abort()
        else this.#keyboard.keep(key)
      },
      { onEnd: () => this.stop() },
    )
    try {
      return await work(stopper.signal)
    } finally {
      this.#redraw = () => undefined
      this.#stopper = undefined
      release()
    }
  }

  /** Gives the terminal back to the shell until that lets the program go on, `npx` and all. */
  #suspend(): void {
    if (process.platform === 'win32') return
    this.#region.commit()
    this.#keyboard.close()
    process.kill(0, 'SIGTSTP')
    // Where no shell controls jobs nothing stops, and no signal says that it goes on.
    this.#goingOn = setTimeout(this.#goOn, longestStop)
  }

  /** Takes the terminal again: whoever had it meanwhile may have left it otherwise. */
  readonly #goOn = (): void => {
    clearTimeout(this.#goingOn)
    this.#region.commit()
    this.#keyboard.close()
    this.#keyboard.open()
    this.#redraw()
  }

  readonly #onResize = (): void => {
    this.#region.resized()
    this.#redraw()
  }
}
