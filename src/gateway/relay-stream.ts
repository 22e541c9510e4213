import { SteleError } from '../errors.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isFields } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import { StreamedReply } from '../model/stream-reply.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import type { AttemptFailure } from './attempt-failure.ts'
import type { Client } from './client.ts'
import type { LiveCall } from './live-call.ts'
import type { Rendition } from './rendition.ts'
import { sizeLimit } from './size-limit.ts'
import { done, isUsageOnly, withBlankLine } from './stream-events.ts'

/** How long a provider may take to end a stream after its last event, in milliseconds; its connection is then kept. */
const lingerFor = 1_000

/**
 * How long the head of a reply is held while no event has come, in milliseconds. Until it is sent a failure can be told
 * by its status. Events are never held.
 */
const headHeldFor = 500

export interface StreamOptions {
  /** The client did not ask for the event that tells the usage. */
  readonly hidesUsage: boolean
  /** Bytes of the provider's reply. */
  readonly replyLimit: number
  /** Called when the first part of a reply has been passed on: from then on the client has this one or none. */
  readonly onAnswering: () => void
}

/**
 * Relays a streamed reply event by event, byte for byte. The last event, `[DONE]`, is held until the call is settled:
 * to an OpenAI client a stream without it is not complete. A stream that fails before any of its data was passed on
 * (comments are no data) leaves the client waiting for another attempt.
 */
export async function relayStream(
  call: LiveCall,
  response: ProviderResponse,
  client: Client,
  options: StreamOptions,
): Promise<AttemptFailure | undefined> {
  const relay = new StreamRelay(call, response, client, options)
  const received = () => ({
    httpStatus: response.status,
    contentType: response.contentType,
    body: Buffer.concat(relay.transcript),
    reply: relay.streamed.reply(),
  })
  const headTimer = setTimeout(() => client.startStream(response.headers), headHeldFor)
  try {
    const ending = await relay.run()
    await call.complete(received())
    client.startStream(response.headers)
    client.endStream(call.rendition?.ending() ?? ending)
    return undefined
  } catch (error) {
    if (relay.isWhole) throw error
    // However long it takes to record the failure: a head sent now would name an attempt that is over, and say 200.
    clearTimeout(headTimer)
    const { isAnswering: isTold, reported } = relay
    const { status, headers } = response
    const answer = reported === undefined ? undefined : { status, headers, value: reported }
    const failure = await call.fail(error, received(), { isTold, answer })
    if (isTold) client.failStream(failure.error, call.rendition)
    return failure
  } finally {
    clearTimeout(headTimer)
  }
}

class StreamRelay {
  /** Every byte that came. */
  readonly transcript: Uint8Array[] = []
  /** What they amount to. */
  readonly streamed: Pick<Rendition, 'isFinished' | 'reply'>
  /** True once the client has been sent a part of the reply. */
  isAnswering = false
  /** True once the reply is there to its end. */
  isWhole = false
  /** The event in which the provider reported an error. */
  reported: unknown
  readonly #call: LiveCall
  readonly #response: ProviderResponse
  readonly #client: Client
  readonly #options: StreamOptions
  readonly #put: (event: Buffer, chunk: Readonly<Record<string, unknown>>) => Buffer | undefined
  #ending: Buffer | undefined

  constructor(call: LiveCall, response: ProviderResponse, client: Client, options: StreamOptions) {
    this.#call = call
    this.#response = response
    this.#client = client
    this.#options = options
    const { rendition } = call
    if (rendition === undefined) {
      const streamed = new StreamedReply()
      this.streamed = streamed
      this.#put = (event, chunk) => {
        streamed.add(chunk)
        return options.hidesUsage && isUsageOnly(chunk) ? undefined : event
      }
    } else {
      this.streamed = rendition
      this.#put = (event, chunk) => {
        const put = rendition.add(chunk)
        if (rendition.isEnded) this.#ending = event
        return put === '' ? undefined : Buffer.from(put)
      }
    }
  }

  /** Passes events on until the stream ends; returns the last event, not passed on. */
  async run(): Promise<Buffer> {
    const splitter = new SseSplitter()
    const within = sizeLimit(this.#call, this.#options.replyLimit)
    const { body } = this.#response
    try {
      for await (const chunk of untilSilent(body, () => this.#ending !== undefined)) {
        this.#call.firstChunkArrived()
        this.transcript.push(within(chunk))
        await this.#pass(splitter.push(chunk))
      }
      // What is left without data is a piece of an event, which only a stream that is whole may end with.
      const rest = splitter.end().filter(event => this.streamed.isFinished || eventData(event) !== undefined)
      await this.#pass(rest.map(withBlankLine))
    } catch (error) {
      // Whatever happens to the connection after the last event, the reply was whole.
      if (this.#ending === undefined) throw error
    }
    // A reply that came whole is whole, whoever has left meanwhile.
    if (this.#ending === undefined) {
      this.#call.signal.throwIfAborted()
      if (!this.streamed.isFinished) throw this.#truncated('it ended without a finish reason')
    }
    this.isWhole = true
    return this.#ending ?? done
  }

  async #pass(events: readonly Buffer[]): Promise<void> {
    const passed: Buffer[] = []
    let hasData = false
    try {
      for (const event of events) {
        if (this.#ending !== undefined) return
        const data = eventData(event)
        if (data === '[DONE]') this.#ending = event
        else if (data === undefined) passed.push(event)
        else {
          const put = this.#take(event, data)
          if (put === undefined) continue
          hasData = true
          passed.push(put)
        }
      }
    } finally {
      // What came before an event that is broken was good.
      if (passed.length > 0) await this.#send(passed, hasData)
    }
  }

  async #send(events: readonly Buffer[], hasData: boolean): Promise<void> {
    this.#client.startStream(this.#response.headers)
    if (hasData && !this.isAnswering) {
      this.isAnswering = true
      this.#options.onAnswering()
    }
    const [first] = events
    await this.#client.write(events.length === 1 && first !== undefined ? first : Buffer.concat(events))
  }

  /** Notes what a chunk says. Returns what the client gets for it; undefined when it must not see it. */
  #take(event: Buffer, data: string): Buffer | undefined {
    const chunk = maybeJson(data)
    if (chunk === undefined) throw this.#truncated('an event is not JSON')
    if (!isFields(chunk)) throw this.#truncated('an event is not an object')
    const { rendition } = this.#call
    if (rendition === undefined ? chunk['error'] != null : rendition.isError(chunk)) {
      this.reported = chunk
      throw this.#truncated('it reported an error')
    }
    return this.#put(event, chunk)
  }

  #truncated(reason: string): SteleError {
    this.#call.signal.throwIfAborted()
    return new SteleError('provider_stream_truncated', { provider: this.#call.provider, reason })
  }
}

/** The chunks of a body; once its last event is there, only those that follow at once. */
export async function* untilSilent(
  body: AsyncIterable<Uint8Array>,
  isDone: () => boolean,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  let timer: NodeJS.Timeout | undefined
  const silence = Promise.withResolvers<undefined>()
  try {
    for (;;) {
      if (isDone()) timer ??= setTimeout(() => silence.resolve(undefined), lingerFor)
      const next = await (timer === undefined
        ? chunks.next()
        : Promise.race([chunks.next(), silence.promise]))
      if (next === undefined || next.done === true) return
      yield next.value
    }
  } finally {
    clearTimeout(timer)
    // Not awaited: it waits for a chunk that may never come.
    chunks.return?.().catch(() => undefined)
  }
}
