import { randomBytes, timingSafeEqual } from 'node:crypto'
import { canonicalEvent, commitEvent } from '../audit/event-form.ts'
import type { StoredBatch } from '../db/batch.ts'
import type { Row, Tables } from '../db/tables.ts'
import { newId } from '../ids.ts'
import type { AuditAction } from '../model/audit-actions.ts'
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
  contents: Pick<Contents, 'sealEvent' | 'macOfQueued'>,
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
    batch.insert('audit_queue', [queueRow(contents, events)]),
  ])
}

/** What shows that a row of the queue is no stranger's; undefined where the keys are not at hand. */
export interface QueueSigner {
  macOfQueued(queueId: string, bytes: Uint8Array): Uint8Array | undefined
}

/** The row of the queue for events, to be inserted in their transaction. Queues are taken in the order of these ids. */
export function queueRow(signer: QueueSigner, events: readonly Row<'audit_events'>[]): Tables['audit_queue'] {
  return signedRow(signer, newId('auditQueue'), encodeLeaves(events.map(leafOf)))
}

/** A row of the queue: how it is signed, the MAC where it is, then what is queued. */
export function signedRow(signer: QueueSigner, id: string, queued: Uint8Array): Tables['audit_queue'] {
  const mac = signer.macOfQueued(id, queued)
  const parts = mac === undefined ? [Uint8Array.of(unsigned), queued] : [Uint8Array.of(signed), mac, queued]
  return { id, leaves: Buffer.concat(parts) }
}

const unsigned = 0
const signed = 1
const macLength = 32

/** What a row of the queue says is queued, whoever wrote it. */
function queuedIn({ leaves }: Tables['audit_queue']): Buffer {
  const bytes = Buffer.from(leaves.buffer, leaves.byteOffset, leaves.byteLength)
  return bytes.subarray(bytes[0] === signed ? 1 + macLength : 1)
}

/** The same; undefined when it was not written by whoever has the keys. */
export function genuineIn(signer: QueueSigner, row: Tables['audit_queue']): Buffer | undefined {
  const queued = queuedIn(row)
  const mac = signer.macOfQueued(row.id, queued)
  const bytes = Buffer.from(row.leaves.buffer, row.leaves.byteOffset, row.leaves.byteLength)
  const found = bytes.subarray(1, 1 + macLength)
  const isGenuine = bytes[0] === signed && mac?.byteLength === found.byteLength && timingSafeEqual(mac, found)
  return isGenuine ? queued : undefined
}

/** What is put on record without the keys, by commands of the operator: nothing else is taken in that nobody has signed. */
export const writtenWithoutKeys: ReadonlySet<string> = new Set<AuditAction>([
  'schema.migrated',
  'schema.reverted',
  'limit.repaired',
  'record.backed_up',
  'record.restored',
  'record.copied',
  'data_keys.backed_up',
  'data_keys.restored',
])

/** Whether an event is one that is written without the keys: it has nothing that would take one. */
function needsNoKeys({ action, details, commitment }: Tables['audit_events']): boolean {
  return writtenWithoutKeys.has(action) && details === null && commitment === null
}

/**
 * Leaves of events that nobody has signed: committed to as they are now, whatever their row of the queue says of them. Undefined for a
 * row that is not as Stele writes it.
 */
export async function unsignedLeaves(
  row: Tables['audit_queue'],
  find: (
    names: readonly { readonly id: string; readonly user_id: string }[],
  ) => Promise<readonly Tables['audit_events'][]>,
): Promise<Leaf[] | undefined> {
  const named = decodeLeaves(row)
  if (named === undefined) return undefined
  const events = await find(named.map(({ eventId, userId }) => ({ id: eventId, user_id: userId })))
  if (events.length !== named.length || !events.every(needsNoKeys)) return undefined
  return events.map(event => leafOf({ ...event, details: null }))
}

/** Whether nobody has signed a row of the queue: then only what the events themselves say counts. */
export function isUnsigned({ leaves }: Tables['audit_queue']): boolean {
  return leaves[0] === unsigned
}

/** The leaves of a row of the queue that is signed; undefined for one that is not as Stele writes it. */
export function genuineLeaves(signer: QueueSigner, row: Tables['audit_queue']): Leaf[] | undefined {
  const queued = genuineIn(signer, row)
  return queued && leavesIn(queued)
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

/** The leaves of a row of the queue, whoever wrote it; undefined for what nobody writes. */
export function decodeLeaves(row: Tables['audit_queue']): Leaf[] | undefined {
  return leavesIn(queuedIn(row))
}

/** The inverse of `encodeLeaves`. @returns undefined for what that does not make */
function leavesIn(bytes: Buffer): Leaf[] | undefined {
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
