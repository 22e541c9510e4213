import { isUtf8 } from 'node:buffer'
import { reasonOf, SteleError } from '../errors.ts'
import type { ProviderAnswer } from '../gateway/attempt-failure.ts'
import type { GatewayRequest } from '../gateway/gateway-request.ts'
import { untilSilent } from '../gateway/relay-stream.ts'
import { errorOf } from '../gateway/relay-whole.ts'
import { sizeLimit } from '../gateway/size-limit.ts'
import type { Outcome } from '../model/call.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isFields, type Reply, readCompletion } from '../model/reply.ts'
import { wasNeverAsked } from '../providers/never-asked.ts'
import { isEventStream, type ProviderResponse } from '../providers/provider.ts'
import type { Target } from '../providers/registry.ts'
import { ReplyReader } from './reply-reader.ts'

export interface ProviderCall {
  readonly target: Target
  readonly request: Pick<GatewayRequest, 'send'>
  readonly userId: string
  readonly signal: AbortSignal
  /** Bytes of the provider's reply. */
  readonly replyLimit: number
  readonly onText: (text: string) => void
}

/** How asking a provider went, not settled yet. */
export interface ProviderEnd {
  readonly outcome: Outcome & { readonly status: Answered }
  readonly reply: Reply
  /** All that was said. */
  readonly text: string
  readonly error: SteleError | undefined
  /** What the provider said, when that was no reply. */
  readonly answer: ProviderAnswer | undefined
  readonly latencyMs: number
}

type Answered = 'completed' | 'aborted' | 'failed'

const noReply: Reply = { finishReasons: [], usage: {} }

/** Asks a provider and reads its reply to the end, or until nobody wants it any more. Raises nothing. */
export async function askProvider(call: ProviderCall): Promise<ProviderEnd> {
  return new Reading(call).run()
}

/** The same in the form in which it may be kept. Of a reply that cannot be put in it, only that it came to nothing. */
export async function inKeptForm(
  end: ProviderEnd,
  { forStorage }: Pick<GatewayRequest, 'forStorage'>,
): Promise<ProviderEnd> {
  if (forStorage === undefined) return end
  const { outcome } = end
  try {
    return { ...end, outcome: { ...(await forStorage(outcome)), status: outcome.status } }
  } catch (cause) {
    const error = asKnown(cause)
    const { body: _, ...facts } = outcome
    const reply = { ...noReply, usage: end.reply.usage }
    const failure = { errorCode: error.code, errorMessage: error.message }
    return { ...end, reply, error, outcome: { ...facts, ...failure, reply, status: 'failed' } }
  }
}

class Reading {
  readonly #call: ProviderCall
  readonly #provider: string
  readonly #chunks: Uint8Array[] = []
  readonly #reader: ReplyReader
  readonly #within: (chunk: Uint8Array) => Uint8Array
  readonly #startedAt = performance.now()
  #firstChunkAt: number | undefined
  #isAsked = false
  #response: ProviderResponse | undefined
  #answer: ProviderAnswer | undefined
  #whole: { readonly body: string | Uint8Array; readonly reply: Reply | undefined } | undefined

  constructor(call: ProviderCall) {
    this.#call = call
    this.#provider = call.target.provider.name
    this.#within = sizeLimit({ provider: this.#provider }, call.replyLimit)
    this.#reader = new ReplyReader({
      onText: call.onText,
      failure: (reason, reported) => this.#truncated(reason, reported),
    })
  }

  async run(): Promise<ProviderEnd> {
    const { target, request, userId, signal } = this.#call
    try {
      signal.throwIfAborted()
      this.#isAsked = true
      const response = await request.send(target, userId, signal)
      this.#response = response
      const isStream = response.status < 400 && isEventStream(response.contentType)
      if (isStream) await this.#readStream(response)
      else await this.#readWhole(response)
      return this.#end('completed', undefined)
    } catch (error) {
      if (wasNeverAsked(error)) this.#isAsked = false
      if (signal.aborted) return this.#end('aborted', new SteleError('client_closed_request'))
      return this.#end('failed', asKnown(error))
    }
  }

  async #readStream({ body }: ProviderResponse): Promise<void> {
    for await (const chunk of untilSilent(body, () => this.#reader.isEnded)) {
      // What is there already comes without a pause in which the wish to stop could be heard.
      if (!this.#reader.isEnded) this.#call.signal.throwIfAborted()
      this.#keep(chunk)
      this.#reader.push(chunk)
    }
    this.#reader.end()
  }

  async #readWhole(response: ProviderResponse): Promise<void> {
    await response.body.forEach(chunk => void this.#keep(chunk))
    const { status, headers } = response
    const bytes = Buffer.concat(this.#chunks)
    const body = isUtf8(bytes) ? bytes.toString('utf8') : bytes
    const value = typeof body === 'string' ? maybeJson(body) : undefined
    const reply = status < 300 ? readCompletion(value) : undefined
    this.#whole = { body, reply }
    if (reply !== undefined) {
      const { content, refusal } = reply.message ?? {}
      this.#reader.text = content ?? refusal ?? ''
      if (this.#reader.text !== '') this.#call.onText(this.#reader.text)
      return
    }
    this.#answer = { status, headers, body, value }
    throw inItsWords(errorOf(this.#provider, this.#answer, 'a chat completion'), value)
  }

  #keep(chunk: Uint8Array): void {
    this.#firstChunkAt ??= performance.now()
    this.#chunks.push(this.#within(chunk))
  }

  #end(status: Answered, error: SteleError | undefined): ProviderEnd {
    const { text } = this.#reader
    const read =
      this.#whole?.reply ?? (this.#response === undefined ? noReply : this.#reader.streamed.reply())
    // Of a reply that was stopped before it said anything, the conversation has nothing.
    const reply = status === 'aborted' && text === '' ? { ...read, message: undefined } : read
    const latencyMs = performance.now() - this.#startedAt
    const outcome = {
      status,
      httpStatus: this.#response?.status,
      isAsked: this.#isAsked,
      contentType: this.#response?.contentType,
      body: this.#whole?.body ?? (this.#chunks.length === 0 ? undefined : Buffer.concat(this.#chunks)),
      reply,
      latencyMs,
      timeToFirstChunkMs: this.#firstChunkAt === undefined ? undefined : this.#firstChunkAt - this.#startedAt,
      errorCode: error?.code,
      errorMessage: error === undefined ? undefined : new SteleError(error.code, error.details).message,
    }
    return { outcome, reply, text, error, answer: this.#answer, latencyMs }
  }

  #truncated(reason: string, reported?: Readonly<Record<string, unknown>>): SteleError {
    const { status = 200, headers = {} } = this.#response ?? {}
    if (reported !== undefined) this.#answer = { status, headers, value: reported }
    const error = new SteleError('provider_stream_truncated', { provider: this.#provider, reason })
    return inItsWords(error, reported)
  }
}

/** The error with what the provider said of it: for the person who asked, not for the record. */
function inItsWords(error: SteleError, value: unknown): SteleError {
  const said = isFields(value) && isFields(value['error']) ? value['error']['message'] : undefined
  if (typeof said === 'string' && said !== '') error.message += ` ${said}`
  return error
}

function asKnown(error: unknown): SteleError {
  if (error instanceof SteleError) return error
  return new SteleError('internal_error', { reason: reasonOf(error) }, { cause: error })
}
