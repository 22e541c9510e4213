/** A part of the work on sums that is done in one short transaction. Plain data: it crosses to the writer thread. */
export type UsageStep =
  | { readonly kind: 'roll-up'; readonly limit: number; readonly now: number }
  | { readonly kind: 'repair'; readonly cell: UsageCell }

/** What one row of `usage_daily` counts. */
export interface UsageCell {
  readonly userId: string
  /** YYYY-MM-DD, UTC. */
  readonly day: string
  readonly model: string
}

export interface UsageStepResult {
  /** Calls that were added to the sums. */
  readonly calls: number
  /** False while there is more to do. */
  readonly isDone: boolean
}

/** Does a step. Ended anywhere it is done wholly or not at all; doing it again does no harm. */
export type DoUsageStep = (step: UsageStep) => Promise<UsageStepResult>
