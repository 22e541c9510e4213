import { isFields, type Reply } from '../reply.ts'
import { toolsUsed } from '../tool-use.ts'
import { EventWriter } from './events.ts'
import type { Item } from './input-items.ts'
import { messageOf, readResponse } from './reply.ts'
import { endedResponse, type ResponseObject, type Shortfall } from './response.ts'

type Fields = Readonly<Record<string, unknown>>

/** What of a response is Stele's to say, whoever made it. */
const own = ['id', 'previous_response_id', 'conversation', 'store', 'background', 'metadata'] as const

/** A response that a provider makes itself, under the id that Stele gives it. */
export class ResponseFromUpstream {
  readonly #begun: ResponseObject
  readonly #items: Item[] = []
  /** What was begun and has not ended, by its place in the output: a search costs something although nobody waits for it. */
  readonly #open = new Map<unknown, Fields>()
  #last: ResponseObject | undefined
  #lastType = 'response.completed'
  #sequence = -1
  #providerResponseId: string | undefined

  constructor(begun: ResponseObject) {
    this.#begun = begun
  }

  /** Takes one event; returns it as the client gets it. Nothing of the last: that must wait for its record. */
  add(event: Fields): string {
    const { type, response, item } = event
    const { sequence_number: given } = event
    // Not every service numbers its events, and clients go by the numbers.
    this.#sequence = typeof given === 'number' ? given : this.#sequence + 1
    if (isFields(response) && typeof response['id'] === 'string') this.#providerResponseId ??= response['id']
    if (type === 'response.output_item.added' && isFields(item)) this.#open.set(event['output_index'], item)
    if (type === 'response.output_item.done' && isFields(item)) {
      this.#items.push(item as Item)
      this.#open.delete(event['output_index'])
    }
    if (type === 'response.completed' || type === 'response.incomplete') {
      this.#lastType = type
      this.addWhole(response)
      return ''
    }
    const numbered = { ...event, sequence_number: this.#sequence }
    return written(isFields(response) ? { ...numbered, response: this.#owned(response) } : numbered)
  }

  /** Takes a whole `response` object; undefined when it is none. */
  addWhole(value: unknown): Reply | undefined {
    const reply = readResponse(value)
    if (reply === undefined) return undefined
    this.#providerResponseId ??= reply.providerResponseId
    this.#last = this.#owned(value as Fields)
    return this.reply()
  }

  get isEnded(): boolean {
    return this.#last !== undefined
  }

  reply(): Reply {
    const { model, status } = this.#last ?? this.#begun
    const read = this.#last && readResponse(this.#last)
    if (read !== undefined) return { ...read, providerResponseId: this.#providerResponseId }
    return {
      responseModel: status === 'in_progress' ? undefined : model,
      providerResponseId: this.#providerResponseId,
      finishReasons: [],
      usage: toolsUsed([...this.#items, ...this.#open.values()], this.#begun.tools),
      message: this.#items.length === 0 ? undefined : messageOf(this.#items),
    }
  }

  /** The response as it ended, by itself or before its time. @param endedAt milliseconds since 1970 */
  response(endedAt: number, early?: Shortfall): ResponseObject {
    if (this.#last !== undefined && early === undefined) return this.#last
    return endedResponse(this.#begun, { output: this.#items, usage: {}, shortfall: early, endedAt })
  }

  /** The last event of a response that ended so. */
  ending(response: ResponseObject): string {
    if (this.#sequence === -1) {
      // It came whole, or nothing came.
      const events = new EventWriter()
      return events.start(this.#begun) + events.end(response)
    }
    const isOwn = this.#last !== undefined && response.status === this.#last.status
    const type = isOwn
      ? this.#lastType
      : response.status === 'failed'
        ? 'response.failed'
        : 'response.incomplete'
    return written({ type, sequence_number: isOwn ? this.#sequence : this.#sequence + 1, response })
  }

  #owned(response: Fields): ResponseObject {
    const said = Object.fromEntries(own.map(name => [name, this.#begun[name]]))
    return { ...response, ...said } as unknown as ResponseObject
  }
}

function written(event: Fields): string {
  return `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`
}
