import { once } from 'node:events'
import { setImmediate as afterThisTurn } from 'node:timers/promises'
import type { Gateway, GatewayState } from './app.ts'

/**
 * Stops the gateway: takes nothing new, lets running replies end, and ends what still runs when the time is up.
 * Resolves when every call is settled and every connection closed.
 * @param timeout milliseconds that running replies are given
 */
export async function shutDown({ app, state }: Gateway, timeout: number): Promise<void> {
  state.stopping.abort()
  const closing = app.close()
  const deadline = Promise.withResolvers<void>()
  const timer = setTimeout(deadline.resolve, timeout)
  const answered = until(state, () => state.unanswered.size === 0)
  await Promise.race([answered, deadline.promise.then(() => endCalls(state))])
  clearTimeout(timer)
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
