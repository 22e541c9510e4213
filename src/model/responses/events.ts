import type { ResponseObject } from './response.ts'

/** Numbers the events of one response and writes them as server-sent events. */
export class EventWriter {
  #next = 0

  /** One event. */
  write(type: string, fields: Readonly<Record<string, unknown>>): string {
    const data = JSON.stringify({ type, sequence_number: this.#next++, ...fields })
    return `event: ${type}\ndata: ${data}\n\n`
  }

  /** True once an event has been written. */
  get isStarted(): boolean {
    return this.#next > 0
  }

  start(response: ResponseObject): string {
    return this.write('response.created', { response }) + this.write('response.in_progress', { response })
  }

  /** The last event: what came of the response. OpenAI knows no event of one that was cancelled. */
  end(response: ResponseObject): string {
    const { status } = response
    const type = status === 'completed' || status === 'failed' ? `response.${status}` : 'response.incomplete'
    return this.write(type, { response })
  }
}
