import type { Row } from '../../db/tables.ts'
import { newId } from '../../ids.ts'
import type { JsonObject } from '../../model/json-object.ts'
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

const severities = {
  file_failed: 'error',
  file_recovered: 'info',
  file_tampered: 'critical',
  file_archived: 'info',
  log_rolled_back: 'critical',
  log_consistent: 'info',
  checkpoint_failed: 'warning',
  checkpoint_recovered: 'info',
} as const satisfies Record<PlacesNews['kind'], string>

export type Severity = (typeof severities)[PlacesNews['kind']]

export function severityOf({ kind }: PlacesNews): Severity {
  return severities[kind]
}

/** The event that tells of it. */
function eventOf(news: PlacesNews, createdAt: number): Row<'audit_events'> {
  const { kind, target, ...details } = { target: null, ...news }
  const severity = severityOf(news)
  return {
    user_id: '',
    id: newId('audit'),
    actor: 'audit',
    action: `audit.${kind}`,
    category: 'security',
    severity,
    target,
    outcome: severity === 'info' ? 'success' : 'failure',
    details: Object.keys(details).length === 0 ? null : JSON.stringify(details satisfies JsonObject),
    commitment: null,
    created_at: createdAt,
  }
}

/** News that could not be put on record yet, at most: the oldest are what it began with. */
const mostWaiting = 1_000

/** Tells news, and puts them on record as soon as the database takes them. */
export class NewsDesk {
  readonly #record: (event: Row<'audit_events'>) => Promise<void>
  readonly #tell: (news: PlacesNews) => void
  #waiting: Row<'audit_events'>[] = []
  #recording: Promise<void> | undefined

  constructor(record: (event: Row<'audit_events'>) => Promise<void>, tell: (news: PlacesNews) => void) {
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
