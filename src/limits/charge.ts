import type { Reservation, RouteMode } from '../model/call.ts'
import { type Amounts, nothing } from './caps.ts'

/** Of a call what decides what it counts for. */
export interface CountedCall {
  readonly userId: string
  readonly apiKeyId?: string | undefined
  readonly requestModel: string
  /** Milliseconds since 1970: it counts in the windows in which it was begun, however long it takes. */
  readonly createdAt: number
  readonly reserved?: Reservation | undefined
  readonly routeMode?: RouteMode | undefined
}

/** What of the end of a call decides that. */
export interface CountedEnd {
  readonly status: string
  readonly usage: { readonly inputTokens?: number | undefined; readonly outputTokens?: number | undefined }
  readonly costNanousd: number | undefined
}

/**
 * What a call counts for from its beginning on. A further attempt at a request is no further request, but to a limit of a
 * model: the provider of that model gets each of them.
 */
export function amountsOfBegin(
  { reserved, routeMode }: Pick<CountedCall, 'reserved' | 'routeMode'>,
  { ofModel }: { ofModel: boolean },
): Amounts {
  const isFurther = routeMode === 'retry' || routeMode === 'fallback'
  return {
    requests: isFurther && !ofModel ? 0 : 1,
    tokens: reserved?.tokens ?? 0,
    nanousd: reserved?.nanousd ?? 0,
  }
}

/**
 * What the end of a call changes of what it counts for: what it took, less what was reserved. A call that failed counts what
 * its provider said it took, most often nothing; one from the cache nothing at all. Of one that was answered, or of which nobody knows
 * how it ended, and that nobody can tell the tokens or the cost of, what was reserved stays counted.
 */
export function amountsOfEnd({ status, usage, costNanousd }: CountedEnd, reserved?: Reservation): Amounts {
  const held = { tokens: reserved?.tokens ?? 0, nanousd: reserved?.nanousd ?? 0 }
  if (status === 'cached') return { ...nothing, tokens: 0 - held.tokens, nanousd: 0 - held.nanousd }
  const isFailed = status === 'failed'
  const { inputTokens, outputTokens } = usage
  const isUnknown = inputTokens === undefined && outputTokens === undefined && !isFailed
  const tokens = isUnknown ? held.tokens : (inputTokens ?? 0) + (outputTokens ?? 0)
  const nanousd = costNanousd ?? (isFailed ? 0 : held.nanousd)
  return { ...nothing, tokens: tokens - held.tokens, nanousd: nanousd - held.nanousd }
}
