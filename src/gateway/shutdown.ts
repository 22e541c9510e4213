import { once } from 'node:events'
import { setImmediate as afterThisTurn } from 'node:timers/promises'
import type { Gateway, GatewayState } from './app.ts'

export interface ShutdownOptions {
  /** Milliseconds that running replies are given. */
  readonly timeout: number
  /**
   * Whether connections are still taken until then, only to be told that the gateway stops. One of several workers must: a
   * connection that is dealt out while the last of them closes its door belongs to nobody, and its client would wait for
   * as long as the replies take.
   */
  readonly staysOpen?: boolean
}

/**
 * Stops the gateway: takes no new call, lets running replies end, and ends what still runs when the time is up.
 * Resolves when every call is settled and every connection closed.
 */
export async function shutDown(
  { app, state }: Gateway,
  { timeout, staysOpen = false }: ShutdownOptions,
): Promise<void> {
  state.stopping.abort()
  let closing = staysOpen ? undefined : app.close()
  const deadline = Promise.withResolvers<void>()
  const timer = setTimeout(deadline.resolve, timeout)
  const answered = until(state, () => state.unanswered.size === 0 && state.underWay.size === 0)
  await Promise.race([answered, deadline.promise.then(() => endCalls(state))])
  clearTimeout(timer)
  closing ??= app.close()
  // Only connections without a reply to come are left: kept alive, never used, or read by nobody.
  app.server.closeAllConnections()
  await closing
}

async function endCalls(state: GatewayState): Promise<void> {
  for (const abort of state.underWay) abort.abort()
  await until(state, () => state.underWay.size === 0)
  // A call ends just before its reply is sent.
  await afterThisTurn()
}

async function until(state: GatewayState, isDone: () => boolean): Promise<void> {
  while (!isDone()) await once(state.events, 'ended')
}
