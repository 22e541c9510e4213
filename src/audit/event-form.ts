import { sha256 } from './digest.ts'

/**
 * How an event is committed to: its canonical form is hashed with a salt, so that nobody can tell from the log what
 * they cannot read, and the log holds the commitment.
 */

/** The length of the salt of an event, in bytes. */
export const eventSaltLength = 16

/** The length of the salt of erasable content, in bytes. */
export const contentSaltLength = 32

/** What is committed to of an event: its row, `details` readable. */
export interface EventFacts {
  readonly action: string
  readonly actor: string
  readonly category: string
  /** Of content that is kept elsewhere and can be erased. */
  readonly commitment: Uint8Array | null
  /** Milliseconds since 1970, UTC. */
  readonly created_at: number
  /** JSON text, as it was written. */
  readonly details: string | null
  readonly id: string
  readonly outcome: string
  readonly severity: string
  readonly target: string | null
  readonly user_id: string
}

/** The members of a canonical event, as an export has them. */
export interface CanonicalEvent extends Omit<EventFacts, 'commitment'> {
  /** In lower-case hexadecimal digits. */
  readonly commitment: string | null
  /** The version of this form. */
  readonly v: 1
}

/**
 * The canonical form, version 1: RFC 8785 (JCS) of an object with these members. Of strings, null and whole numbers
 * JSON.stringify makes what JCS asks for, and the members are in its order here.
 */
export function canonicalEvent(event: EventFacts): string {
  return JSON.stringify({
    action: event.action,
    actor: event.actor,
    category: event.category,
    commitment: event.commitment === null ? null : Buffer.from(event.commitment).toString('hex'),
    created_at: event.created_at,
    details: event.details,
    id: event.id,
    outcome: event.outcome,
    severity: event.severity,
    target: event.target,
    user_id: event.user_id,
    v: 1,
  } satisfies CanonicalEvent)
}

/** SHA-256(salt ‖ canonical form in UTF-8). @param salt 16 bytes */
export function commitEvent(salt: Uint8Array, canonical: string): Buffer {
  return saltedHash(salt, canonical)
}

/** SHA-256(salt ‖ text in UTF-8), of content that can be erased. @param salt 32 bytes, kept beside the content */
export function commitContent(salt: Uint8Array, text: string): Buffer {
  return saltedHash(salt, text)
}

function saltedHash(salt: Uint8Array, text: string): Buffer {
  const input = Buffer.allocUnsafe(salt.byteLength + Buffer.byteLength(text))
  input.set(salt)
  input.write(text, salt.byteLength)
  return sha256(input)
}

/** The entry of the log for an event. It says nothing of the event but its id. */
export function logEntry(eventId: string, commitment: Uint8Array): Buffer {
  return Buffer.from(`stele-audit/v1\n${eventId}\n${Buffer.from(commitment).toString('base64')}\n`)
}
