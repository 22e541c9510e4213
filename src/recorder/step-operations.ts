import type { AccessStep } from '../access/steps.ts'
import type { UsageStep } from '../analytics/steps.ts'
import type { CacheStep } from '../cache/steps.ts'
import type { ErasureStep } from '../erasure/steps.ts'
import type { RepriceStep } from '../pricing/reprice-step.ts'
import type { RetentionStep } from '../retention/steps.ts'

/** A step of letting go what has expired, in a transaction of its own between those of calls. */
export interface RetentionOperation {
  readonly kind: 'retention'
  readonly step: RetentionStep
}

/** What a login writes, in the same way. */
export interface AccessOperation {
  readonly kind: 'access'
  readonly step: AccessStep
}

/** A step of erasing a user, in the same way. */
export interface ErasureOperation {
  readonly kind: 'erasure'
  readonly step: ErasureStep
}

/** A step of computing costs anew, in the same way. */
export interface RepriceOperation {
  readonly kind: 'reprice'
  readonly step: RepriceStep
}

/** A change of what answers may be given again, in the same way. */
export interface CacheOperation {
  readonly kind: 'cache'
  readonly step: CacheStep
}

/** A step of summing up calls, in the same way. */
export interface UsageOperation {
  readonly kind: 'usage'
  readonly step: UsageStep
}

/** Steps that are done each in a transaction of its own, between those of calls. */
export type StepOperation =
  | RetentionOperation
  | ErasureOperation
  | AccessOperation
  | RepriceOperation
  | CacheOperation
  | UsageOperation
