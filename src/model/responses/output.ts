import { CallPlaces } from '../call-places.ts'
import { isFields, saidText } from '../reply.ts'
import type { EventWriter } from './events.ts'
import type { Item } from './input-items.ts'
import { itemId } from './item-ids.ts'

type Fields = Readonly<Record<string, unknown>>
type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

interface OpenItem {
  /** The events that tell its end. */
  close(status: ItemStatus): string
  item(status: ItemStatus): Item
}

/**
 * The output of a response as it comes, from the deltas of one choice of a chat completion. Every method returns the events
 * that tell of it. Items stay open until the end: some services deal out pieces of several at a time.
 */
export class ResponseOutput {
  readonly #responseId: string
  readonly #events: EventWriter
  readonly #showsLogprobs: boolean
  readonly #items: OpenItem[] = []
  readonly #calls = new Map<number, OpenCall>()
  readonly #callPlaces = new CallPlaces()
  #reasoning: OpenReasoning | undefined
  #message: OpenMessage | undefined

  constructor(responseId: string, events: EventWriter, { showsLogprobs }: { showsLogprobs: boolean }) {
    this.#responseId = responseId
    this.#events = events
    this.#showsLogprobs = showsLogprobs
  }

  /** Takes the delta of a choice, and the probabilities that came with it. */
  add(delta: Fields, logprobs: unknown): string {
    let events = ''
    const { refusal, tool_calls: calls } = delta
    const content = saidText(delta['content'])
    const thought = thoughtOf(delta)
    if (thought !== undefined) events += this.#think().add(thought)
    if (content !== undefined && content !== '')
      events += this.#open().add('output_text', content, this.#showsLogprobs ? logprobsOf(logprobs) : [])
    if (typeof refusal === 'string' && refusal !== '') events += this.#open().add('refusal', refusal, [])
    if (!Array.isArray(calls)) return events
    for (const part of calls.filter(isFields)) {
      const at = this.#callPlaces.of(part)
      let call = this.#calls.get(at)
      if (call === undefined) {
        call = new OpenCall(this.#place(), this.#events)
        this.#calls.set(at, call)
        this.#items.push(call)
      }
      events += call.add(part)
    }
    return events
  }

  /** Ends every item. */
  close(status: ItemStatus): string {
    return this.#items.map(item => item.close(status)).join('')
  }

  items(status: ItemStatus): Item[] {
    return this.#items.map(item => item.item(status))
  }

  #open(): OpenMessage {
    if (this.#message === undefined) {
      this.#message = new OpenMessage(this.#place(), this.#events)
      this.#items.push(this.#message)
    }
    return this.#message
  }

  #think(): OpenReasoning {
    if (this.#reasoning === undefined) {
      this.#reasoning = new OpenReasoning(this.#place(), this.#events)
      this.#items.push(this.#reasoning)
    }
    return this.#reasoning
  }

  #place(): Place {
    const index = this.#items.length
    return { output_index: index, id: itemId(this.#responseId, 'output', index) }
  }
}

interface Place {
  readonly output_index: number
  readonly id: (prefix: string) => string
}

interface Part {
  readonly type: 'output_text' | 'refusal'
  readonly pieces: string[]
  readonly logprobs: unknown[]
}

class OpenMessage implements OpenItem {
  readonly #place: { readonly item_id: string; readonly output_index: number }
  readonly #events: EventWriter
  readonly #parts: Part[] = []

  constructor({ output_index, id }: Place, events: EventWriter) {
    this.#place = { item_id: id('msg'), output_index }
    this.#events = events
  }

  add(type: Part['type'], delta: string, logprobs: readonly unknown[]): string {
    const { output_index } = this.#place
    let events = ''
    if (this.#parts.length === 0)
      events += this.#events.write('response.output_item.added', {
        output_index,
        item: this.item('in_progress'),
      })
    let content_index = this.#parts.findIndex(part => part.type === type)
    if (content_index === -1) {
      content_index = this.#parts.push({ type, pieces: [], logprobs: [] }) - 1
      events += this.#events.write('response.content_part.added', {
        ...this.#place,
        content_index,
        part: written({ type, pieces: [], logprobs: [] }),
      })
    }
    const part = this.#parts[content_index]
    part?.pieces.push(delta)
    part?.logprobs.push(...logprobs)
    const isText = type === 'output_text'
    return (
      events +
      this.#events.write(`response.${type}.delta`, {
        ...this.#place,
        content_index,
        delta,
        ...(isText ? { logprobs } : {}),
      })
    )
  }

  close(status: ItemStatus): string {
    const { output_index } = this.#place
    const parts = this.#parts.map((part, content_index) => {
      const whole = part.pieces.join('')
      const said = part.type === 'refusal' ? { refusal: whole } : { text: whole, logprobs: part.logprobs }
      return (
        this.#events.write(`response.${part.type}.done`, { ...this.#place, content_index, ...said }) +
        this.#events.write('response.content_part.done', {
          ...this.#place,
          content_index,
          part: written(part),
        })
      )
    })
    return (
      parts.join('') +
      this.#events.write('response.output_item.done', { output_index, item: this.item(status) })
    )
  }

  item(status: ItemStatus): Item {
    const { item_id: id } = this.#place
    return { id, type: 'message', status, role: 'assistant', content: this.#parts.map(written) }
  }
}

/** What a model thought, as services tell it that show it; chat completions have no standard for it. */
class OpenReasoning implements OpenItem {
  readonly #place: { readonly item_id: string; readonly output_index: number }
  readonly #events: EventWriter
  readonly #pieces: string[] = []

