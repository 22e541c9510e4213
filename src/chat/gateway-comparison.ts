import { setTimeout as pause } from 'node:timers/promises'
import { SteleError } from '../errors.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { assistantMessageText, isFields } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import type { Answer, Question, Thread } from './backend.ts'
import {
  asksUsage,
  asText,
  codeOf,
  type GatewayReply,
  type PostOptions,
  placedIn,
  readingTimeout,
  threadHeader,
} from './gateway-replies.ts'
import { comparisonBody, messageFrom } from './message.ts'
import { ReplyReader } from './reply-reader.ts'

type Fields = Readonly<Record<string, unknown>>

/** How a gateway is reached, and what its refusals come to. */
export interface Connection {
  readonly place: string
  post(path: string, body: string, options?: PostOptions): Promise<GatewayReply>
  refusal(status: number, value: unknown): SteleError
  unreachable(error: unknown): SteleError
}

export interface ComparisonAsk {
  readonly question: Question
  readonly models: readonly string[]
  /** Told what each model says as it comes. */
  readonly onText: (index: number, text: string) => void
}

/** Replies that were stopped are settled soon after. Pauses between two looks whether they are, in milliseconds. */
const settlingPauses = [20, 50, 100, 200, 400, 800, 1600, 3200]

/** A comparison over a gateway, which begins and settles its calls as one group. */
export class GatewayComparison {
  readonly #connection: Connection
  readonly #ask: ComparisonAsk
  readonly #readers: readonly ReplyReader[]
  readonly #startedAt = performance.now()
  #answers: readonly Answer[] = []
  /** As the gateway tells it: at first what it has begun, at last how all of that has ended. */
  #told: Fields | undefined
  #isSettled = false

  constructor(connection: Connection, ask: ComparisonAsk) {
    this.#connection = connection
    this.#ask = ask
    this.#readers = ask.models.map(
      (_, index) =>
        new ReplyReader({
          onText: text => ask.onText(index, text),
          failure: (_reason, reported) => connection.refusal(200, reported),
        }),
    )
  }

  /** What has come of it. @throws SteleError when nothing has been begun */
  async run(): Promise<readonly Answer[]> {
    const { signal } = this.#ask.question
    let error: SteleError | undefined
    try {
      await this.#read()
      if (!this.#isSettled) throw this.#connection.unreachable(new Error('the comparison has no end'))
    } catch (cause) {
      error = cause instanceof SteleError ? cause : this.#connection.unreachable(cause)
      if (signal.aborted) error = new SteleError('client_closed_request')
      if (this.#told === undefined && !signal.aborted) throw error
    }
    this.#answers = this.#ask.models.map((model, index) => this.#answer(index, model, error))
    return this.#answers
  }

  /** Takes one of the replies, or none. @throws SteleError when that is refused */
  async choose(index: number | undefined): Promise<Thread> {
    const { thread } = this.#ask.question
    const id = asText(this.#told?.['id'])
    if (id === undefined) return thread
    // What was not heard to its end has nothing in the conversation.
    if (index === undefined && !this.#isSettled) return placedIn(thread, this.#conversationId)
    const { callId, message } = this.#answers[index ?? -1] ?? {}
    const choice = `{"call_id":${JSON.stringify(callId ?? null)}${message ? `,"message":${message.raw}` : ''}}`
    for (const wait of [...settlingPauses, undefined]) {
      const { statusCode, body } = await this.#connection
        .post(`/v1/comparisons/${id}/choice`, choice, { timeout: readingTimeout })
        .catch(error => Promise.reject(this.#connection.unreachable(error)))
      const value = maybeJson(await body.text())
      if (statusCode === 200 && isFields(value)) return placedIn(thread, asText(value['conversation_id']))
      if (wait === undefined || codeOf(value) !== 'comparison_under_way')
        throw this.#connection.refusal(statusCode, value)
      await pause(wait)
    }
    return thread
  }

  get #conversationId(): string | undefined {
    return asText(this.#told?.['conversation_id'])
  }

  async #read(): Promise<void> {
    const { question, models } = this.#ask
    const { statusCode, body } = await this.#connection.post(
      '/v1/comparisons',
      comparisonBody(models, question.messages, asksUsage),
      { headers: threadHeader(question.thread), signal: question.signal },
    )
    if (statusCode !== 200) {
      const value = maybeJson(await body.text())
      if (statusCode === 404 && codeOf(value) === 'route_not_found')
        throw new SteleError('usage', {
          reason: `The gateway at ${this.#connection.place} compares nothing.`,
        })
      throw this.#connection.refusal(statusCode, value)
    }
    const splitter = new SseSplitter()
    for await (const chunk of body) for (const event of splitter.push(chunk)) this.#take(event)
  }

  #take(event: Buffer): void {
    const data = eventData(event)
    if (data === '[DONE]') this.#isSettled = true
    const value = maybeJson(data ?? '')
    if (!isFields(value)) return
    if (value['object'] === 'comparison') this.#told = value
    else if (isFields(value['chunk'])) this.#add(Number(value['index']), value['chunk'])
    else if (isFields(value['error'])) throw this.#connection.refusal(200, value)
  }

  #add(index: number, chunk: Fields): void {
    this.#readers[index]?.add(chunk)
  }

  #answer(index: number, model: string, broken: SteleError | undefined): Answer {
    const reader = this.#readers[index]
    const replies = this.#told?.['replies']
    const told: unknown = Array.isArray(replies) ? replies[index] : undefined
    const { call_id: callId, status: toldStatus, error: said } = isFields(told) ? told : {}
    const isStopped = this.#ask.question.signal.aborted
    const ended = this.#isSettled ? toldStatus : isStopped ? 'aborted' : 'failed'
    const status = ended === 'completed' || ended === 'aborted' ? ended : 'failed'
    const { message, responseModel, usage = {} } = reader?.streamed.reply() ?? {}
    const text = reader?.text ?? ''
    const isKept = status === 'completed' || (status === 'aborted' && text !== '')
    return {
      status,
      model: responseModel ?? model,
      message: isKept && message ? messageFrom(assistantMessageText(message)) : undefined,
      text,
      error: broken ?? (isFields(said) ? this.#connection.refusal(200, { error: said }) : undefined),
      usage,
      latencyMs: performance.now() - this.#startedAt,
      callId: asText(callId),
      thread: placedIn(this.#ask.question.thread, this.#conversationId),
    }
  }
}
