import type { StoredBatch } from '../db/batch.ts'
import type { AskedReservation, LimitStanding, Remaining, Reservation } from '../model/call.ts'
import type { CappedCounter, LimitBook } from './book.ts'
import { type Amounts, type Metric, metrics, nothing, sumOf } from './caps.ts'
import { amountsOfBegin, amountsOfEnd, type CountedCall, type CountedEnd } from './charge.ts'
import { type Counter, counterKey, counterRow, isNothing, nameOfRow } from './counted.ts'

/** A call that is about to be begun. */
export interface WishedCall extends CountedCall {
  readonly callId: string
  readonly reservation?: AskedReservation | undefined
}

/** Why a call may not be begun. */
export type Refusal =
  | { readonly kind: 'exceeded'; readonly call: WishedCall; readonly excess: Excess }
  | { readonly kind: 'unpriced'; readonly call: WishedCall }
  | { readonly kind: 'open-ended'; readonly call: WishedCall }

/** The limit that a call would exceed. */
export interface Excess {
  readonly counter: CappedCounter
  readonly metric: Metric
  readonly limit: number
  readonly used: number
  readonly requested: number
}

/**
 * What becomes of calls that are begun together or not at all. `bound` and `exact`: how much they may take has to be said first, as
 * quickly as can be, or as exactly.
 */
export type Decision =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'unknown'; readonly wanted: 'bound' | 'exact' }
  | { readonly kind: 'refused'; readonly refusal: Refusal }

/** A call that was begun or has ended with this batch, and what that changes. */
interface Change {
  readonly call: CountedCall & { readonly callId: string }
  readonly counters: readonly CappedCounter[]
  readonly amounts: (counter: CappedCounter) => Amounts
  /** Whether it was let in because it fits, which must still be so when it is written. */
  readonly mustFit: boolean
}

/** Counters of which there is no row yet although calls may belong to them: these are to be counted first. */
export class Uncounted extends Error {
  readonly counters: readonly Counter[]

  constructor(counters: readonly Counter[]) {
    super('calls are not counted yet')
    this.counters = counters
  }
}

/** Others took what was free when this batch was let in. It is to be tried again as a whole. */
export class Overtaken extends Error {}

/** How long after its window has ended a counter is still kept right, in milliseconds. */
export const keptAfterEnd = 3_600_000

/**
 * The limits in one batch. Calls are let in by what the counters said when they were last looked at; nothing is locked for that.
 * What was let in is added at the end of the transaction, as its last statement: only then are the counters locked, in the order of
 * their keys, until the commit. If a sum then exceeds its cap others were quicker, and the batch is undone and tried again.
 */
export class Ledger {
  readonly #stored: StoredBatch
  readonly #book: LimitBook
  readonly #changes: Change[] = []
  readonly #counters = new Map<CountedCall, readonly CappedCounter[]>()
  readonly #now = Date.now()
  #written = new Map<string, Amounts>()

  constructor(stored: StoredBatch, book: LimitBook) {
    this.#stored = stored
    this.#book = book
  }

