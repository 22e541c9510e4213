import { inTime } from '../in-time.ts'
import type { Stele } from '../stele.ts'
import type { NewEvent } from '../store/audit-events.ts'

/** Refusals that are put on record one by one, and milliseconds after which there may be one more. */
const mostAtOnce = 30
const oneMoreEvery = 5_000

/** Milliseconds that a refusal waits for its event: while the database is held up, it is written later. */
const patience = 200

/**
 * Puts on record who is not let in, or may not do what it asks for. Strangers can be refused as often as they like: of a flood
 * few are written, and each tells how many were not since the one before.
 */
export class NotedRefusals {
  readonly #auditEvents: Pick<Stele['auditEvents'], 'add'>
  #room = mostAtOnce
  #refilledAt = 0
  #further = 0

  constructor(auditEvents: Pick<Stele['auditEvents'], 'add'>) {
    this.#auditEvents = auditEvents
  }

  /** Whoever is refused is refused, whether or not that can be written, and soon. */
  async note(
    event: Omit<NewEvent, 'outcome' | 'details'> & { readonly details: object },
    now: number,
  ): Promise<void> {
    const refill = Math.floor((now - this.#refilledAt) / oneMoreEvery)
    if (refill > 0) {
      this.#room = Math.min(mostAtOnce, this.#room + refill)
      this.#refilledAt = now
    }
    if (this.#room === 0) {
      this.#further++
      return
    }
    this.#room--
    const further = this.#further
    this.#further = 0
    const details = { ...event.details, ...(further === 0 ? {} : { further }) }
    const written = this.#auditEvents.add({ ...event, outcome: 'denied', details }).catch(() => {
      this.#further += further + 1
    })
    await inTime(written, patience).catch(() => undefined)
  }
}
