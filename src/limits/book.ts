import type { StoredBatch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { type Amounts, byPeriod, type Caps, noCaps, overriding, type PeriodCaps } from './caps.ts'
import type { CountedCall } from './charge.ts'
import { type Counted, type Counter, type LimitScope, limitName, nameOf } from './counted.ts'
import { noLimits, type Shape, stateName, stateOf } from './state.ts'
import { type Period, Windows } from './windows.ts'

/** Whoever may be counted by one kind of limit, and what is allowed. */
interface Rule extends Counted {
  readonly caps: PeriodCaps
  /** Milliseconds since 1970: from then on every call that belongs to it is counted. */
  readonly countedFrom: number
}

/** A counter that a call belongs to, and what is allowed there. */
export interface CappedCounter extends Counter {
  readonly name: string
  readonly caps: PeriodCaps
  /** Its row may be missing although calls belong to it: those of before there was a limit. */
  readonly mayBeUncounted: boolean
}

type LimitRow = Row<'limits'>

interface LimitKey {
  readonly scope: LimitScope
  readonly subject: string
  readonly model: string
  readonly period: Period
}

/** Clocks of two machines may differ by so much, in milliseconds. */
const clockTolerance = 120_000

/** Beyond this what is remembered is forgotten: looking it up again costs little. */
const mostRemembered = 50_000

/** Limits that this process is configured with are not counted by all processes yet. */
export class NotCounted extends Error {}

/**
 * The limits as a writer knows them. What it knows is of one version, which every batch looks at in its own transaction: a change
 * counts from the first batch on that is begun after it.
 */
export class LimitBook {
  /** Caps for each user where the database says nothing else: those of this process's configuration. */
  readonly #configured: ReadonlyMap<Period, PeriodCaps>
  #state = noLimits
  #windows = new Windows(noLimits.timeZone)
  readonly #limits = new Map<string, LimitRow | null>()
  readonly #rules = new Map<string, readonly Rule[]>()
  /** The counters of callers, for calls that begin from a time on and before another. */
  readonly #counters = new Map<
    string,
    { readonly from: number; readonly until: number; readonly counters: readonly CappedCounter[] }
  >()
  /** What counters said when they were last written: good for a guess that is checked. */
  readonly #sums = new Map<string, Amounts>()

  constructor(configured: Caps = {}) {
    this.#configured = new Map(
      [...byPeriod(configured)].map(([period, caps]) => [period, { ...noCaps, ...caps }]),
    )
  }

  get version(): number {
    return this.#state.version
  }

  /** Whether there is no limit of any kind, as far as is known. */
  get isEmpty(): boolean {
    return this.#state.shapes.length === 0 && this.#configured.size === 0
  }

  /** Whether a call may have to say what it may take. */
  get reserves(): boolean {
    const configured = [...this.#configured.values()]
    return (
      this.#state.shapes.some(({ reserves }) => reserves) ||
      configured.some(({ tokens, nanousd }) => tokens !== null || nanousd !== null)
    )
  }

  /** The periods that configured caps need to be counted in. */
  get configuredPeriods(): readonly Period[] {
    return [...this.#configured.keys()]
  }

  /** Learns how the limits stand now; they stay so until the batch is committed. @throws NotCounted */
  async refresh(stored: StoredBatch): Promise<void> {
    const [, [row]] = await Promise.all([
      stored.share('limits'),
      stored.find('limit_state', ['name'], [{ name: stateName }], ['version', 'time_zone', 'shapes']),
    ])
    if ((row?.version ?? 0) !== this.#state.version) {
      this.#state = stateOf(row)
      this.#windows = new Windows(this.#state.timeZone)
      this.#limits.clear()
      this.#rules.clear()
      this.#counters.clear()
      this.#sums.clear()
    }
    const isCounted = (period: Period): boolean =>
      this.#state.shapes.some(each => each.scope === 'each_user' && !each.ofModel && each.period === period)
    if (!this.configuredPeriods.every(isCounted)) throw new NotCounted()
  }

  /** Looks up what of the limits these calls need to know and is not known yet. */
  async load(stored: StoredBatch, calls: readonly CountedCall[]): Promise<void> {
    if (this.#limits.size > mostRemembered) this.#limits.clear()
    if (this.#rules.size > mostRemembered) this.#rules.clear()
    const unknown = new Map<string, LimitKey>()
    for (const call of calls) {
      if (this.#rules.has(callerOf(call))) continue
      for (const shape of this.#state.shapes) {
        const key = limitOf(shape, call)
        if (key === undefined) continue
        const name = limitName(shape.scope, key.subject, key.model, key.period)
        if (!this.#limits.has(name)) unknown.set(name, key)
      }
    }
    if (unknown.size === 0) return
    const key = ['scope', 'subject', 'model', 'period'] as const
    const columns = [...key, 'requests', 'tokens', 'nanousd', 'counted_from', 'updated_at'] as const
    const rows = await stored.find('limits', key, [...unknown.values()], columns)
    for (const name of unknown.keys()) this.#limits.set(name, null)
    for (const row of rows)
      this.#limits.set(limitName(row.scope as LimitScope, row.subject, row.model, row.period as Period), row)
  }

  /** Whether a limit that is known of, or one that is not looked up yet, may apply to a call. */
  mayApplyTo(call: CountedCall): boolean {
    return this.#state.shapes.some(shape => {
      const key = limitOf(shape, call)
      return (
        key !== undefined &&
        this.#limits.get(limitName(shape.scope, key.subject, key.model, key.period)) !== null
      )
    })
  }

  /** The counters that a call belongs to. What they need is loaded. Calls that do not differ to limits share them. */
  countersOf(call: CountedCall): readonly CappedCounter[] {
    const caller = callerOf(call)
    const known = this.#counters.get(caller)
    if (known !== undefined && call.createdAt >= known.from && call.createdAt < known.until)
      return known.counters
    const counters = this.#rulesFor(caller, call).map((rule): CappedCounter => {
      const window = this.#windows.at(rule.period, call.createdAt)
      const counter = { ...rule, window }
      const mayBeUncounted = window.start < rule.countedFrom + clockTolerance
      return { ...counter, name: nameOf(counter), mayBeUncounted }
    })
    const from = Math.max(...counters.map(({ window }) => window.start))
    const until = Math.min(...counters.map(({ window }) => window.end))
    if (this.#counters.size > mostRemembered) this.#counters.clear()
    this.#counters.set(caller, { from, until, counters })
    return counters
  }

  sumOf(name: string): Amounts | undefined {
    return this.#sums.get(name)
  }

  remember(name: string, sums: Amounts): void {
    if (this.#sums.size > mostRemembered) this.#sums.clear()
    this.#sums.set(name, sums)
  }

  forgetSums(): void {
    this.#sums.clear()
  }

  #rulesFor(caller: string, call: CountedCall): readonly Rule[] {
    const known = this.#rules.get(caller)
    if (known !== undefined) return known
    const kinds = new Map<string, Rule>()
    for (const { scope, ofModel, period } of this.#state.shapes) {
      const model = ofModel ? call.requestModel : ''
      const rule =
        scope === 'global'
          ? this.#rule({ scope, subject: '', model, period }, [this.#limit(scope, '', model, period)])
          : scope === 'key'
            ? this.#ruleOfKey(call.apiKeyId, model, period)
            : this.#ruleOfUser(call.userId, model, period)
      if (rule !== undefined) kinds.set(`${rule.scope} ${ofModel} ${period}`, rule)
    }
    const rules = [...kinds.values()]
    this.#rules.set(caller, rules)
    return rules
  }

  #ruleOfKey(apiKeyId: string | undefined, model: string, period: Period): Rule | undefined {
    if (apiKeyId === undefined) return undefined
    const counted = { scope: 'key', subject: apiKeyId, model, period } as const
    return this.#rule(counted, [this.#limit('key', apiKeyId, model, period)])
  }

  #ruleOfUser(userId: string, model: string, period: Period): Rule | undefined {
    const limits = [this.#limit('user', userId, model, period), this.#limit('each_user', '', model, period)]
    const configured = model === '' ? this.#configured.get(period) : undefined
    return this.#rule({ scope: 'user', subject: userId, model, period }, limits, configured)
  }

  #rule(
    counted: Counted,
    limits: readonly (LimitRow | undefined)[],
    configured?: PeriodCaps,
  ): Rule | undefined {
    const found = limits.filter(limit => limit !== undefined)
    if (found.length === 0) return undefined
    const countedFrom = Math.min(...found.map(({ counted_from }) => counted_from))
    return { ...counted, caps: overriding(...found, configured), countedFrom }
  }

  #limit(scope: LimitScope, subject: string, model: string, period: Period): LimitRow | undefined {
    return this.#limits.get(limitName(scope, subject, model, period)) ?? undefined
  }
}

/** All by which calls differ to limits. */
function callerOf({ userId, apiKeyId = '', requestModel }: CountedCall): string {
  return `${apiKeyId} ${requestModel.length} ${requestModel} ${userId}`
}

/** The limit of this kind that would apply to a call. */
function limitOf(
  { scope, ofModel, period }: Shape,
  { userId, apiKeyId, requestModel }: CountedCall,
): LimitKey | undefined {
  const subject = scope === 'user' ? userId : scope === 'key' ? apiKeyId : ''
  return subject === undefined ? undefined : { scope, subject, model: ofModel ? requestModel : '', period }
}