  /**
   * Decides which calls may be begun: each of `wishes` all together or not at all.
   * @param others calls that are counted without being asked about
   * @throws Uncounted
   */
  async admit(
    wishes: readonly (readonly WishedCall[])[],
    others: readonly CountedCall[],
  ): Promise<Decision[]> {
    await this.#book.load(this.#stored, [...wishes.flat(), ...others])
    const begun = wishes.flat().flatMap(call => this.#countersOf(call))
    const ended = others.flatMap(call => this.#countersOf(call))
    const unknown = (counter: CappedCounter): boolean => this.#book.sumOf(counter.name) === undefined
    const uncertain = ended.filter(counter => counter.mayBeUncounted && unknown(counter))
    if (uncertain.length > 0 || begun.some(unknown)) {
      await this.#look([...begun, ...uncertain])
      return this.#decide(wishes)
    }
    const decisions = this.#decide(wishes)
    if (decisions.every(({ kind }) => kind === 'admitted')) return decisions
    // What was remembered may be old: nobody is refused for that.
    await this.#look(begun)
    return this.#decide(wishes)
  }

  /** Whether a call's tokens or money are held back: only where a limit of them applies. */
  holdsBack(call: WishedCall): boolean {
    return this.#countersOf(call).some(({ caps }) => caps.tokens !== null || caps.nanousd !== null)
  }

  /** Notes that a call was begun with this batch. @param reserved what is held back for it */
  begin(call: WishedCall, reserved: Reservation | undefined, { mustFit }: { mustFit: boolean }): void {
    const { routeMode } = call
    const amounts = (counter: CappedCounter): Amounts =>
      amountsOfBegin({ reserved, routeMode }, { ofModel: counter.model !== '' })
    this.#changes.push({ call, counters: this.#countersOf(call), amounts, mustFit })
  }

  /** Notes that a call ended with this batch. */
  end(call: CountedCall & { readonly callId: string }, end: CountedEnd): void {
    const amounts = amountsOfEnd(end, call.reserved)
    if (isNothing(amounts)) return
    this.#changes.push({ call, counters: this.#countersOf(call), amounts: () => amounts, mustFit: false })
  }

  /** Writes what was noted; nothing is written after it. @throws Overtaken */
  async write(): Promise<void> {
    const all = new Map<string, { counter: CappedCounter; total: Amounts; fitted: Amounts }>()
    for (const { counters, amounts, mustFit } of this.#changes) {
      for (const counter of counters) {
        const { total, fitted } = all.get(counter.name) ?? { total: nothing, fitted: nothing }
        const added = amounts(counter)
        all.set(counter.name, {
          counter,
          total: sumOf(total, added),
          fitted: mustFit ? sumOf(fitted, added) : fitted,
        })
      }
    }
    const rows = [...all.values()].map(({ counter, total }) => counterRow(counter, total))
    if (rows.length === 0) return
    const written = await this.#stored.addAndRead('limit_counters', counterKey, metrics, rows)
    this.#written = new Map(written.map(row => [nameOfRow(row), row]))
    for (const [name, { counter, total, fitted }] of all) {
      const sums = this.#written.get(name) ?? nothing
      const exceeds = (metric: Metric): boolean =>
        fitted[metric] > 0 &&
        sums[metric] - total[metric] + fitted[metric] > (counter.caps[metric] ?? Number.POSITIVE_INFINITY)
      if (metrics.some(exceeds)) {
        this.#book.forgetSums()
        throw new Overtaken()
      }
      this.#book.remember(name, sums)
    }
  }

  /** What is left of the limits of a call that was begun, once that is written; undefined when none applies. */
  standingOf(callId: string): LimitStanding | undefined {
    const change = this.#changes.find(({ call }) => call.callId === callId)
    if (change === undefined) return undefined
    const least = (metric: 'requests' | 'tokens'): Remaining | undefined =>
      change.counters
        .flatMap(({ name, caps, window }): Remaining[] => {
          const limit = caps[metric]
          if (limit === null) return []
          const left = limit - (this.#written.get(name)?.[metric] ?? 0)
          return [{ limit, remaining: Math.max(0, left), resetsIn: window.end - change.call.createdAt }]
        })
        .toSorted((a, b) => a.remaining - b.remaining)[0]
    const standing = { requests: least('requests'), tokens: least('tokens') }
    return standing.requests === undefined && standing.tokens === undefined ? undefined : standing
  }

  /** The counters that a call belongs to and that are still kept. */
  #countersOf(call: CountedCall): readonly CappedCounter[] {
    const known = this.#counters.get(call)
    if (known !== undefined) return known
    const counters = this.#book.countersOf(call).filter(({ window }) => window.end + keptAfterEnd > this.#now)
    this.#counters.set(call, counters)
    return counters
  }

  /** Learns what these counters say. @throws Uncounted */
  async #look(counters: readonly CappedCounter[]): Promise<void> {
    const asked = new Map(counters.map(counter => [counter.name, counter]))
    const keys = [...asked.values()].map(counter => counterRow(counter, nothing))
    const columns = [...counterKey, ...metrics] as const
    const found = await this.#stored.find('limit_counters', counterKey, keys, columns)
    const rows = new Map(found.map(row => [nameOfRow(row), row]))
    const missing: Counter[] = []
    for (const [name, counter] of asked) {
      const row = rows.get(name)
      if (row === undefined && counter.mayBeUncounted) missing.push(counter)
      else this.#book.remember(name, row ?? nothing)
    }
    if (missing.length > 0) throw new Uncounted(missing)
  }

  #decide(wishes: readonly (readonly WishedCall[])[]): Decision[] {
    const added = new Map<string, Amounts>()
    return wishes.map(calls => {
      const own = new Map(added)
      for (const call of calls) {
        const decision = this.#decideOn(call, own)
        if (decision.kind !== 'admitted') return decision
      }
      for (const [name, amounts] of own) added.set(name, amounts)
      return { kind: 'admitted' }
    })
  }

  /** Decides on one call after those that `added` holds, and adds it to them. */
  #decideOn(call: WishedCall, added: Map<string, Amounts>): Decision {
    const { reservation } = call
    const counters = this.#countersOf(call)
    const capsAmounts = counters.some(({ caps }) => caps.tokens !== null || caps.nanousd !== null)
    if (capsAmounts && reservation === undefined) return { kind: 'unknown', wanted: 'bound' }
    if (capsAmounts && reservation?.isOpenEnded === true)
      return { kind: 'refused', refusal: { kind: 'open-ended', call } }
    if (reservation?.nanousd === undefined && counters.some(({ caps }) => caps.nanousd !== null))
      return { kind: 'refused', refusal: { kind: 'unpriced', call } }
    const excesses = counters.flatMap((counter): Excess[] => {
      const sums = sumOf(this.#book.sumOf(counter.name) ?? nothing, added.get(counter.name) ?? nothing)
      const amounts = amountsOfBegin({ ...call, reserved: reservation }, { ofModel: counter.model !== '' })
      added.set(counter.name, sumOf(added.get(counter.name) ?? nothing, amounts))
      return metrics.flatMap((metric): Excess[] => {
        const limit = counter.caps[metric]
        const used = sums[metric]
        const requested = amounts[metric]
        // What takes nothing is never too much.
        return limit === null || requested === 0 || used + requested <= limit
          ? []
          : [{ counter, metric, limit, used, requested }]
      })
    })
    // To come back before the last of them is whole again is no use.
    const [excess] = excesses.toSorted((a, b) => b.counter.window.end - a.counter.window.end)
    if (excess === undefined) return { kind: 'admitted' }
    if (reservation?.isBound === true && excesses.every(({ metric }) => metric !== 'requests'))
      return { kind: 'unknown', wanted: 'exact' }
    return { kind: 'refused', refusal: { kind: 'exceeded', call, excess } }
  }
}
