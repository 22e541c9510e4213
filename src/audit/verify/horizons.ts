import { objectFrom } from '../../model/json-object.ts'
import { cutoffsAt, type PolicyRow, type RetentionDefaults } from '../../retention/periods.ts'
import type { Act, LoggedActs } from './acts.ts'

/** What a run of the retention has let go of a user: what was made before these times, in milliseconds since 1970. */
interface Horizon {
  /** The place of the run in the log. */
  readonly index: number
  readonly content: number
  readonly metadata: number
}

interface Run {
  readonly index: number
  readonly isEnd: boolean
  readonly now: number
  /** Those of everybody; undefined of a run of a version that did not tell them. */
  readonly periods: RetentionDefaults | undefined
}

interface Policy {
  readonly index: number
  /** Undefined where everybody's periods hold. */
  readonly row: PolicyRow | undefined
}

/** Beginnings and ends of runs that are held, the newest; the users whose horizons are; and the policies that are looked at of each. */
const mostRuns = 100_000
const mostUsers = 5_000
const mostPolicies = 100

/** Tells what had expired for whom, by the runs and the policies that the log tells of. */
export class RetentionHorizons {
  readonly #acts: LoggedActs
  #runs: Promise<readonly Run[]> | undefined
  #everybody: readonly Horizon[] | undefined
  readonly #known = new Map<string, readonly Horizon[]>()

  constructor(acts: LoggedActs) {
    this.#acts = acts
  }

  /** Whether a run behind `index` has let go what was made of a user at this time. */
  async covers(userId: string, index: number, time: number, kind: 'content' | 'metadata'): Promise<boolean> {
    const horizons = await this.#of(userId)
    return horizons.some(horizon => horizon.index > index && time < horizon[kind])
  }

  async #of(userId: string): Promise<readonly Horizon[]> {
    const known = this.#known.get(userId)
    if (known !== undefined) return known
    this.#runs ??= this.#readRuns()
    const runs = await this.#runs
    const policies = await this.#policiesOf(userId)
    this.#everybody ??= horizonsUnder(runs, [])
    const horizons = policies.length === 0 ? this.#everybody : horizonsUnder(runs, policies)
    if (this.#known.size >= mostUsers) this.#known.clear()
    this.#known.set(userId, horizons)
    return horizons
  }

  async #policiesOf(userId: string): Promise<Policy[]> {
    const set = await this.#acts.about('retention.set', userId)
    const unset = await this.#acts.about('retention.unset', userId)
    return [...set, ...unset]
      .sort((a, b) => a.index - b.index)
      .slice(-mostPolicies)
      .map(({ index, event }) => ({
        index,
        row: event.action === 'retention.set' ? policyIn(userId, event.details) : undefined,
      }))
  }

  /** In the order of the log. */
  async #readRuns(): Promise<readonly Run[]> {
    const runs: Run[] = []
    for (const action of ['retention.begun', 'retention.run'] as const) {
      let count = 0
      for await (const act of this.#acts.all(action)) {
        const run = runOf(act)
        if (run !== undefined) runs.push(run)
        if (++count >= mostRuns / 2) break
      }
    }
    return runs.sort((a, b) => a.index - b.index)
  }
}

/** A run goes by the policy of its time, and by one that was set before it ended. */
function horizonsUnder(runs: readonly Run[], policies: readonly Policy[]): readonly Horizon[] {
  const horizons: Horizon[] = []
  let at = -1
  let previous: Run | undefined
  for (const run of runs) {
    for (let next = policies[at + 1]; next !== undefined && next.index < run.index; next = policies[at + 1]) {
      if (previous?.isEnd === false) horizons.push(horizonOf(previous, next.row))
      at++
    }
    horizons.push(horizonOf(run, policies[at]?.row))
    previous = run
  }
  if (previous?.isEnd === false)
    for (const { row } of policies.slice(at + 1)) horizons.push(horizonOf(previous, row))
  return withoutNarrower(horizons)
}

/** A run of a version that did not tell its periods may have let go all that was there: it explains what came before it. */
function horizonOf({ index, now, periods }: Run, row: PolicyRow | undefined): Horizon {
  if (periods === undefined) return { index, content: now, metadata: now }
  const { content, metadata } = cutoffsAt(now, periods, row)
  return { index, content, metadata }
}

function runOf({ index, event }: Act): Run | undefined {
  const { now, periods } = objectFrom(event.details) ?? {}
  if (typeof now !== 'number') return undefined
  return {
    index,
    isEnd: event.action === 'retention.run',
    now,
    periods: periods === undefined ? undefined : defaultsIn(periods),
  }
}

function defaultsIn(periods: unknown): RetentionDefaults {
  const { content_days, metadata_days } = periods as Readonly<Record<string, unknown>>
  return { contentDays: daysIn(content_days) ?? undefined, metadataDays: daysIn(metadata_days) ?? undefined }
}

function policyIn(userId: string, details: string | null): PolicyRow {
  const { content_days, metadata_days, inactive_days } = objectFrom(details) ?? {}
  return {
    user_id: userId,
    content_days: daysIn(content_days),
    metadata_days: daysIn(metadata_days),
    inactive_days: daysIn(inactive_days),
  }
}

function daysIn(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

/** Without runs of which a later one has let go the same and more. */
function withoutNarrower(horizons: readonly Horizon[]): readonly Horizon[] {
  const kept: Horizon[] = []
  for (const one of horizons.toSorted((a, b) => b.index - a.index))
    if (!kept.some(({ content, metadata }) => content >= one.content && metadata >= one.metadata))
      kept.push(one)
  return kept
}
