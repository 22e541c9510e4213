import { fromBase64 } from './base64.ts'
import { digestLength } from './digest.ts'
import { canonicalEvent, contentSaltLength, type EventFacts, eventSaltLength } from './event-form.ts'

/**
 * The lines of an export and of the daily files: JSON, one object a line. Each kind of line has one spelling, byte for byte;
 * a verifier accepts no other, since two readers could see two things in it.
 */

/** Content of an event that can be erased, where it is still there. */
export interface ErasableContent {
  /** 32 bytes. */
  readonly salt: Uint8Array
  /** JSON text. */
  readonly details: string
}

export interface ExportedEvent {
  /** The place in the log. */
  readonly index: number
  /** 16 bytes. */
  readonly salt: Uint8Array
  readonly event: EventFacts
  readonly content?: ErasableContent | undefined
  /** The hash of the leaf. It proves nothing: it tells which event it is when the root is not what it should be. */
  readonly leaf?: Uint8Array | undefined
  /** What leads to the root of the checkpoint that a selection begins with. */
  readonly proof?: readonly Uint8Array[] | undefined
}

/** What a line begins with that tells about the others. */
export interface ExportHeader {
  /** The version of the format. */
  readonly audit_export: 1
  readonly origin: string
  /** Milliseconds since 1970, UTC. */
  readonly created_at: number
  /** The number of entries of the log at that time. */
  readonly size: number
  /** Whether all of them follow. */
  readonly complete: boolean
  /** Of a selection: what was asked for. */
  readonly filter?: ExportFilter
  /** Of a selection: the signed note that its proofs lead to. */
  readonly checkpoint?: string
  /** For people. */
  readonly about: string
}

/** What events a selection has; times are milliseconds since 1970, UTC. */
export interface ExportFilter {
  readonly user?: string
  readonly since?: number
  /** The first moment that is not meant. */
  readonly until?: number
}

export type ExportLine =
  | { readonly kind: 'header'; readonly header: ExportHeader }
  | { readonly kind: 'key'; readonly vkey: string }
  | { readonly kind: 'checkpoint'; readonly note: string }
  | { readonly kind: 'event'; readonly entry: ExportedEvent }

/** The line of an event, without the line feed at its end. */
export function eventLine({ index, salt, event, content, leaf, proof }: ExportedEvent): string {
  let line = `{"index":${index},"salt":"${base64(salt)}","event":${canonicalEvent(event)}`
  if (content !== undefined)
    line += `,"content":{"salt":"${base64(content.salt)}","details":${JSON.stringify(content.details)}}`
  if (leaf !== undefined) line += `,"leaf":"${base64(leaf)}"`
  if (proof !== undefined) line += `,"proof":${JSON.stringify(proof.map(base64))}`
  return `${line}}`
}

/** @param note the signed note */
export function checkpointLine(note: string): string {
  return JSON.stringify({ checkpoint: note })
}

export function keyLine(vkey: string): string {
  return JSON.stringify({ key: vkey })
}

/** A line taken apart, or what is wrong with it. */
export function parseExportLine(
  text: string,
): ExportLine | { readonly kind: 'wrong'; readonly reason: string } {
  const none = { kind: 'wrong', reason: 'it is none of the lines of an export' } as const
  if (text.length > shortLine && hasManyParts(text)) return none
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'wrong', reason: 'it is no JSON' }
  }
  const line = readLine(value)
  if (line === undefined) return none
  if (spelled(line) !== text)
    return { kind: 'wrong', reason: 'it is spelled in another way, or holds more, than an export has it' }
  return line
}

/** Longer lines have long texts in them, and no more parts than others: a proof has the most of them, one for each level of the tree. */
const shortLine = 64 * 1024
const mostParts = 1_000

/** Whether JSON has more parts than any line of an export: read whole, they would take a hundred times their length of memory. */
function hasManyParts(text: string): boolean {
  let parts = 0
  for (let at = 0; at < text.length && parts <= mostParts; at++) {
    const character = text[at]
    if (character === '"') at = endOfText(text, at)
    else if (character === ',' || character === '[' || character === '{') parts++
  }
  return parts > mostParts
}

