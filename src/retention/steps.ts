import type { Reclaimed } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import type { EventRow } from '../store/audit-events.ts'
import type { Cutoffs } from './periods.ts'
import type { Key } from './read-facts.ts'
import type { Tally } from './tally.ts'

/** Where the periods of a conversation's user put it. */
export interface DueConversation extends Key {
  readonly group: string
  readonly cutoffs: Cutoffs
}

/** Tells that a run has begun; written with the first thing that goes. */
interface Announcing {
  readonly announcement?: EventRow | undefined
}

/** A part of a run that is done in one short transaction. Plain data: it crosses to the writer thread. */
export type RetentionStep =
  | ({
      readonly kind: 'calls'
      readonly removed: readonly Key[]
      readonly cleared: readonly Key[]
    } & Announcing)
  | ({
      readonly kind: 'conversations'
      readonly due: readonly DueConversation[]
      readonly now: number
    } & Announcing)
  /** Idempotency keys whose calls are gone. */
  | { readonly kind: 'keys'; readonly keys: readonly Pick<Row<'idempotency_keys'>, 'user_id' | 'key_hash'>[] }
  | { readonly kind: 'note'; readonly event: EventRow }
  | { readonly kind: 'forget-words'; readonly isFirst: boolean }
  | { readonly kind: 'reclaim' }

export interface RetentionStepResult {
  /** What went, of conversations. */
  readonly tallies: readonly Tally[]
  /** How many of the conversations are done with; what is left of them is for further steps. */
  readonly done: number
  readonly reclaimed: Reclaimed
  /** Whether words of what went are still to be forgotten. */
  readonly isMore: boolean
}

/** Does a step. Doing it again changes nothing. */
export type DoStep = (step: RetentionStep) => Promise<RetentionStepResult>
