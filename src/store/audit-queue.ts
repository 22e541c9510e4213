import { randomBytes } from 'node:crypto'
import { canonicalEvent, commitEvent } from '../audit/event-form.ts'
import type { StoredBatch } from '../db/batch.ts'
import type { Row, Tables } from '../db/tables.ts'
import { newId } from '../ids.ts'
import type { Contents } from './contents.ts'

/** What the log is to take of an event, and what a list finds the event by. */
export interface Leaf {
  readonly eventId: string
  readonly userId: string
  readonly action: string
  readonly category: string
  readonly severity: string
  /** 16 bytes. */
  readonly salt: Uint8Array
  /** 32 bytes. */
  readonly commitment: Uint8Array
}

const saltLength = 16
const commitmentLength = 32
const digestsLength = saltLength + commitmentLength

/**
 * The one way in which a batch writes events: with what the log is to take of them, which is one row for all of them, in the same
 * transaction. An event without it would stay outside the log.
 */
export async function writeEvents(
  batch: StoredBatch,
  contents: Pick<Contents, 'sealEvent'>,
  events: readonly Row<'audit_events'>[],
): Promise<void> {
  if (events.length === 0) return
  await Promise.all([
    batch.insert(
      'audit_events',
      events.map(
        event => (event.details === null ? event : contents.sealEvent(event)) as Tables['audit_events'],
      ),
    ),
    batch.insert('audit_queue', [queueRow(events)]),
  ])
}

/** The row of the queue for events, to be inserted in their transaction. Queues are taken in the order of these ids. */
export function queueRow(events: readonly Row<'audit_events'>[]): Tables['audit_queue'] {
  return { id: newId('auditQueue'), leaves: encodeLeaves(events.map(leafOf)) }
}

/** Commits to an event. */
export function leafOf(event: Row<'audit_events'>): Leaf {
  const salt = newSalt()
  return {
    eventId: event.id,
    userId: event.user_id,
    action: event.action,
    category: event.category,
    severity: event.severity,
    salt,
    commitment: commitEvent(salt, canonicalEvent(event)),
  }
}

/** Their number of bytes, the texts as JSON, then each leaf's salt and commitment. */
function encodeLeaves(leaves: readonly Leaf[]): Uint8Array {
  const texts = Buffer.from(
    JSON.stringify(
      leaves.map(leaf => [leaf.eventId, leaf.userId, leaf.action, leaf.category, leaf.severity]),
    ),
  )
  const bytes = Buffer.allocUnsafe(4 + texts.length + leaves.length * digestsLength)
  bytes.writeUInt32BE(texts.length)
  texts.copy(bytes, 4)
  let at = 4 + texts.length
  for (const { salt, commitment } of leaves) {
    bytes.set(salt, at)
    bytes.set(commitment, at + saltLength)
    at += digestsLength
  }
  return bytes
}

/** The inverse. @returns undefined for what `encodeLeaves` does not make: somebody else has written it */
export function decodeLeaves(stored: Uint8Array): Leaf[] | undefined {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  if (bytes.length < 4) return undefined
  const textsEnd = 4 + bytes.readUInt32BE()
  const texts = parsed(bytes.toString('utf8', 4, textsEnd))
  if (!isTexts(texts) || bytes.length !== textsEnd + texts.length * digestsLength) return undefined
  return texts.map(([eventId, userId, action, category, severity], index) => {
    const at = textsEnd + index * digestsLength
    return {
      eventId,
      userId,
      action,
      category,
      severity,
      salt: bytes.subarray(at, at + saltLength),
      commitment: bytes.subarray(at + saltLength, at + digestsLength),
    }
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

type Texts = readonly (readonly [string, string, string, string, string])[]

function isTexts(value: unknown): value is Texts {
  const isLeaf = (one: unknown): boolean =>
    Array.isArray(one) && one.length === 5 && one.every(text => typeof text === 'string')
  return Array.isArray(value) && value.every(isLeaf)
}

/** Salts are cut from it; what was cut stays valid when a new one is made. */
let pool = randomBytes(0)
let cut = 0

const poolLength = 512 * saltLength

function newSalt(): Uint8Array {
  if (cut + saltLength > pool.length) {
    pool = randomBytes(poolLength)
    cut = 0
  }
  cut += saltLength
  return pool.subarray(cut - saltLength, cut)
}
