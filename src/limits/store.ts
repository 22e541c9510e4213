import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { keyText, pageLimit } from '../model/json-object.ts'
import { type Actor, addEvents, eventRow, operator } from '../store/audit-events.ts'
import type { Contents, Store } from '../store/contents.ts'
import {
  type Amounts,
  byPeriod,
  type CapChange,
  type CapName,
  capNames,
  checkCaps,
  type Metric,
  metrics,
  noCaps,
  nothing,
  unlimited,
} from './caps.ts'
import type { CounterScope, LimitScope } from './counted.ts'
import { recount } from './recount.ts'
import { readState, writeState } from './state.ts'
import { type LimitTarget, type StoredTarget, storedTarget, targetOf } from './targets.ts'
import { checkTimeZone, type Period, periods, Windows } from './windows.ts'

/** What is limited, and how much of it is used. */
export interface Limit extends LimitTarget {
  /** Only the caps that are set. */
  readonly caps: { readonly [N in CapName]?: number | 'unlimited' }
  /** How much of each is used or held back in the window of now; empty of each user, unless one of them is asked for. */
  readonly used: { readonly [N in CapName]?: number }
  /** Milliseconds since 1970, UTC. */
  readonly updatedAt: number
}

export interface LimitFilter extends LimitTarget {
  readonly limit?: number | undefined
  /** Only limits after this one, as `cursorOf` names it. */
  readonly after?: string | undefined
}

/** The limits of a store. A change of them counts for every call that begins after it, in every process. */
export function limitStore({ kysely, holding, contents }: Pick<Store, 'kysely' | 'holding' | 'contents'>) {
  return {
    /**
     * Sets caps of a target; others that it has stay. `null` takes a cap away; 'unlimited' lifts, for a user, what is set for each user.
     * @throws SteleError invalid_value
     */
    async set(target: LimitTarget, change: CapChange, by: Actor = operator): Promise<Limit> {
      const stored = storedTarget(target)
      checkCaps(change)
      const said = byPeriod(change)
      if (said.size === 0)
        throw new SteleError('invalid_value', { name: 'limits', reason: 'none of them is given' })
      const isOfUsers = stored.scope === 'user' || stored.scope === 'each_user'
      const lifted = Object.entries(change).find(([, value]) => value === 'unlimited')
      if (lifted !== undefined && !isOfUsers)
        throw new SteleError(
          'invalid_value',
          {
            name: lifted[0],
            reason: "only a user's limit can be lifted: there is none that it would replace",
          },
          { param: lifted[0] },
        )
      await holding('limits', 'alone', async tx => {
        const { timeZone, version } = await readState(tx)
        for (const [period, caps] of said) await setPeriod(tx, stored, period, caps)
        await writeState(tx, timeZone, version)
        await note(tx, contents, stored, 'limit.set', change, by)
      })
      return (
        (await find(kysely, stored)) ?? { ...targetOf(stored), caps: {}, used: {}, updatedAt: Date.now() }
      )
    },
    /** Takes all caps of a target away. @throws SteleError invalid_value, limit_not_found */
    async remove(target: LimitTarget, by: Actor = operator): Promise<void> {
      const stored = storedTarget(target)
      await holding('limits', 'alone', async tx => {
        const { timeZone, version } = await readState(tx)
        const removed = await sql`DELETE FROM limits WHERE ${isOf(stored)}`.execute(tx)
        if (Number(removed.numAffectedRows ?? 0) === 0) throw new SteleError('limit_not_found')
        for (const period of periods) await stopCounting(tx, stored, period)
        await writeState(tx, timeZone, version)
        await note(tx, contents, stored, 'limit.removed', undefined, by)
      })
    },
    /**
     * The limits that are set, in order of what they are for; those of a user with those of each user, and what that one has used of
     * them. @throws SteleError invalid_value
     */
    async list(filter: LimitFilter = {}): Promise<Limit[]> {
      const { limit, after, ...target } = filter
      const only = storedTarget(target)
      const names = await kysely
        .selectFrom('limits')
        .select(['scope', 'subject', 'model'])
        .distinct()
        .where(eb => eb.or(metrics.map(metric => eb(metric, 'is not', null))))
        .$if(only.scope !== 'global', query =>
          query.where(eb => {
            const ofTarget = eb.and([eb('scope', '=', only.scope), eb('subject', '=', only.subject)])
            return only.scope === 'user' ? eb.or([ofTarget, eb('scope', '=', 'each_user')]) : ofTarget
          }),
        )
        .$if(only.model !== '', query => query.where('model', '=', only.model))
        .$if(after !== undefined, query => query.where(afterCursor(keyText('after', after))))
        .orderBy('scope')
        .orderBy('subject')
        .orderBy('model')
        .limit(pageLimit(limit, 100))
        .execute()
      const found = await Promise.all(names.map(name => find(kysely, name as StoredTarget, filter.user)))
      return found.filter(each => each !== undefined)
    },
    /** The time zone whose days and months are counted. */
    async timeZone(): Promise<string> {
      return (await readState(kysely)).timeZone
    },
    /**
     * Counts days and months by another time zone's calendar from now on; those of now are counted anew. @throws SteleError invalid_value
     */
    async setTimeZone(timeZone: string): Promise<void> {
      const zone = checkTimeZone(timeZone)
      if ((await readState(kysely)).timeZone === zone) return
      await holding('limits', 'alone', async tx => {
        const { version, timeZone } = await readState(tx)
        await tx.deleteFrom('limit_counters').where('period', '<>', 'minute').execute()
        await tx
          .updateTable('limits')
          .set({ counted_from: Date.now() })
          .where('period', '<>', 'minute')
          .execute()
        const event = { userId: '', by: operator, action: 'limit.time_zone_changed' } as const
        await addEvents(
          tx,
          contents,
          eventRow({ ...event, details: { from: timeZone, to: zone } }, Date.now()),
        )
        await writeState(tx, zone, version)
      })
    },
  }
}

