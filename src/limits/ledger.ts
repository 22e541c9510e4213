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
  | { readonly kind: 'open-ended'; readonly call: WishedCall; readonly missing: string }

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

/** What this batch adds to a counter. */
interface Addition {
  readonly counter: CappedCounter
  readonly total: Record<Metric, number>
  /** The part of it that was let in because it fits, which must still be so when it is written. */
  readonly fitted: Record<Metric, number>
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
  readonly #additions = new Map<string, Addition>()
  readonly #begun = new Map<string, WishedCall>()
  readonly #now = Date.now()

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
    this.#begun.set(call.callId, call)
    for (const counter of this.#countersOf(call))
      this.#add(counter, amountsOfBegin({ reserved, routeMode }, { ofModel: counter.model !== '' }), mustFit)
  }

  /** Notes that a call ended with this batch. */
  end(call: CountedCall, end: CountedEnd): void {
    const amounts = amountsOfEnd(end, call.reserved)
    if (isNothing(amounts)) return
    for (const counter of this.#countersOf(call)) this.#add(counter, amounts, false)
  }

  #add(counter: CappedCounter, amounts: Amounts, mustFit: boolean): void {
    let addition = this.#additions.get(counter.name)
    if (addition === undefined) {
      addition = { counter, total: { ...nothing }, fitted: { ...nothing } }
      this.#additions.set(counter.name, addition)
    }
    for (const metric of metrics) {
      addition.total[metric] += amounts[metric]
      if (mustFit) addition.fitted[metric] += amounts[metric]
    }
  }

  /** Writes what was noted; nothing is written after it. @throws Overtaken */
  async write(): Promise<void> {
    if (this.#additions.size === 0) return
    const rows = Array.from(this.#additions.values(), ({ counter, total }) => counterRow(counter, total))
    const written = await this.#stored.addAndRead('limit_counters', counterKey, metrics, rows)
    for (const row of written) {
      const name = nameOfRow(row)
      const addition = this.#additions.get(name)
      if (addition === undefined || !exceeds(row, addition)) {
        this.#book.remember(name, row)
        continue
      }
      this.#book.forgetSums()
      throw new Overtaken()
    }
  }

  /** What is left of the limits of calls that were begun together, once that is written; undefined when none applies. */
  standingOf(calls: readonly Pick<WishedCall, 'callId'>[]): LimitStanding | undefined {
    const begun = calls.flatMap(({ callId }) => this.#begun.get(callId) ?? [])
    const [first] = begun
    if (first === undefined) return undefined
    const counters =
      begun.length === 1 ? this.#countersOf(first) : begun.flatMap(call => this.#countersOf(call))
    const requests = this.#least('requests', counters, first.createdAt)
    const tokens = this.#least('tokens', counters, first.createdAt)
    return requests === undefined && tokens === undefined ? undefined : { requests, tokens }
  }

  #least(
    metric: 'requests' | 'tokens',
    counters: readonly CappedCounter[],
    at: number,
  ): Remaining | undefined {
    let least: Remaining | undefined
    for (const { name, caps, window } of counters) {
      const limit = caps[metric]
      if (limit === null) continue
      const remaining = Math.max(0, limit - (this.#book.sumOf(name)?.[metric] ?? 0))
      if (least === undefined || remaining < least.remaining)
        least = { limit, remaining, resetsIn: window.end - at }
    }
    return least
  }

  /** The counters that a call belongs to and that are still kept. */
  #countersOf(call: CountedCall): readonly CappedCounter[] {
    const counters = this.#book.countersOf(call)
    const isKept = ({ window }: CappedCounter): boolean => window.end + keptAfterEnd > this.#now
    return counters.every(isKept) ? counters : counters.filter(isKept)
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
    const capsMoney = counters.some(({ caps }) => caps.nanousd !== null)
    const missing = reservation?.missingBound ?? (capsMoney ? reservation?.missingToolBound : undefined)
    if (capsAmounts && missing !== undefined)
      return { kind: 'refused', refusal: { kind: 'open-ended', call, missing } }
    if (reservation?.nanousd === undefined && capsMoney)
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

/** Whether a counter is beyond its cap although all that was let in seemed to fit. */
function exceeds(sums: Amounts, { counter, total, fitted }: Addition): boolean {
  return metrics.some(metric => {
    const cap = counter.caps[metric]
    return cap !== null && fitted[metric] > 0 && sums[metric] - total[metric] + fitted[metric] > cap
  })
}
