import type { Row } from '../db/tables.ts'
import type { EventRow } from '../store/audit-events.ts'
import type { Attempt } from './attempts.ts'

/** A new hash of a password; one that somebody else has given is only good for choosing another. */
export interface NewPassword {
  readonly userId: string
  readonly hash: string
  readonly isTemporary: boolean
}

/** A password that was right, and the hash that it was compared with. */
export interface Proof {
  readonly userId: string
  readonly hash: string
  readonly attempt: Attempt
}

/**
 * What a login writes, in one short transaction each. Plain data: it crosses to the writer thread. Rows have their ids, so
 * that a step that is done again writes nothing twice.
 */
export type AccessStep =
  /** Counts an attempt before it is tried, unless it is too early for it. */
  | { readonly kind: 'count'; readonly attempt: Attempt; readonly at: number }
  | { readonly kind: 'count-registration'; readonly place: string; readonly at: number }
  /** An attempt that came to nothing. */
  | { readonly kind: 'refuse'; readonly proof?: Proof; readonly event: EventRow }
  | {
      readonly kind: 'log-in'
      readonly proof: Proof
      readonly password: NewPassword | undefined
      readonly endsOthers: boolean
      readonly session: Row<'login_sessions'>
      readonly events: readonly EventRow[]
      readonly at: number
    }
  | {
      readonly kind: 'change-password'
      readonly proof: Proof
      readonly password: NewPassword
      /** The session that goes on. */
      readonly session: string | undefined
      readonly event: EventRow
      readonly at: number
    }
  | {
      readonly kind: 'log-out'
      readonly userId: string
      readonly only: string | undefined
      readonly at: number
    }
  | { readonly kind: 'seen'; readonly userId: string; readonly sessionId: string; readonly at: number }

export interface AccessStepResult {
  /** Sessions that have ended. */
  readonly ended: number
}

/** Does a step. @throws SteleError too_many_attempts, login_failed, store_unavailable */
export type DoAccessStep = (step: AccessStep) => Promise<AccessStepResult>