/** Names a limit among those that are listed. */
export function cursorOf(limit: LimitTarget): string {
  const { scope, subject, model } = storedTarget(limit)
  return JSON.stringify([scope, subject, model])
}

function afterCursor(cursor: string) {
  let place: unknown
  try {
    place = JSON.parse(cursor)
  } catch {}
  const [scope, subject, model] = Array.isArray(place) ? (place as unknown[]) : []
  if (typeof scope !== 'string' || typeof subject !== 'string' || typeof model !== 'string')
    throw new SteleError('invalid_value', { name: 'after', reason: 'it names no limit' }, { param: 'after' })
  return sql<boolean>`(scope, subject, model) > (${scope}, ${subject}, ${model})`
}

async function setPeriod(
  tx: Kysely<Tables>,
  target: StoredTarget,
  period: Period,
  change: Partial<Record<Metric, number | null>>,
): Promise<void> {
  const of = sql<boolean>`${isOf(target)} AND period = ${period}`
  const row = await tx.selectFrom('limits').selectAll().where(of).executeTakeFirst()
  const now = Date.now()
  const caps = { ...noCaps, ...row, ...change }
  const { requests, tokens, nanousd } = caps
  const set = { requests, tokens, nanousd, updated_at: now }
  if (row !== undefined && metrics.every(metric => caps[metric] === null)) {
    await tx.deleteFrom('limits').where(of).execute()
    await stopCounting(tx, target, period)
  } else if (row !== undefined) await tx.updateTable('limits').set(set).where(of).execute()
  else if (metrics.some(metric => caps[metric] !== null))
    await tx
      .insertInto('limits')
      .values({ ...target, period, ...set, counted_from: now })
      .execute()
}