  constructor({ output_index, id }: Place, events: EventWriter) {
    this.#place = { item_id: id('rs'), output_index }
    this.#events = events
  }

  add(delta: string): string {
    const { output_index } = this.#place
    const at = { ...this.#place, content_index: 0 }
    const isFirst = this.#pieces.length === 0
    const begun = isFirst
      ? this.#events.write('response.output_item.added', { output_index, item: this.item('in_progress') }) +
        this.#events.write('response.content_part.added', { ...at, part: reasoningText('') })
      : ''
    this.#pieces.push(delta)
    return begun + this.#events.write('response.reasoning_text.delta', { ...at, delta })
  }

  close(status: ItemStatus): string {
    const { output_index } = this.#place
    const at = { ...this.#place, content_index: 0 }
    const text = this.#pieces.join('')
    return (
      this.#events.write('response.reasoning_text.done', { ...at, text }) +
      this.#events.write('response.content_part.done', { ...at, part: reasoningText(text) }) +
      this.#events.write('response.output_item.done', { output_index, item: this.item(status) })
    )
  }

  item(status: ItemStatus): Item {
    const text = this.#pieces.join('')
    const content = text === '' ? [] : [reasoningText(text)]
    return { id: this.#place.item_id, type: 'reasoning', status, summary: [], content }
  }
}

class OpenCall implements OpenItem {
  readonly #place: Place
  readonly #events: EventWriter
  #isCustom = false
  #name = ''
  #callId: string | undefined
  readonly #pieces: string[] = []
  #isTold = false

  constructor(place: Place, events: EventWriter) {
    this.#place = place
    this.#events = events
  }

  add(part: Fields): string {
    if (typeof part['id'] === 'string' && part['id'] !== '') this.#callId ??= part['id']
    if (part['type'] === 'custom' || isFields(part['custom'])) this.#isCustom = true
    const called = this.#isCustom ? part['custom'] : part['function']
    if (!isFields(called)) return ''
    if (typeof called['name'] === 'string' && called['name'] !== '') this.#name = called['name']
    const given = called[this.#isCustom ? 'input' : 'arguments']
    // Some services give the arguments as the object that they are the text of.
    const piece = isFields(given) ? JSON.stringify(given) : typeof given === 'string' ? given : ''
    if (piece !== '') this.#pieces.push(piece)
    // What is called must be known before its call can be told of.
    if (!this.#isTold) return this.#name === '' ? '' : this.#tell()
    return piece === '' ? '' : this.#delta(piece)
  }

  close(status: ItemStatus): string {
    const { output_index } = this.#place
    const item = this.item(status)
    const said = this.#pieces.join('')
    return (
      (this.#isTold ? '' : this.#tell()) +
      this.#events.write(`response.${this.#eventName}.done`, {
        item_id: item.id,
        output_index,
        ...(this.#isCustom ? { input: said } : { name: this.#name, arguments: said }),
      }) +
      this.#events.write('response.output_item.done', { output_index, item })
    )
  }

  item(status: ItemStatus): Item {
    const { id } = this.#place
    const call_id = this.#callId ?? id('call')
    const said = this.#pieces.join('')
    return this.#isCustom
      ? { id: id('ctc'), type: 'custom_tool_call', status, call_id, name: this.#name, input: said }
      : { id: id('fc'), type: 'function_call', status, call_id, name: this.#name, arguments: said }
  }

  get #eventName(): string {
    return this.#isCustom ? 'custom_tool_call_input' : 'function_call_arguments'
  }

  #tell(): string {
    this.#isTold = true
    const { output_index } = this.#place
    const item = { ...this.item('in_progress'), [this.#isCustom ? 'input' : 'arguments']: '' }
    const said = this.#pieces.join('')
    return (
      this.#events.write('response.output_item.added', { output_index, item }) +
      (said === '' ? '' : this.#delta(said))
    )
  }

  #delta(delta: string): string {
    const { output_index } = this.#place
    const item_id = this.item('in_progress').id
    return this.#events.write(`response.${this.#eventName}.delta`, { item_id, output_index, delta })
  }
}

/**
 * Under one name or the other, and a service that is changing from one to the other says the same under both; or as parts of
 * the content.
 */
function thoughtOf({ reasoning_content, reasoning, content }: Fields): string | undefined {
  const parts = Array.isArray(content) ? content.filter(isFields) : []
  const thinking = parts
    .filter(({ type }) => type === 'thinking')
    .map(part => saidText(part['thinking']) ?? '')
    .join('')
  return [reasoning_content, reasoning, thinking].find(
    (said): said is string => typeof said === 'string' && said !== '',
  )
}

function reasoningText(text: string): Fields {
  return { type: 'reasoning_text', text }
}

function written({ type, pieces, logprobs }: Part): Fields {
  const whole = pieces.join('')
  return type === 'refusal' ? { type, refusal: whole } : { type, annotations: [], logprobs, text: whole }
}

/** The probabilities of a text's tokens; services may leave out their bytes. */
function logprobsOf(logprobs: unknown): Fields[] {
  const tokens = isFields(logprobs) && Array.isArray(logprobs['content']) ? logprobs['content'] : []
  return tokens.filter(isFields).map(token => ({
    ...tokenOf(token),
    top_logprobs: Array.isArray(token['top_logprobs'])
      ? token['top_logprobs'].filter(isFields).map(tokenOf)
      : [],
  }))
}

function tokenOf({ token, logprob, bytes }: Fields): Fields {
  return { token, logprob, bytes: Array.isArray(bytes) ? bytes : [] }
}
