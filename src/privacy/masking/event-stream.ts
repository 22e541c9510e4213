import { isFields } from '../../model/reply.ts'
import { eventData, SseSplitter } from '../../model/sse.ts'
import { endedBy, type Piece, piecesOf } from './event-pieces.ts'
import type { Edit } from './json-strings.ts'
import type { Masker } from './masker.ts'
import type { Placeholders } from './placeholders.ts'
import {
  type RestoreOptions,
  restoredJson,
  restoredText,
  restoreStrings,
  spellingOf,
  TextRestorer,
} from './restorer.ts'

type Fields = Record<string, unknown>

/** A text that is being told, and how what was held back of it can still be. */
interface Channel {
  readonly restorer: TextRestorer
  piece: Piece
}

/**
 * Puts the values back into a stream of server-sent events, however it is cut. Events without a placeholder pass byte for
 * byte; when a text ends with something held back, an event more tells it.
 */
export class EventRestorer {
  readonly #placeholders: Placeholders
  readonly #options: RestoreOptions
  readonly #splitter = new SseSplitter()
  readonly #channels = new Map<string, Channel>()
  /** Events told that the provider did not send: later ones are numbered on. */
  #added = 0

  constructor(placeholders: Placeholders, options: RestoreOptions) {
    this.#placeholders = placeholders
    this.#options = options
  }