/** Forgets the counters that no limit needs any more: they would not be kept right. */
async function stopCounting(
  tx: Kysely<Tables>,
  { scope, subject, model }: StoredTarget,
  period: Period,
): Promise<void> {
  const counted = tx
    .deleteFrom('limit_counters')
    .where('scope', '=', scope === 'each_user' ? 'user' : scope)
    .where('model', '=', model)
    .where('period', '=', period)
  if (scope !== 'user' && scope !== 'each_user') {
    await counted.where('subject', '=', subject).execute()
    return
  }
  const others = (of: LimitScope) =>
    tx
      .selectFrom('limits')
      .select('subject')
      .where('scope', '=', of)
      .where('model', '=', model)
      .where('period', '=', period)
  if (scope === 'each_user') await counted.where('subject', 'not in', others('user')).execute()
  else if ((await others('each_user').executeTakeFirst()) === undefined)
    await counted.where('subject', '=', subject).execute()
}

function isOf({ scope, subject, model }: StoredTarget) {
  return sql<boolean>`scope = ${scope} AND subject = ${subject} AND model = ${model}`
}

/** @param user whose part of a limit of each user is told */
async function find(db: Kysely<Tables>, target: StoredTarget, user?: string): Promise<Limit | undefined> {
  const rows = await db.selectFrom('limits').selectAll().where(isOf(target)).execute()
  const [first] = rows
  if (first === undefined) return undefined
  const windows = new Windows((await readState(db)).timeZone)
  const now = Date.now()
  const starts = new Map(periods.map(period => [period, windows.at(period, now).start]))
  const counted = new Map<Period, Amounts>()
  const { scope, subject, model } = target
  const counts: (StoredTarget & { readonly scope: CounterScope }) | undefined =
    scope !== 'each_user'
      ? { scope, subject, model }
      : user !== undefined
        ? { scope: 'user', subject: user, model }
        : undefined
  const counters =
    counts === undefined
      ? []
      : await db
          .selectFrom('limit_counters')
          .selectAll()
          .where(isOf(counts))
          .where('window_start', 'in', [...starts.values()])
          .execute()
  /** A limit that no call has met yet has no counter: what its calls came to before it was set is on record. */
  const amountsIn = async (period: Period): Promise<Amounts> => {
    const window = windows.at(period, now)
    const isOfNow = (row: Row<'limit_counters'>): boolean =>
      row.period === period && row.window_start === window.start
    const known = counters.find(isOfNow) ?? counted.get(period)
    if (known !== undefined) return known
    const setAt = rows.find(row => row.period === period)?.counted_from ?? 0
    const amounts =
      counts === undefined || setAt <= window.start
        ? nothing
        : await recount(db, { ...counts, period, window })
    counted.set(period, amounts)
    return amounts
  }
  const caps: { [N in CapName]?: number | 'unlimited' } = {}
  const used: { [N in CapName]?: number } = {}
  for (const name of Object.keys(capNames) as CapName[]) {
    const [period, metric] = capNames[name]
    const cap = rows.find(row => row.period === period)?.[metric] ?? null
    if (cap === null) continue
    caps[name] = cap === unlimited ? 'unlimited' : cap
    if (counts === undefined) continue
    used[name] = (await amountsIn(period))[metric]
  }
  return { ...targetOf(target), caps, used, updatedAt: Math.max(...rows.map(row => row.updated_at)) }
}

function note(
  tx: Kysely<Tables>,
  contents: Contents,
  target: StoredTarget,
  action: 'limit.set' | 'limit.removed',
  change: CapChange | undefined,
  by: Actor,
): Promise<void> {
  const event = eventRow(
    {
      userId: target.scope === 'user' ? target.subject : '',
      by,
      action,
      target: target.subject === '' ? target.scope : target.subject,
      details: { ...targetOf(target), ...(change === undefined ? {} : { caps: { ...change } }) },
    },
    Date.now(),
  )
  return addEvents(tx, contents, event)
}
