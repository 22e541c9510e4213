import type { RemovedTable } from './plan.ts'

/** Whoever asked for an erasure, and why. */
export interface ErasureRequest {
  readonly userId: string
  readonly actor: string
  readonly reason: string | undefined
}

/** A part of an erasure that is done in one short transaction. Plain data: it crosses to the writer thread. */
export type ErasureStep =
  /** Destroys the keys: from here on nothing that was said can be read. */
  | { readonly kind: 'begin'; readonly request: ErasureRequest; readonly at: number }
  | { readonly kind: 'conversations'; readonly userId: string }
  | { readonly kind: 'calls'; readonly userId: string; readonly after: string }
  | { readonly kind: 'rows'; readonly userId: string; readonly table: RemovedTable }
  | {
      readonly kind: 'finish'
      readonly request: ErasureRequest
      readonly counts: ErasureCounts
      readonly at: number
    }
  /** Has the database let go of copies of its own. */
  | { readonly kind: 'scrub' }

/** Rows that were removed or blanked, by what they are. */
export type ErasureCounts = Readonly<Record<string, number>>

export interface ErasureStepResult {
  readonly counts: ErasureCounts
  readonly isMore: boolean
  /** Of the end: whether the file still has bytes of keys that only writing all of it anew takes away. */
  readonly isLeft?: boolean
  /** Of a page of calls: the last one. */
  readonly last?: string
  /** Of the beginning: when the user was erased, which of one that is resumed was earlier. */
  readonly erasedAt?: number
}

/** Does a step. Doing it again changes nothing. */
export type DoErasureStep = (step: ErasureStep) => Promise<ErasureStepResult>