/** Where a JSON text ends that begins here. */
function endOfText(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

/** An entry of an export as JSON has it, taken apart; undefined when it is none. */
export function readEntry(value: unknown): ExportedEvent | undefined {
  const { index, salt, event, content, leaf, proof } = fieldsOf(value)
  const entry = {
    index,
    salt: bytesOf(salt, eventSaltLength),
    event: readEvent(event),
    content: content === undefined ? undefined : readContent(content),
    leaf: leaf === undefined ? undefined : bytesOf(leaf, digestLength),
    proof: proof === undefined ? undefined : readHashes(proof),
  }
  const isWhole =
    isCount(index) &&
    entry.salt !== undefined &&
    entry.event !== undefined &&
    (entry.content === undefined) === (content === undefined) &&
    (entry.leaf === undefined) === (leaf === undefined) &&
    (entry.proof === undefined) === (proof === undefined)
  return isWhole ? (entry as ExportedEvent) : undefined
}

/** Hashes in base64; undefined when they are none. */
export function readHashes(value: unknown): Buffer[] | undefined {
  if (!Array.isArray(value)) return undefined
  const hashes = value.map(one => bytesOf(one, digestLength))
  return hashes.every(hash => hash !== undefined) ? hashes : undefined
}

function readLine(value: unknown): ExportLine | undefined {
  const fields = fieldsOf(value)
  if ('index' in fields) {
    const entry = readEntry(fields)
    return entry && { kind: 'event', entry }
  }
  const { checkpoint, key, audit_export } = fields
  if (audit_export !== undefined) return readHeader(fields)
  if (isText(checkpoint)) return { kind: 'checkpoint', note: checkpoint }
  return isText(key) ? { kind: 'key', vkey: key } : undefined
}

/** Members that a header may have, in their order. */
const headerMembers = [
  'audit_export',
  'origin',
  'created_at',
  'size',
  'complete',
  'filter',
  'checkpoint',
  'about',
] as const

function readHeader(fields: Fields): ExportLine | undefined {
  const { audit_export, origin, created_at, size, complete, filter, checkpoint, about } = fields
  const { user, since, until } = filter === undefined ? {} : fieldsOf(filter)
  const isHeader =
    audit_export === 1 &&
    isText(origin) &&
    isCount(created_at) &&
    isCount(size) &&
    typeof complete === 'boolean' &&
    complete === (filter === undefined) &&
    complete === (checkpoint === undefined) &&
    (complete || isText(checkpoint)) &&
    isText(about) &&
    (user === undefined || isText(user)) &&
    (since === undefined || isCount(since)) &&
    (until === undefined || isCount(until))
  return isHeader ? { kind: 'header', header: fields as unknown as ExportHeader } : undefined
}

/** The line of a header: its members in their order. */
export function headerLine(header: ExportHeader): string {
  const { filter } = header
  const ordered = {
    ...header,
    filter: filter && { user: filter.user, since: filter.since, until: filter.until },
  }
  return JSON.stringify(Object.fromEntries(headerMembers.map(name => [name, ordered[name]])))
}

function spelled(line: ExportLine): string {
  if (line.kind === 'event') return eventLine(line.entry)
  if (line.kind === 'header') return headerLine(line.header)
  return line.kind === 'key' ? keyLine(line.vkey) : checkpointLine(line.note)
}

function readEvent(value: unknown): EventFacts | undefined {
  const event = fieldsOf(value)
  const { commitment, created_at, details, target, v } = event
  const isEvent =
    v === 1 &&
    isCount(created_at) &&
    isText(event['action']) &&
    isText(event['actor']) &&
    isText(event['category']) &&
    isText(event['id']) &&
    isText(event['outcome']) &&
    isText(event['severity']) &&
    isText(event['user_id']) &&
    (details === null || isText(details)) &&
    (target === null || isText(target)) &&
    (commitment === null || (typeof commitment === 'string' && /^[0-9a-f]{64}$/.test(commitment)))
  if (!isEvent) return undefined
  return {
    ...(event as unknown as EventFacts),
    commitment: commitment === null ? null : Buffer.from(commitment as string, 'hex'),
  }
}

function readContent(value: unknown): ErasableContent | undefined {
  const { salt, details } = fieldsOf(value)
  const bytes = bytesOf(salt, contentSaltLength)
  return bytes !== undefined && isText(details) ? { salt: bytes, details } : undefined
}

type Fields = Readonly<Record<string, unknown>>

function fieldsOf(value: unknown): Fields {
  return value !== null && typeof value === 'object' ? (value as Fields) : {}
}

/** Text that has a form in UTF-8: half a surrogate pair has none. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed()
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function bytesOf(value: unknown, length: number): Buffer | undefined {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined
  return bytes?.byteLength === length ? bytes : undefined
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
