import type { Timing } from '../../src/providers/timing.ts'

/** Time that passes only when somebody waits or a test says so. */
export class FakeTiming implements Timing {
  time = 0
  /** What chance gives. */
  chance = 0.5
  /** Every wait so far, in milliseconds. */
  readonly waits: number[] = []
  readonly #whileWaiting: ((signal: AbortSignal) => Promise<void>) | undefined

  /** @param whileWaiting what a wait waits for, if not for nothing */
  constructor(whileWaiting?: (signal: AbortSignal) => Promise<void>) {
    this.#whileWaiting = whileWaiting
  }

  now(): number {
    return this.time
  }

  random(): number {
    return this.chance
  }

  async wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    this.waits.push(milliseconds)
    this.time += milliseconds
    await this.#whileWaiting?.(signal)
  }
}

/** Never ends by itself. */
export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
