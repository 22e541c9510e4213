import type { Answer } from '../../chat/backend.ts'
import { Failure } from '../failure.ts'
import { say, write } from '../output.ts'
import { printableLine, printableText } from '../printable.ts'
import { answerNotes } from './answer-notes.ts'
import type { ChatScreen, ComparisonView, ReplyView } from './screen.ts'
import { type Line, lineText } from './styled.ts'

/** Plain text, for scripts and files: replies on stdout as they come, nothing that a terminal would obey. */
export class PlainScreen implements ChatScreen {
  readonly width = undefined
  readonly #stop: AbortController

  constructor(stop: AbortController) {
    this.#stop = stop
  }

  async show(lines: readonly Line[]): Promise<void> {
    await write(lines.map(line => `${lineText(line, false)}\n`).join(''))
  }

  async showMarkdown(text: string): Promise<void> {
    await write(`${printableText(text)}\n`)
  }

  notify(text: string): void {
    say(`stele: ${text}`)
  }

  async fail(error: Error): Promise<void> {
    throw error
  }

  async choose(): Promise<undefined> {
    return undefined
  }

  reply(): ReplyView {
    const writer = new TextWriter()
    return {
      add: text => writer.add(text),
      async end(answer) {
        await writer.end()
        if (answer !== undefined) raiseFailure(answer)
      },
    }
  }

  comparison(models: readonly string[]): ComparisonView {
    return {
      add: () => undefined,
      async end(answers = []) {
        for (const [index, answer] of answers.entries()) {
          await write(
            `── ${index + 1} ${printableLine(models[index] ?? '')} ──\n${printableText(answer.text)}\n`,
          )
          if (answer.status !== 'completed')
            say(
              answerNotes(answer)
                .map(line => lineText(line, false))
                .join('\n'),
            )
        }
        if (answers.length > 0 && answers.every(({ status }) => status === 'failed')) {
          throw new Failure('No model answered.')
        }
      },
    }
  }

  interruptible<R>(work: (signal: AbortSignal) => Promise<R>): Promise<R> {
    return work(this.#stop.signal)
  }
}

function raiseFailure({ status, error }: Answer): void {
  if (status === 'failed') throw error ?? new Failure('It failed.')
}

/** Writes text as it comes, made safe to show. */
class TextWriter {
  /** Half of a line end. */
  #held = ''
  #last = '\n'
  #written: Promise<void> = Promise.resolve()

  add(text: string): void {
    const all = this.#held + text
    this.#held = all.endsWith('\r') ? '\r' : ''
    this.#put(printableText(this.#held === '' ? all : all.slice(0, -1)))
  }

  async end(): Promise<void> {
    this.#put(printableText(this.#held))
    if (this.#last !== '\n') this.#put('\n')
    await this.#written
  }

  #put(text: string): void {
    if (text === '') return
    this.#last = text.at(-1) ?? ''
    this.#written = this.#written.then(() => write(text))
    // Whoever ends the text hears of it.
    this.#written.catch(() => undefined)
  }
}
