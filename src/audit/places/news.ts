import { type AuditSeverity, factsOf } from '../../model/audit-actions.ts'
import type { JsonObject } from '../../model/json-object.ts'
import { type EventRow, eventRow } from '../../store/audit-events.ts'
import type { Standing } from './log-source.ts'
import type { OutsidePlace } from './publisher.ts'

/** What there is to tell of the places where the log is taken to. */
export type PlacesNews =
  | { readonly kind: 'file_failed'; readonly target: string; readonly reason: string }
  | { readonly kind: 'file_recovered'; readonly target: string }
  | {
      readonly kind: 'file_tampered'
      readonly target: string
      readonly how: string
      /** The leaves that were in the file, the last one not included. */
      readonly from?: number
      readonly to?: number
    }
  | { readonly kind: 'file_archived'; readonly target: string }
  | {
      readonly kind: 'log_rolled_back'
      /** Where a checkpoint is that the log does not go on from. */
      readonly target: string
      readonly standing: Exclude<Standing, 'consistent'>
      readonly size: number
    }
  | { readonly kind: 'log_consistent' }
  | { readonly kind: 'checkpoint_failed'; readonly target: OutsidePlace; readonly reason: string }
  | { readonly kind: 'checkpoint_recovered'; readonly target: OutsidePlace }

export function severityOf({ kind }: PlacesNews): AuditSeverity {
  return factsOf(`audit.${kind}`).severity
}

/** The event that tells of it. */
function eventOf(news: PlacesNews, createdAt: number): EventRow {
  const { kind, target = undefined, ...details } = { target: undefined, ...news }
  return eventRow(
    {
      userId: '',
      by: 'audit',
      action: `audit.${kind}`,
      target,
      outcome: severityOf(news) === 'info' ? 'success' : 'failure',
      details: Object.keys(details).length === 0 ? undefined : (details satisfies JsonObject),
    },
    createdAt,
  )
}

/** News that could not be put on record yet, at most: the oldest are what it began with. */
const mostWaiting = 1_000

/** Tells news, and puts them on record as soon as the database takes them. */
export class NewsDesk {
  readonly #record: (event: EventRow) => Promise<void>
  readonly #tell: (news: PlacesNews) => void
  #waiting: EventRow[] = []
  #recording: Promise<void> | undefined

  constructor(record: (event: EventRow) => Promise<void>, tell: (news: PlacesNews) => void) {
    this.#record = record
    this.#tell = tell
  }

  take(news: PlacesNews): void {
    this.#tell(news)
    if (this.#waiting.length < mostWaiting) this.#waiting.push(eventOf(news, Date.now()))
    void this.record()
  }

  /** Puts on record what waits. Never rejects. */
  record(): Promise<void> {
    this.#recording ??= this.#recordAll().finally(() => {
      this.#recording = undefined
    })
    return this.#recording
  }

  async #recordAll(): Promise<void> {
    for (let event = this.#waiting[0]; event !== undefined; event = this.#waiting[0]) {
      try {
        await this.#record(event)
      } catch {
        // The database is away: with the next news, or the next round, it is tried again.
        return
      }
      this.#waiting.shift()
    }
  }
}
