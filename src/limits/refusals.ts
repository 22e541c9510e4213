import type { ErrorCode } from '../errors.ts'
import type { Metric } from './caps.ts'
import type { Counted } from './counted.ts'
import type { Refusal } from './ledger.ts'
import { dollarsOf } from './money.ts'

/** A refusal in a form that crosses threads and that clients are told. */
export interface ToldRefusal {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, string | number>>
  readonly param?: string | undefined
}

/**
 * What a client is told of a limit. What is used up within the minute is there again soon, and OpenAI calls it `rate_limit_exceeded`;
 * what is used up for the day or the month is a quota.
 */
export function toldRefusal(refusal: Refusal, now: number): ToldRefusal {
  if (refusal.kind === 'unpriced')
    return { code: 'price_unknown', details: { model: refusal.call.requestModel } }
  if (refusal.kind === 'open-ended')
    return {
      code: 'missing_required_parameter',
      details: { name: refusal.missing },
      param: refusal.missing,
    }
  const { counter, metric, limit, used, requested } = refusal.excess
  const resetsIn = Math.max(1, counter.window.end - now)
  const isTooLarge = requested > limit
  const amount = (value: number): string => (metric === 'nanousd' ? dollarsOf(value) : String(value))
  return {
    code: counter.period === 'minute' ? 'rate_limit_exceeded' : 'insufficient_quota',
    details: {
      what: `${metricNames[metric]} per ${counter.period} ${ofWhom(counter)}`,
      limit: amount(limit),
      used: amount(used),
      requested: amount(requested),
      advice: isTooLarge ? 'The request is larger than the limit.' : `Try again in ${waitText(resetsIn)}.`,
      metric,
      period: counter.period,
      most: limit,
      left: Math.max(0, limit - used),
      resetsIn,
      fits: isTooLarge ? 0 : 1,
    },
  }
}

const metricNames: Readonly<Record<Metric, string>> = {
  requests: 'requests',
  tokens: 'tokens',
  nanousd: 'cost',
}

/** Says nothing of others. */
function ofWhom({ scope, model }: Counted): string {
  const whom =
    scope === 'user' ? 'of this user' : scope === 'key' ? 'of this API key' : 'of all users together'
  return model === '' ? whom : `${whom} for the model '${model}'`
}

function waitText(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1_000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`
}
