import type { FastifyBaseLogger } from 'fastify'
import type { PlacedCall } from '../../model/call.ts'
import { eventData, SseSplitter } from '../../model/sse.ts'
import type { TraceHeaders } from '../../telemetry/watch.ts'
import type { Client } from '../client.ts'

/** Which of the replies it is. */
export interface ReplyLabel {
  readonly index: number
  readonly call_id: string
  /** As it was asked for. */
  readonly model: string
}

export function labelOf({ callId }: PlacedCall, index: number, model: string): ReplyLabel {
  return { index, call_id: callId, model }
}

/**
 * The client of a comparison, as one of its calls sees it: what it is sent is labelled, and the end of one reply is not the
 * end of what it gets. All of them leave when it does.
 */
export class ComparedClient implements Client {
  readonly abort: AbortController
  readonly signal: AbortSignal
  readonly log: FastifyBaseLogger
  readonly callId: string
  /** A reply that came whole, to a client that asked for no stream. */
  whole: Buffer | undefined
  readonly #client: Client
  readonly #label: string
  readonly #splitter = new SseSplitter()

  constructor(client: Client, label: ReplyLabel) {
    const { abort, signal, log } = client
    this.abort = abort
    this.signal = signal
    this.log = log
    this.callId = label.call_id
    this.#client = client
    this.#label = JSON.stringify({ object: 'comparison.chunk', ...label }).slice(0, -1)
  }

  get traceHeaders(): TraceHeaders | undefined {
    return this.#client.traceHeaders
  }

  get isStreaming(): boolean {
    return this.#client.isStreaming
  }

  /** Headers are of the whole comparison. */
  header(): void {}

  sendWhole(body: string | Buffer | Uint8Array): void {
    this.whole = Buffer.from(body)
  }

  startStream(): void {}

  async write(bytes: Buffer): Promise<void> {
    const labelled = this.#splitter.push(bytes).map(event => this.#labelled(event))
    const told = labelled.join('')
    if (told !== '') await this.#client.write(Buffer.from(told))
  }

  /** What comes last, but for the end itself: that is told of all when all are on record. */
  endStream(bytes: string | Buffer): void {
    void this.write(Buffer.from(bytes))
  }

  /** What failed is told with the ends of the others. */
  failStream(): void {}

  tell(): void {}

  release(): void {}

  /** The same event, its data within the label to the letter; '' for what says nothing of the reply. */
  #labelled(event: Buffer): string {
    const data = eventData(event)
    if (data === undefined || data === '[DONE]') return ''
    // A line end in JSON is only ever a space.
    return `data: ${this.#label},"chunk":${data.replaceAll('\n', ' ')}}\n\n`
  }
}
