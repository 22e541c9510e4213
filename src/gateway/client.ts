import type { FastifyReply } from 'fastify'
import { errorBody, SteleError } from '../errors.ts'
import { streamHeaders } from './stream-events.ts'

/** Whoever waits for the reply to one request. It may leave at any time, and what it was sent cannot be taken back. */
export class Client {
  readonly reply: FastifyReply
  /** Ends all work for this client. */
  readonly abort = new AbortController()
  readonly #onClose: () => void
  #isStreaming = false

  constructor(reply: FastifyReply) {
    this.reply = reply
    this.#onClose = () => {
      if (reply.raw.writableFinished) return
      const { errored } = reply.raw
      this.abort.abort(errored instanceof SteleError ? errored : new SteleError('client_closed_request'))
    }
    // It may have left before anybody looked.
    if (reply.raw.destroyed) this.#onClose()
    reply.raw.on('close', this.#onClose)
  }

  get signal(): AbortSignal {
    return this.abort.signal
  }

  /** True once it has been told that a stream begins: a status can no longer say that there is none. */
  get isStreaming(): boolean {
    return this.#isStreaming
  }

  /** Sends the head of a stream, once. */
  startStream(headers: Readonly<Record<string, string>>): void {
    if (this.#isStreaming) return
    this.#isStreaming = true
    const { reply } = this
    reply.hijack()
    const all = {
      ...reply.getHeaders(),
      ...headers,
      ...streamHeaders,
    }
    reply.raw.writeHead(200, all as Record<string, string>)
    // With the first event when that follows at once, else without waiting for it.
    setImmediate(() => reply.raw.flushHeaders())
  }

  /** Writes to a stream, and waits while the client reads slower than the provider sends. */
  async write(bytes: Buffer): Promise<void> {
    const { raw } = this.reply
    const { signal } = this
    if (raw.write(bytes) || raw.destroyed || signal.aborted) return
    await new Promise<void>(resolve => {
      const go = (): void => {
        raw.off('drain', go)
        raw.off('close', go)
        signal.removeEventListener('abort', go)
        resolve()
      }
      raw.on('drain', go)
      raw.on('close', go)
      signal.addEventListener('abort', go)
    })
  }

  endStream(bytes: string | Buffer): void {
    this.reply.raw.end(bytes)
  }

  /** Ends a stream without a [DONE]: what came of it must not be taken for the whole reply. */
  failStream(error: SteleError): void {
    this.endStream(`data: ${JSON.stringify(errorBody(error))}\n\n`)
  }

  /** Looks no longer whether it leaves. */
  release(): void {
    this.reply.raw.off('close', this.#onClose)
  }
}
