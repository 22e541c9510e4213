import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import { errorBody, SteleError } from '../errors.ts'
import type { TraceHeaders } from '../telemetry/watch.ts'
import type { AttemptFailure } from './attempt-failure.ts'
import type { Rendition } from './rendition.ts'
import { sendFailure } from './send-failure.ts'
import { streamHeaders } from './stream-events.ts'

/** Whoever waits for the reply to one request. It may leave at any time, and what it was sent cannot be taken back. */
export interface Client {
  /** Ends all work for this client. */
  readonly abort: AbortController
  readonly signal: AbortSignal
  readonly log: FastifyBaseLogger
  /** Of the call that it is told of. */
  readonly callId: string | undefined
  /** What it traces, and what is done for it is a part of. */
  readonly traceHeaders?: TraceHeaders | undefined
  /** True once it has been told that a stream begins: a status can no longer say that there is none. */
  readonly isStreaming: boolean
  /** What it is told of the reply beside its body, before that begins. */
  header(name: string, value: string): void
  /** Sends a reply in one piece. */
  sendWhole(body: string | Buffer | Uint8Array, headers: Readonly<Record<string, string>>): void
  /** Sends the head of a stream, once. */
  startStream(headers: Readonly<Record<string, string>>): void
  /** Writes to a stream, and waits while the client reads slower than the provider sends. */
  write(bytes: Buffer): Promise<void>
  endStream(bytes: string | Buffer): void
  /** Ends a stream so that what came of it cannot be taken for the whole reply. */
  failStream(error: SteleError, rendition?: Rendition): void
  /** Tells that there is no reply, and why. @throws SteleError the failure's own, to whom it can be told so */
  tell(failure: AttemptFailure, rendition?: Rendition): void
  /** Looks no longer whether it leaves. */
  release(): void
}

/** A client at the other end of a connection. */
export class HttpClient implements Client {
  readonly #reply: FastifyReply
  readonly abort = new AbortController()
  readonly #onClose: () => void
  #isStreaming = false

  constructor(reply: FastifyReply) {
    this.#reply = reply
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

  get log(): FastifyBaseLogger {
    return this.#reply.log
  }

  get callId(): string | undefined {
    const id = this.#reply.getHeader('x-stele-call-id')
    return typeof id === 'string' ? id : undefined
  }

  get traceHeaders(): TraceHeaders | undefined {
    const { traceparent } = this.#reply.request.headers
    return typeof traceparent === 'string' ? { traceparent } : undefined
  }

  get isStreaming(): boolean {
    return this.#isStreaming
  }

  header(name: string, value: string): void {
    this.#reply.header(name, value)
  }

  sendWhole(body: string | Buffer | Uint8Array, headers: Readonly<Record<string, string>>): void {
    this.#reply.headers(headers).type('application/json').send(body)
  }

  startStream(headers: Readonly<Record<string, string>>): void {
    if (this.#isStreaming) return
    this.#isStreaming = true
    const reply = this.#reply
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

  async write(bytes: Buffer): Promise<void> {
    const { raw } = this.#reply
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
    this.#reply.raw.end(bytes)
  }

  failStream(error: SteleError, rendition?: Rendition): void {
    rendition?.end(error)
    // Without a [DONE].
    this.endStream(rendition?.ending() ?? `data: ${JSON.stringify(errorBody(error))}\n\n`)
  }

  tell(failure: AttemptFailure, rendition?: Rendition): void {
    if (!this.#isStreaming) return void sendFailure(this.#reply, failure)
    rendition?.end(failure.error, failure.answer?.value)
    this.failStream(failure.error, rendition)
  }

  release(): void {
    this.#reply.raw.off('close', this.#onClose)
  }
}
