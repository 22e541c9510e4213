import type { SteleError } from '../errors.ts'
import type { LimitStanding } from '../model/call.ts'
import type { ProviderResponse } from '../providers/provider.ts'

type Headers = Readonly<Record<string, string>>

/** Later than this no client waits for by itself, in milliseconds. */
const longestWait = 60_000

/** What is left of the limits that apply to a call, as OpenAI says it. */
export function standingHeaders(standing: LimitStanding | undefined): Headers {
  const headers: Record<string, string> = {}
  for (const metric of ['requests', 'tokens'] as const) {
    const left = standing?.[metric]
    if (left === undefined) continue
    headers[`x-ratelimit-limit-${metric}`] = String(left.limit)
    headers[`x-ratelimit-remaining-${metric}`] = String(left.remaining)
    headers[`x-ratelimit-reset-${metric}`] = durationText(left.resetsIn)
  }
  return headers
}

/**
 * The same of a call that was refused, and when to come back: OpenAI's clients do so by themselves. A quota that is whole again in an
 * hour, or a request that will never fit, is not worth another try.
 */
export function refusalHeaders({ code, details }: SteleError): Headers {
  if (code !== 'rate_limit_exceeded' && code !== 'insufficient_quota') return {}
  const { metric, most, left, resetsIn, fits } = details as Readonly<Record<string, number>>
  const wait = resetsIn ?? 0
  const remaining = { limit: most ?? 0, remaining: left ?? 0, resetsIn: wait }
  return {
    ...standingHeaders({ [String(metric)]: remaining }),
    'retry-after': String(Math.max(1, Math.ceil(wait / 1_000))),
    'retry-after-ms': String(wait),
    ...(fits === 0 || wait > longestWait ? { 'x-should-retry': 'false' } : {}),
  }
}

/** A provider's reply; what it says of its own limits gives way to what Stele says of its own. */
export function withoutLimits(
  response: ProviderResponse,
  standing: LimitStanding | undefined,
): ProviderResponse {
  if (standing === undefined) return response
  const headers = Object.entries(response.headers).filter(([name]) => !name.startsWith('x-ratelimit-'))
  return { ...response, headers: Object.fromEntries(headers) }
}

/** A duration as OpenAI writes it: 20ms, 1.5s, 6m0s, 23h59m2s. */
function durationText(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.max(0, milliseconds)}ms`
  const seconds = milliseconds / 1_000
  if (seconds < 60) return `${Math.round(seconds * 1_000) / 1_000}s`
  const whole = Math.ceil(seconds)
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60)]
  return `${hours === 0 ? '' : `${hours}h`}${minutes}m${whole % 60}s`
}
