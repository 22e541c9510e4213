import { SteleError } from '../errors.ts'

/** Failures to connect: nothing of a request has left. */
const unconnected: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** What is found out before anything is sent. */
const refusedHere: ReadonlySet<string> = new Set([
  'model_not_found',
  'operation_not_served',
  'replay_miss',
  'masking_unavailable',
])

/** Whether a failure shows that its provider got nothing of the request, and so has nothing to charge for. */
export function wasNeverAsked(error: unknown): boolean {
  if (!(error instanceof SteleError)) return false
  if (refusedHere.has(error.code)) return true
  const { code } = (error.cause ?? {}) as { code?: unknown }
  return error.code.startsWith('provider_') && typeof code === 'string' && unconnected.has(code)
}
