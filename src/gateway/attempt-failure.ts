import type { SteleError } from '../errors.ts'
import { isFields } from '../model/reply.ts'

/** How one attempt to get a reply from a provider failed. It is settled already. */
export interface AttemptFailure {
  readonly callId: string
  readonly error: SteleError
  /** True when a part of a reply had reached the client, which was then told how it ended. */
  readonly isTold: boolean
  /** What the provider said, when it said something. */
  readonly answer?: ProviderAnswer | undefined
}

/** A reply that is of no use but to tell why. */
export interface ProviderAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** As it came. */
  readonly body?: string | Uint8Array | undefined
  /** The JSON value of the body, or of the event that tells of an error. */
  readonly value?: unknown
}

/**
 * `retry`: the same target may well answer the next time. `next`: it will not, another one may. `tell`: no other answer
 * is to be had, or none should be looked for.
 */
export type Verdict = 'retry' | 'next' | 'tell'

/**
 * What is to be done about a failure.
 *
 * Retried is what OpenAI's own client retries: whatever prevented an answer, and the statuses 408, 409, 429 and 5xx;
 * `x-should-retry` overrules the status, as it does there. Two statuses are left out, 501 and 505: a service that does
 * not know what it is asked for learns it no sooner for being asked again. A chat completion changes nothing at its
 * provider, so a lost answer may be asked for again; the provider may charge for both, and both are on record.
 *
 * Another target is asked where the refusal is about this target, not about the request: its key or its credit (401,
 * 402, 403: they are Stele's, and the client can do nothing about them), its models and addresses (3xx, 404, 405, 410,
 * 501, 505), its limits (413, and `context_length_exceeded`: the next model may take more).
 *
 * Any other 4xx, 400 and 422 above all, is told at once. The request itself is at fault: every target would be paid or
 * troubled to say so, one that did not would hide the client's mistake until the day the first target is healthy, and
 * what one provider declines to answer is not to be carried to the next until one does.
 */
export function verdictOn({ error, answer }: AttemptFailure): Verdict {
  switch (error.code) {
    case 'provider_unreachable':
    case 'provider_timeout':
      return 'retry'
    case 'provider_error':
    case 'provider_auth_failed':
    case 'provider_invalid_response':
    case 'provider_stream_truncated':
      return answer === undefined ? 'retry' : verdictOnAnswer(answer)
    // The record has no answer; whatever stands behind it may be asked for one.
    case 'replay_miss':
      return 'next'
    default:
      return 'tell'
  }
}

function verdictOnAnswer({ status, headers, value }: ProviderAnswer): Verdict {
  const shouldRetry = headers['x-should-retry']
  if (shouldRetry === 'true') return 'retry'
  const verdict = verdictOnStatus(effectiveStatus(status, value), value)
  return verdict === 'retry' && shouldRetry === 'false' ? 'next' : verdict
}

const transient: ReadonlySet<number> = new Set([408, 409, 429])
const aboutTheTarget: ReadonlySet<number> = new Set([401, 402, 403, 404, 405, 410, 413, 501, 505])

function verdictOnStatus(status: number, value: unknown): Verdict {
  if (aboutTheTarget.has(status) || (status >= 300 && status < 400)) return 'next'
  // An unusable reply under a status of success is a fault of the service like any 5xx.
  if (transient.has(status) || status >= 500 || status < 300) return 'retry'
  const code = isFields(value) && isFields(value['error']) ? value['error']['code'] : undefined
  return code === 'context_length_exceeded' ? 'next' : 'tell'
}

/** Services that find an error after they said 200 put the status into the error's `code` instead. */
function effectiveStatus(status: number, value: unknown): number {
  if (status >= 300) return status
  const code = isFields(value) && isFields(value['error']) ? value['error']['code'] : undefined
  return typeof code === 'number' && code >= 400 && code < 600 ? code : status
}

/**
 * Whether a failure shows that its provider is down or broken. One that refuses, even for its rate limit, is not: it
 * answers at once, and may refuse one model, key or request and serve the others.
 */
export function isOutage({ error, answer }: AttemptFailure): boolean {
  switch (error.code) {
    case 'provider_unreachable':
    case 'provider_timeout':
      return true
    case 'provider_error':
    case 'provider_invalid_response':
    case 'provider_stream_truncated': {
      const status = answer === undefined ? 502 : effectiveStatus(answer.status, answer.value)
      return status < 300 || (status >= 500 && status !== 501)
    }
    default:
      return false
  }
}

/** Whether a failure says nothing of the provider: its client left, or the gateway was told to stop. */
export function isFromThisSide({ error }: AttemptFailure): boolean {
  return (
    error.code === 'client_closed_request' ||
    error.code === 'client_stalled' ||
    error.code === 'shutting_down' ||
    error.code === 'internal_error'
  )
}
