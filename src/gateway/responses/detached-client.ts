import { EventEmitter, once } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { SteleError } from '../../errors.ts'
import type { AttemptFailure } from '../attempt-failure.ts'
import type { Client } from '../client.ts'
import type { Rendition } from '../rendition.ts'

/**
 * Stands for the client of a response that is made in the background: it never leaves, and keeps what it is sent for
 * whoever comes to look. Its response is on record; what it holds is gone with the process.
 */
export class DetachedClient implements Client {
  readonly abort = new AbortController()
  readonly log: FastifyBaseLogger
  callId: string | undefined
  isStreaming = false
  readonly #told: Buffer[] = []
  readonly #news = new EventEmitter().setMaxListeners(0)
  #isOver = false

  constructor(log: FastifyBaseLogger) {
    this.log = log
  }

  get signal(): AbortSignal {
    return this.abort.signal
  }

  header(name: string, value: string): void {
    if (name === 'x-stele-call-id') this.callId = value
  }

  sendWhole(): void {
    this.release()
  }

  startStream(): void {
    this.isStreaming = true
  }

  async write(bytes: Buffer): Promise<void> {
    this.#told.push(bytes)
    this.#news.emit('more')
  }

  endStream(bytes: string | Buffer): void {
    this.#told.push(Buffer.from(bytes))
    this.release()
  }

  failStream(error: SteleError, rendition?: Rendition): void {
    rendition?.end(error)
    this.endStream(rendition?.ending() ?? '')
  }

  /** On record it is already. */
  tell({ error, answer }: AttemptFailure, rendition?: Rendition): void {
    rendition?.end(error, answer?.value)
    this.failStream(error, rendition)
  }

  /** No more will come. */
  release(): void {
    this.#isOver = true
    this.#news.emit('more')
  }

  /** All that it was sent and will be, as it comes, until the end or until `signal` says so. */
  async *sent(signal: AbortSignal): AsyncGenerator<Buffer> {
    for (let at = 0; !signal.aborted; ) {
      const bytes = this.#told[at++]
      if (bytes !== undefined) {
        yield bytes
        continue
      }
      at--
      if (this.#isOver) return
      await once(this.#news, 'more', { signal }).catch(() => undefined)
    }
  }
}
