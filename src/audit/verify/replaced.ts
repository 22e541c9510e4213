import { eventsAt, nameOf, placesOf } from '../../store/audit-queries.ts'
import type { Leaf } from '../../store/audit-queue.ts'
import type { Reading } from '../../store/contents.ts'
import { otherEnd } from '../call-contents.ts'
import type { CommittingEvent } from '../committed-content.ts'
import { canonicalEvent, commitEvent } from '../event-form.ts'
import { queuedLeaves } from '../log/pending.ts'
import type { LoggedEvent } from '../log/reader.ts'
import { behindAll } from './acts.ts'
import { Fault } from './verdict.ts'

/** The end of a call that was given up for lost, where another end is on record. */
interface Replaced {
  readonly index: number
  readonly eventId: string
  readonly userId: string
  readonly callId: string
}

/** Such ends that are held until the event of the other one is met. */
const mostHeld = 10_000

/** Events that are read at once. */
const atATime = 500

/** Whether an event at this place tells the end that is on record. */
type JudgeEnd = (index: number, event: CommittingEvent) => Promise<boolean>

/** Holds which calls ended otherwise than an event says, until a later event of theirs tells how. */
export class ReplacedEnds {
  readonly #reading: Reading
  readonly #isEnd: JudgeEnd
  readonly #most: number
  readonly #held = new Map<string, Replaced>()

  constructor(reading: Reading, isEnd: JudgeEnd, most = mostHeld) {
    this.#reading = reading
    this.#isEnd = isEnd
    this.#most = most
  }

  /** To be told of an end that is not the one on record. Where too many are held the oldest is looked up. @throws Fault */
  async expect({ index, eventId }: LoggedEvent, { user_id: userId, target }: CommittingEvent): Promise<void> {
    const callId = target ?? ''
    this.#held.set(nameOf(callId, userId), { index, eventId, userId, callId })
    const [oldest] = this.#held.values()
    if (this.#held.size <= this.#most || oldest === undefined) return
    if (await this.#isLogged(oldest)) this.#held.delete(nameOf(oldest.callId, oldest.userId))
    else await this.#requireQueued([oldest])
  }

  /** To be told of every other event, in the order of the log. */
  async meet(index: number, event: CommittingEvent): Promise<void> {
    const name = nameOf(event.target ?? '', event.user_id)
    if (event.action === 'call.settled' && this.#held.has(name) && (await this.#isEnd(index, event)))
      this.#held.delete(name)
  }

  /** The log has ended: what it does not tell must wait for it. @throws Fault */
  end(): Promise<void> {
    return this.#requireQueued([...this.#held.values()])
  }

  /** Whether a later entry of the log tells the end. That it is as it was written is looked at when it is come to. */
  async #isLogged({ index, userId, callId }: Replaced): Promise<boolean> {
    const { kysely } = this.#reading
    for (let below = Number.MAX_SAFE_INTEGER; ; ) {
      const stretch = { above: index, below, limit: atATime }
      const places = await placesOf(kysely, { userId, action: 'call.settled' }, stretch)
      const events = await eventsAt(kysely, places)
      for (const { leaf_index, event_id, user_id } of places) {
        const event = events.get(nameOf(event_id, user_id))
        if (event?.target === callId && (await this.#isEnd(leaf_index, event))) return true
      }
      const last = places.at(-1)
      if (last === undefined || places.length < atATime) return false
      below = last.leaf_index
    }
  }

  async #requireQueued(ends: readonly Replaced[]): Promise<void> {
    const left = new Map(ends.map(end => [nameOf(end.callId, end.userId), end]))
    const users = new Set(ends.map(({ userId }) => userId))
    if (left.size > 0)
      for await (const leaves of queuedLeaves(this.#reading))
        for (const leaf of leaves ?? [])
          if (leaf.action === 'call.settled' && users.has(leaf.userId))
            left.delete(await this.#endQueuedAs(leaf))
    for (const [name, { index, eventId, callId }] of left) {
      this.#held.delete(name)
      throw new Fault({ index, eventId, reason: otherEnd(callId) })
    }
  }

  /** The name of the call whose end an event that waits tells; '' where it tells none. */
  async #endQueuedAs({ eventId, userId, salt, commitment }: Leaf): Promise<string> {
    const { kysely, contents } = this.#reading
    const name = nameOf(eventId, userId)
    const stored = (await eventsAt(kysely, [{ event_id: eventId, user_id: userId }])).get(name)
    const event = await contents.openOne(kysely, 'audit_events', stored)
    if (event === undefined || !commitEvent(salt, canonicalEvent(event)).equals(commitment)) return ''
    return (await this.#isEnd(behindAll, event)) ? nameOf(event.target ?? '', userId) : ''
  }
}
