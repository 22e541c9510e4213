import { SteleError } from '../errors.ts'

/**
 * Delays for addresses that try one wrong key after the other. Keys that Stele makes cannot be guessed; this is for those
 * that people made up, and for the database, which is asked for every new one. Kept in memory, by each process.
 */

/** Wrong keys of one address that cost nothing. */
const free = 20

/** The longest delay in milliseconds: many may share an address. */
const longest = 60_000
const rememberedFor = 3_600_000

const mostAddresses = 10_000

interface Guesses {
  failures: number
  lastAt: number
  blockedUntil: number
  /** The same wrong key again is no guess: somebody has not noticed yet. */
  lastSecret: string
}

export class GuessDelays {
  readonly #addresses = new Map<string, Guesses>()

  /** @throws SteleError too_many_attempts */
  check(address: string, secret: string, now: number): void {
    const known = this.#addresses.get(address)
    if (known === undefined || known.lastSecret === secret || known.blockedUntil <= now) return
    throw new SteleError('too_many_attempts', { seconds: Math.ceil((known.blockedUntil - now) / 1_000) })
  }

  /** Counts a secret that was none. Returns whether it is another one than last time. */
  note(address: string, secret: string, now: number): boolean {
    const known = this.#addresses.get(address)
    if (known?.lastSecret === secret) return false
    const isFresh = known !== undefined && known.lastAt > now - rememberedFor
    const failures = (isFresh ? known.failures : 0) + 1
    const delay = failures <= free ? 0 : Math.min(longest, 1_000 * 2 ** Math.min(30, failures - free - 1))
    this.#addresses.delete(address)
    this.#addresses.set(address, { failures, lastAt: now, blockedUntil: now + delay, lastSecret: secret })
    // The one that has been quiet longest is the first.
    const [oldest] = this.#addresses.keys()
    if (this.#addresses.size > mostAddresses && oldest !== undefined) this.#addresses.delete(oldest)
    return true
  }
}
