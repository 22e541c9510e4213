import { isFields, type Reply } from '../reply.ts'
import { StreamedReply } from '../stream-reply.ts'
import { EventWriter } from './events.ts'
import { ResponseOutput } from './output.ts'
import { tellable } from './reply.ts'
import { endedResponse, type ResponseObject, type Shortfall, shortfallOf } from './response.ts'

type Fields = Readonly<Record<string, unknown>>

/** As OpenAI names them; other services have their own. */
const serviceTiers: ReadonlySet<string> = new Set(['auto', 'default', 'flex', 'scale', 'priority'])

/**
 * Turns a chat completion into a response, chunk by chunk; a whole completion is one chunk. The same chunks always give
 * the same events.
 */
export class ResponseFromChat {
  readonly #begun: ResponseObject
  readonly #events = new EventWriter()
  readonly #output: ResponseOutput
  readonly #streamed = new StreamedReply()
  #serviceTier: string | undefined

  constructor(begun: ResponseObject, options: { showsLogprobs: boolean }) {
    this.#begun = begun
    this.#output = new ResponseOutput(begun.id, this.#events, options)
  }

  /** Takes one `chat.completion.chunk` object; returns the events that tell of it. */
  add(chunk: Fields): string {
    this.#streamed.add(chunk)
    const { service_tier: tier } = chunk
    if (typeof tier === 'string' && serviceTiers.has(tier)) this.#serviceTier = tier
    let events = this.#events.isStarted ? '' : this.#events.start(this.#begun)
    for (const choice of Array.isArray(chunk['choices']) ? chunk['choices'].filter(isFields) : []) {
      const isFirst = (choice['index'] ?? 0) === 0
      if (isFirst && isFields(choice['delta']))
        events += this.#output.add(choice['delta'], choice['logprobs'])
    }
    return events
  }

  /** Takes a `chat.completion` object; returns all events but those of its end. */
  addWhole(completion: Fields): string {
    const choices = Array.isArray(completion['choices']) ? completion['choices'].filter(isFields) : []
    const first = choices.find(choice => (choice['index'] ?? 0) === 0)
    const message = isFields(first?.['message']) ? first['message'] : {}
    return this.add({
      ...completion,
      choices: [{ ...first, index: 0, delta: message, finish_reason: first?.['finish_reason'] ?? 'stop' }],
    })
  }

  /** True once the reply has said why it ended. */
  get isFinished(): boolean {
    return this.#streamed.isFinished
  }

  /** What came so far, as chat completions have it. */
  reply(): Reply {
    const reply = this.#streamed.reply()
    return reply.message === undefined ? reply : { ...reply, message: tellable(reply.message) }
  }

  /** The response as it ended, by itself or before its time. @param endedAt milliseconds since 1970 */
  response(endedAt: number, early?: Shortfall): ResponseObject {
    const { usage, responseModel } = this.reply()
    const shortfall = early ?? this.#shortfall
    return endedResponse(this.#begun, {
      output: this.#output.items(shortfall === undefined ? 'completed' : 'incomplete'),
      usage,
      responseModel,
      serviceTier: this.#serviceTier,
      shortfall,
      endedAt,
    })
  }

  /** The last events of a response that ended so: its items end with it, unless it broke off. */
  ending(response: ResponseObject): string {
    const { status } = response
    const started = this.#events.isStarted ? '' : this.#events.start(this.#begun)
    const closed = status === 'completed' || status === 'incomplete' ? this.#output.close(status) : ''
    return started + closed + this.#events.end(response)
  }

  get #shortfall(): Shortfall | undefined {
    return shortfallOf(this.#streamed.reply().finishReasons[0])
  }
}
