import { setTimeout as sleep } from 'node:timers/promises'

/** Time and chance, for whatever waits between attempts. */
export interface Timing {
  /** Milliseconds that only ever go forward. */
  now(): number
  /** From 0 up to 1. */
  random(): number
  /** Resolves when the time (milliseconds) is up, or at once when the signal is aborted. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>
}

export const realTiming: Timing = {
  now: () => performance.now(),
  random: Math.random,
  wait: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }).catch(() => undefined),
}
