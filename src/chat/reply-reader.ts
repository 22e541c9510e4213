import { maybeJson } from '../model/maybe-json.ts'
import { isFields } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import { StreamedReply } from '../model/stream-reply.ts'

export interface ReplyReaderOptions {
  /** Told what is said as it comes. */
  readonly onText: (text: string) => void
  /** What to raise for a stream that is no use; `reported` is the event in which it told of an error. */
  readonly failure: (reason: string, reported?: Readonly<Record<string, unknown>>) => Error
}

/** Reads a streamed chat completion as it comes. */
export class ReplyReader {
  readonly streamed = new StreamedReply()
  /** What the first choice has said so far. */
  text = ''
  /** True once the last event, `[DONE]`, has come. */
  isEnded = false
  readonly #splitter = new SseSplitter()
  readonly #options: ReplyReaderOptions

  constructor(options: ReplyReaderOptions) {
    this.#options = options
  }

  push(chunk: Uint8Array): void {
    for (const event of this.#splitter.push(chunk)) this.#take(event)
  }

  /** The stream has ended. @throws what `failure` makes of one that ended too soon */
  end(): void {
    for (const event of this.#splitter.end()) this.#take(event)
    if (!this.isEnded && !this.streamed.isFinished)
      throw this.#options.failure('it ended without a finish reason')
  }

  #take(event: Buffer): void {
    const data = eventData(event)
    if (data === undefined || this.isEnded) return
    if (data === '[DONE]') {
      this.isEnded = true
      return
    }
    const chunk = maybeJson(data)
    if (!isFields(chunk)) throw this.#options.failure('an event is not a JSON object')
    this.add(chunk)
  }

  /** Takes what one event says. @throws what `failure` makes of one that tells of an error */
  add(chunk: Readonly<Record<string, unknown>>): void {
    if (chunk['error'] !== undefined && chunk['error'] !== null)
      throw this.#options.failure('it reported an error', chunk)
    this.streamed.add(chunk)
    const text = textOf(chunk)
    if (text === '') return
    this.text += text
    this.#options.onText(text)
  }
}

/** What a chunk adds to the first choice. */
function textOf(chunk: Readonly<Record<string, unknown>>): string {
  const choices = Array.isArray(chunk['choices']) ? chunk['choices'].filter(isFields) : []
  const first = choices.find(({ index }) => index === undefined || index === 0)
  const delta = isFields(first?.['delta']) ? first['delta'] : {}
  return [delta['content'], delta['refusal']].filter(text => typeof text === 'string').join('')
}
