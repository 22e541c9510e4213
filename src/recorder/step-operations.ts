import type { AccessStep, AccessStepResult } from '../access/steps.ts'
import type { UsageStep, UsageStepResult } from '../analytics/steps.ts'
import type { EventsStep, EventsStepResult } from '../audit/events/steps.ts'
import type { AuditStep, AuditStepResult } from '../audit/log/steps.ts'
import type { CacheStep, CacheStepResult } from '../cache/steps.ts'
import type { ErasureStep, ErasureStepResult } from '../erasure/steps.ts'
import type { RepriceStep } from '../pricing/reprice-step.ts'
import type { RetentionStep, RetentionStepResult } from '../retention/steps.ts'

/** Work beside calls that is done in steps, each in a transaction of its own between those of calls: a step and what comes of it. */
export interface Steps {
  /** Letting go what has expired. */
  readonly retention: readonly [RetentionStep, RetentionStepResult]
  readonly erasure: readonly [ErasureStep, ErasureStepResult]
  /** What a login writes. */
  readonly access: readonly [AccessStep, AccessStepResult]
  /** Computing costs anew: how many calls changed. */
  readonly reprice: readonly [RepriceStep, number]
  /** What answers may be given again. */
  readonly cache: readonly [CacheStep, CacheStepResult]
  /** Summing up calls. */
  readonly usage: readonly [UsageStep, UsageStepResult]
  /** Taking audit events into their log. */
  readonly audit: readonly [AuditStep, AuditStepResult]
  /** Audit events that tell of nothing else that is written with them. */
  readonly events: readonly [EventsStep, EventsStepResult]
}

export type StepKind = keyof Steps

/** Does one step. */
export type DoStepOf<K extends StepKind> = (step: Steps[K][0]) => Promise<Steps[K][1]>

export type StepOperation = {
  readonly [K in StepKind]: { readonly kind: K; readonly step: Steps[K][0] }
}[StepKind]
