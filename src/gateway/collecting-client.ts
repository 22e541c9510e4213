import type { FastifyBaseLogger } from 'fastify'
import type { SteleError } from '../errors.ts'
import type { AttemptFailure } from './attempt-failure.ts'
import type { Client } from './client.ts'

/** Whoever waits for what is made of a reply, and does not get the reply itself. */
export interface Waiting {
  /** Ends all work for it. */
  readonly abort: AbortController
  readonly log: FastifyBaseLogger
  /** What it is told beside. */
  header(name: string, value: string): void
}

/**
 * Stands for a client while calls are made for something else than their replies: takes what it would be sent, and
 * keeps a whole reply, or why there was none. What was said is on record.
 */
export class CollectingClient implements Client {
  readonly #waiting: Waiting
  callId: string | undefined
  isStreaming = false
  /** A reply that came in one piece. */
  reply: string | Buffer | Uint8Array | undefined
  /** Why there is no reply, when a provider was asked. */
  failure: AttemptFailure | undefined
  /** Why a stream ended before its time. */
  broken: SteleError | undefined

  constructor(waiting: Waiting) {
    this.#waiting = waiting
  }

  get abort(): AbortController {
    return this.#waiting.abort
  }

  get signal(): AbortSignal {
    return this.#waiting.abort.signal
  }

  get log(): FastifyBaseLogger {
    return this.#waiting.log
  }

  header(name: string, value: string): void {
    if (name === 'x-stele-call-id') this.callId = value
    this.#waiting.header(name, value)
  }

  sendWhole(body: string | Buffer | Uint8Array): void {
    this.reply = body
  }

  startStream(): void {
    this.isStreaming = true
  }

  async write(): Promise<void> {}

  endStream(_bytes: string | Buffer): void {}

  failStream(error: SteleError): void {
    this.broken = error
  }

  tell(failure: AttemptFailure): void {
    this.failure = failure
  }

  release(): void {}
}
