import type { Timing } from './timing.ts'

export type BreakerState = 'closed' | 'open' | 'half-open'

export interface BreakerOptions {
  /** Failures one after another that open it; 0 never opens it. */
  readonly failures: number
  /** Milliseconds for which it stays open. */
  readonly coolDown: number
  readonly timing: Pick<Timing, 'now'>
}

/** The leave to ask a provider once. Say how it went, in whichever way it did. */
export interface Passage {
  /** The provider has begun to answer well. True when that closes the breaker. */
  answering(): boolean
  /** It has answered to the end. True when that closes the breaker. */
  answered(): boolean
  /** It has failed. True when that opens the breaker. */
  failed(): boolean
  /** Nothing was learned of the provider: its client left, or this side failed. */
  abandoned(): void
}

/**
 * Keeps requests from a provider that is down, so that they fail or go elsewhere at once instead of each waiting for a
 * timeout, and so that a provider in trouble is not held there by retries. It opens after a number of failures without
 * a success between them; when the cool-down is over one request goes through as a probe, and what becomes of that one
 * closes it or opens it anew.
 */
export class CircuitBreaker {
  readonly #options: BreakerOptions
  #failures = 0
  #openedAt: number | undefined
  #probe: Passage | undefined

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get state(): BreakerState {
    if (this.#openedAt === undefined) return 'closed'
    return this.blockedFor > 0 ? 'open' : 'half-open'
  }

  /** Milliseconds until a request may go through; 0 when one may now. */
  get blockedFor(): number {
    if (this.#openedAt === undefined) return 0
    return Math.max(0, this.#openedAt + this.#options.coolDown - this.#options.timing.now())
  }

  /** Leave to ask the provider; undefined while there is none. */
  enter(): Passage | undefined {
    const isProbe = this.#openedAt !== undefined
    if (isProbe && (this.blockedFor > 0 || this.#probe !== undefined)) return undefined
    const passage: Passage = {
      answering: () => this.#probe === passage && this.#close(),
      answered: () => {
        if (this.#probe === passage) return this.#close()
        this.#failures = 0
        return false
      },
      failed: () => {
        if (this.#probe === passage) return this.#open()
        // A request from before it opened tells nothing new.
        if (this.#openedAt !== undefined) return false
        this.#failures++
        return this.#options.failures > 0 && this.#failures >= this.#options.failures && this.#open()
      },
      abandoned: () => {
        if (this.#probe === passage) this.#probe = undefined
      },
    }
    if (isProbe) this.#probe = passage
    return passage
  }

  #open(): true {
    this.#openedAt = this.#options.timing.now()
    this.#probe = undefined
    return true
  }

  #close(): true {
    this.#openedAt = undefined
    this.#probe = undefined
    this.#failures = 0
    return true
  }
}