  push(chunk: Uint8Array): Buffer {
    return Buffer.concat(this.#splitter.push(chunk).flatMap(event => this.#event(event)))
  }

  /** What is left when the stream has ended, or broken off. */
  end(): Buffer {
    const rest = this.#splitter.end().flatMap(event => this.#event(event, true))
    return Buffer.concat([...this.#flush(''), ...rest])
  }

  #event(event: Buffer, isLast = false): Buffer[] {
    const data = eventData(event)
    if (data === undefined) return [event]
    if (data === '[DONE]') return [...this.#flush(''), event]
    const value = parsed(data)
    if (!isFields(value)) return [restoredEvent(event, this.#placeholders)]
    const fields = value as Fields
    const before = endedBy(fields)
    const pieces = piecesOf(fields)
    if (pieces.length === 0 && !Array.isArray(fields['choices'])) {
      const told = before.flatMap(channel => this.#flush(channel))
      const restored = restoredJson(data, this.#placeholders, this.#options)
      const numbered = this.#numbered(restored)
      return [...told, numbered === data ? event : withData(event, numbered)]
    }
    // Whatever else it says comes whole.
    let isChanged = telling.test(data) && this.#restoreRest(fields, pieces)
    for (const piece of pieces) {
      const isEnd = isLast || before.some(start => piece.channel.startsWith(start))
      const told = this.#told(piece, isEnd)
      if (told === piece.text) continue
      piece.replace(told)
      isChanged = true
    }
    const ended = before.flatMap(channel => this.#flush(channel))
    const number = fields['sequence_number']
    if (this.#added > 0 && typeof number === 'number') {
      fields['sequence_number'] = number + this.#added
      isChanged = true
    }
    const own = isChanged ? withData(event, JSON.stringify(fields)) : event
    return [...ended, own]
  }

  #restoreRest(fields: Fields, pieces: readonly Piece[]): boolean {
    for (const piece of pieces) piece.replace('')
    const isChanged = restoreStrings(fields, this.#placeholders)
    for (const piece of pieces) piece.replace(piece.text)
    return isChanged
  }

  #told(piece: Piece, isEnd: boolean): string {
    const known = this.#channels.get(piece.channel)
    const channel = known ?? {
      restorer: new TextRestorer(this.#placeholders, spellingOf(piece.name, this.#options)),
      piece,
    }
    channel.piece = piece
    if (known === undefined) this.#channels.set(piece.channel, channel)
    const told = channel.restorer.push(piece.text)
    return isEnd ? told + channel.restorer.end() : told
  }

  /** Events that tell what was held back of the texts whose channels begin so. */
  #flush(start: string): Buffer[] {
    const told: Buffer[] = []
    for (const [name, { restorer, piece }] of this.#channels) {
      if (!name.startsWith(start)) continue
      const rest = restorer.end()
      if (rest === '') continue
      const event = piece.alone(rest)
      const number = event['sequence_number']
      if (typeof number === 'number') event['sequence_number'] = number + ++this.#added
      const type = typeof event['type'] === 'string' ? `event: ${event['type']}\n` : ''
      told.push(Buffer.from(`${type}data: ${JSON.stringify(event)}\n\n`))
    }
    return told
  }

  #numbered(data: string): string {
    if (this.#added === 0) return data
    const value = parsed(data)
    if (!isFields(value) || typeof value['sequence_number'] !== 'number') return data
    return JSON.stringify({ ...value, sequence_number: value['sequence_number'] + this.#added })
  }
}

/** Whether an event's data may hold a whole placeholder. */
const telling = /\[[A-Z]|\\u005[bB]/

/** An event whose data is no object, with the values put back. */
function restoredEvent(event: Buffer, placeholders: Placeholders): Buffer {
  const text = event.toString('utf8')
  const restored = restoredText(text, placeholders, 'json')
  return restored === text ? event : Buffer.from(restored)
}

/** A recorded stream, masked: texts that it tells in pieces are looked at as a whole. */
export async function maskedEvents(transcript: Uint8Array, masker: Masker): Promise<Buffer> {
  const splitter = new SseSplitter()
  const events = [...slices(transcript)].flatMap(slice => splitter.push(slice))
  const told = [...events, ...splitter.end()].map(event => ({ event, fields: fieldsOf(event) }))
  const channels = new Map<
    string,
    { pieces: { at: number; piece: Piece }[]; text: string; isJson: boolean }
  >()
  for (const [at, { fields }] of told.entries()) {
    for (const piece of fields === undefined ? [] : piecesOf(fields)) {
      const channel = channels.get(piece.channel) ?? {
        pieces: [],
        text: '',
        isJson: piece.name === 'arguments',
      }
      channels.set(piece.channel, channel)
      channel.pieces.push({ at, piece })
      channel.text += piece.text
    }
  }
  const changed = new Set<number>()
  for (const { pieces, text, isJson } of channels.values()) {
    const edits = await masker.edits(text, { isJson })
    if (edits.length > 0) spread(pieces, edits, changed)
  }
  const masked: Buffer[] = []
  const rest = restOfEvents(masker)
  for (const [at, { event, fields }] of told.entries()) {
    if (fields === undefined) {
      masked.push(
        eventData(event) === undefined || eventData(event) === '[DONE]'
          ? event
          : Buffer.from(await masker.text(event.toString('utf8'))),
      )
    } else if (Array.isArray(fields['choices']) || changed.has(at)) {
      // Tokens spell out what is masked.
      const isBare = changed.size > 0 && withoutLogprobs(fields)
      const other = await rest(fields)
      masked.push(
        changed.has(at) || isBare || other !== undefined
          ? withData(event, other ?? JSON.stringify(fields))
          : event,
      )
    } else {
      const data = eventData(event) ?? ''
      const other = await maskedReply(data, masker)
      masked.push(other === data ? event : withData(event, other))
    }
  }
  return Buffer.concat(masked)
}

/** Masks what events say beside their pieces, which are masked already. Undefined where there is nothing. */
function restOfEvents(masker: Masker): (fields: Fields) => Promise<string | undefined> {
  // In nearly all events it is the same.
  let last = { rest: '', masked: '' }
  return async fields => {
    const pieces = piecesOf(fields)
    for (const piece of pieces) piece.replace('')
    const rest = JSON.stringify(fields)
    if (rest !== last.rest) last = { rest, masked: await maskedReply(rest, masker) }
    for (const piece of pieces) piece.replace(piece.text)
    if (last.masked === rest) return undefined
    const masked = JSON.parse(last.masked) as Fields
    for (const [at, piece] of piecesOf(masked).entries()) piece.replace(pieces[at]?.text ?? '')
    return JSON.stringify(masked)
  }
}

/** A reply that came whole, masked. */
export async function maskedReply(text: string, masker: Masker): Promise<string> {
  const masked = await masker.json(text)
  if (masked === text || !masked.includes('logprobs')) return masked
  const value = JSON.parse(masked) as Fields
  return withoutLogprobs(value) ? JSON.stringify(value) : masked
}

/** Puts what is to stand in the place of stretches of a text into the pieces of which it is made. */
function spread(
  pieces: readonly { readonly at: number; readonly piece: Piece }[],
  edits: readonly Edit[],
  changed: Set<number>,
): void {
  let from = 0
  for (const { at, piece } of pieces) {
    const to = from + piece.text.length
    let text = ''
    let kept = from
    for (const { start, end, text: replacement } of edits) {
      if (end <= from || start >= to) continue
      text += piece.text.slice(kept - from, Math.max(start, from) - from)
      // It stands whole where its place begins.
      if (start >= from) text += replacement
      kept = Math.min(end, to)
    }
    text += piece.text.slice(kept - from)
    if (text !== piece.text) {
      piece.replace(text)
      changed.add(at)
    }
    from = to
  }
}

/** Takes the probabilities of tokens out of a reply; true when there were any. */
function withoutLogprobs(value: unknown): boolean {
  if (Array.isArray(value)) return value.map(withoutLogprobs).includes(true)
  if (!isFields(value)) return false
  const fields = value as Fields
  let isChanged = false
  for (const [name, one] of Object.entries(fields)) {
    if (name !== 'logprobs') isChanged = withoutLogprobs(one) || isChanged
    else if (one != null && !(Array.isArray(one) && one.length === 0)) {
      fields[name] = Array.isArray(one) ? [] : null
      isChanged = true
    }
  }
  return isChanged
}

/** The splitter looks at what it holds again with every event, so a long stream is handed to it in slices. */
function* slices(bytes: Uint8Array, length = 65_536): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

function fieldsOf(event: Buffer): Fields | undefined {
  const data = eventData(event)
  const value = data === undefined || data === '[DONE]' ? undefined : parsed(data)
  return isFields(value) ? (value as Fields) : undefined
}

/** The same event with other data. */
function withData(event: Buffer, data: string): Buffer {
  const lines = event
    .toString('utf8')
    .split(/\r\n|\n|\r/)
    .filter(line => line !== '' && line !== 'data' && !line.startsWith('data:'))
  return Buffer.from(`${[...lines, `data: ${data}`].join('\n')}\n\n`)
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}
