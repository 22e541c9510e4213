import type { Row } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import type { AuditAction } from '../../model/audit-actions.ts'
import { eventsAt, type LogPlace, nameOf, placesOf } from '../../store/audit-queries.ts'
import type { Leaf } from '../../store/audit-queue.ts'
import type { Reading } from '../../store/contents.ts'
import { canonicalEvent, commitEvent } from '../event-form.ts'
import { queuedLeaves } from '../log/pending.ts'
import { type AuditLogReader, auditLogReader, type LoggedEvent } from '../log/reader.ts'
import { inclusionProof, verifyInclusion } from '../merkle.ts'
import { checkLogged } from './logged.ts'
import { Fault } from './verdict.ts'

/** What takes content away, and what decides how long it is kept. */
const actions = [
  'user.erasure_begun',
  'user.erased',
  'conversation.purged',
  'data_key.rotated',
  'retention.begun',
  'retention.run',
  'retention.set',
  'retention.unset',
] as const satisfies readonly AuditAction[]

type ActAction = (typeof actions)[number]

/** Something that was done, as the log tells. */
export interface Act {
  /** The place in the log; of what waits for it, one behind all that are in it. */
  readonly index: number
  readonly event: Row<'audit_events'>
}

/** The beginning of a log that is believed, and not looked at entry by entry. */
export interface BelievedLog {
  readonly size: number
  readonly root: Buffer
}

/** Acts that are found at once. */
const atATime = 500

/** Acts that wait for the log are looked at up to so many: they wait for a second or so. */
const mostWaiting = 10_000

/** Where what waits for the log stands. */
export const behindAll = Number.MAX_SAFE_INTEGER - mostWaiting

/**
 * Finds in the log what takes content away. Each act is held against its commitment. Its entry is among those that the verification
 * goes through; one in the part that is believed is proven to be in that.
 */
export class LoggedActs {
  readonly #reading: Reading
  readonly #reader: AuditLogReader
  readonly #believed: BelievedLog
  #waiting: Promise<Act[]> | undefined

  constructor(reading: Reading, believed: BelievedLog) {
    this.#reading = reading
    this.#reader = auditLogReader(reading)
    this.#believed = believed
  }

  /** Acts of this kind about a user or a conversation, the newest so many of them, in their order. */
  async about(action: ActAction, target: string): Promise<Act[]> {
    const acts = await this.#logged({ action, target }, behindAll)
    return [...acts, ...(await this.#waitingOf(action)).filter(({ event }) => event.target === target)]
  }

  /** Acts of this kind that concern a user, likewise. */
  async of(action: ActAction, userId: string): Promise<Act[]> {
    const acts = await this.#logged({ action, userId }, behindAll)
    return [...acts, ...(await this.#waitingOf(action)).filter(({ event }) => event.user_id === userId)]
  }

  /** All acts of this kind, some at a time, the newest first. */
  async *all(action: ActAction): AsyncGenerator<Act> {
    yield* (await this.#waitingOf(action)).toReversed()
    for (let below = behindAll; ; ) {
      const places = await this.#places({ action }, below)
      yield* (await this.#actsAt(places)).reverse()
      const last = places.at(-1)
      if (last === undefined || places.length < atATime) return
      below = last.leaf_index
    }
  }

  /** Whether a call of this user was begun between two places of the log. */
  async hasCallBetween(userId: string, above: number, below: number): Promise<boolean> {
    const conditions = { userId, action: 'call.begun' }
    return (await placesOf(this.#reading.kysely, conditions, { above, below, limit: 1 })).length > 0
  }

  #places(
    conditions: { readonly action: ActAction; readonly target?: string; readonly userId?: string },
    below: number,
  ): Promise<LogPlace[]> {
    return placesOf(this.#reading.kysely, conditions, { below, limit: atATime })
  }

  async #logged(
    conditions: { readonly action: ActAction; readonly target?: string; readonly userId?: string },
    below: number,
  ): Promise<Act[]> {
    return this.#actsAt(await this.#places(conditions, below))
  }

  /** What cannot be read explains nothing: the verification names it when it comes to it. */
  async #actsAt(places: readonly LogPlace[]): Promise<Act[]> {
    try {
      const acts: Act[] = []
      for (const entry of await this.#reader.eventsAt(places.map(({ leaf_index }) => leaf_index))) {
        const { index, event } = entry
        if (event !== undefined && (await this.#isInLog(entry))) acts.push({ index, event })
      }
      return acts
    } catch (error) {
      if (error instanceof SteleError && error.code === 'content_unreadable') return []
      throw error
    }
  }

  async #isInLog(entry: LoggedEvent): Promise<boolean> {
    const { index } = entry
    const { size, root } = this.#believed
    try {
      const leaf = checkLogged(entry, index)
      if (index >= size) return true
      const proof = await inclusionProof(this.#reader.hashes(), index, size)
      return verifyInclusion({ index, size, leaf, proof, root })
    } catch (error) {
      if (error instanceof Fault || error instanceof RangeError) return false
      throw error
    }
  }

  async #waitingOf(action: ActAction): Promise<Act[]> {
    this.#waiting ??= this.#readWaiting()
    return (await this.#waiting).filter(({ event }) => event.action === action)
  }

  async #readWaiting(): Promise<Act[]> {
    const leaves: Leaf[] = []
    for await (const some of queuedLeaves(this.#reading))
      for (const leaf of some ?? [])
        if (leaves.length < mostWaiting && (actions as readonly string[]).includes(leaf.action))
          leaves.push(leaf)
    const acts: Act[] = []
    const { kysely, contents } = this.#reading
    for (let at = 0; at < leaves.length; at += atATime) {
      const part = leaves.slice(at, at + atATime)
      const places = part.map(({ eventId, userId }) => ({ event_id: eventId, user_id: userId }))
      const stored = await eventsAt(kysely, places)
      for (const [place, { eventId, userId, salt, commitment }] of part.entries()) {
        const event = await contents.openOne(kysely, 'audit_events', stored.get(nameOf(eventId, userId)))
        if (event !== undefined && commitEvent(salt, canonicalEvent(event)).equals(commitment))
          acts.push({ index: behindAll + at + place, event })
      }
    }
    return acts
  }
}
