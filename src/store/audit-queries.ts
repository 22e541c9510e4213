import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { lowestIdAt } from '../ids.ts'
import type { AuditCategory, AuditSeverity } from '../model/audit-actions.ts'
import { genuineLeaves, isUnsigned, type Leaf, unsignedLeaves } from './audit-queue.ts'
import type { Reading } from './contents.ts'

/** Which events are meant; those of which all that is said holds. */
export interface AuditConditions {
  /** Whom they concern; '' for events that concern nobody. */
  readonly userId?: string | undefined
  /** As in `login.failed`; of what an application said `app.` and its type. */
  readonly action?: string | undefined
  readonly category?: AuditCategory | undefined
  readonly severity?: AuditSeverity | undefined
  readonly outcome?: string | undefined
  /** Who did it. Without a user, beginnings and ends of calls are not looked through for it. */
  readonly actor?: string | undefined
  /** What they are about, as an id. The same holds. */
  readonly target?: string | undefined
  /** Written at or after this time, and before that one, in milliseconds since 1970, UTC. */
  readonly since?: number | undefined
  readonly until?: number | undefined
}

/** Where an event is in the log. */
export interface LogPlace {
  readonly leaf_index: number
  readonly event_id: string
  readonly user_id: string
}

/** Only places before the one and after the other. */
export interface LogStretch {
  readonly below: number
  readonly above?: number | undefined
}

const calls: ReadonlySet<string> = new Set(['call.begun', 'call.settled'])

/** In the words of the partial indexes, which are used where a query says the same. */
const isNoCall = sql<boolean>`l.action NOT IN ('call.begun', 'call.settled')`
const isNoCallEvent = sql<boolean>`e.action NOT IN ('call.begun', 'call.settled')`

/**
 * Places in the log of events that fulfil the conditions, the newest first. Of `outcome`, and of `actor` and `target` together
 * with a user, `isMeant` has to be asked of the events themselves.
 */
export async function placesOf(
  kysely: Kysely<Tables>,
  conditions: AuditConditions,
  { limit, ...stretch }: LogStretch & { readonly limit: number },
): Promise<LogPlace[]> {
  const { rows } = await sql<LogPlace>`${placesQuery(conditions, stretch)} LIMIT ${limit}`.execute(kysely)
  return rows
}

/** The query of `placesOf`. */
export function placesQuery(conditions: AuditConditions, { above, below }: LogStretch): RawBuilder<LogPlace> {
  const { actor, target, userId } = conditions
  const where = sql.join(
    [
      sql`l.leaf_index < ${below}`,
      ...(above === undefined ? [] : [sql`l.leaf_index > ${above}`]),
      ...wheres(conditions),
    ],
    sql` AND `,
  )
  const columns = sql`l.leaf_index, l.event_id, l.user_id`
  if (userId !== undefined || (actor === undefined && target === undefined))
    return sql`SELECT ${columns} FROM audit_log l WHERE ${where} ORDER BY l.leaf_index DESC`
  const found = sql.join(
    [
      isNoCallEvent,
      ...(target === undefined ? [] : [sql`e.target = ${target}`]),
      ...(actor === undefined ? [] : [sql`e.actor = ${actor}`]),
    ],
    sql` AND `,
  )
  return sql`SELECT ${columns} FROM audit_events e JOIN audit_log l ON l.event_id = e.id AND l.user_id = e.user_id
    WHERE ${found} AND ${where} ORDER BY l.leaf_index DESC`
}

/** What the log itself says of its events. */
export function wheres({
  userId,
  action,
  category,
  severity,
  since,
  until,
}: AuditConditions): RawBuilder<boolean>[] {
  // Of the mass of calls there are no entries in the index of actions, nor in that of categories but for theirs.
  const isFew =
    (action !== undefined && !calls.has(action)) || (category !== undefined && category !== 'access')
  return [
    ...(userId === undefined ? [] : [sql<boolean>`l.user_id = ${userId}`]),
    ...(action === undefined ? [] : [sql<boolean>`l.action = ${action}`]),
    ...(category === undefined ? [] : [sql<boolean>`l.category = ${category}`]),
    ...(isFew ? [isNoCall] : []),
    ...(severity === undefined ? [] : [sql<boolean>`l.severity = ${severity}`]),
    ...(severity === undefined || severity === 'info' ? [] : [sql<boolean>`l.severity <> 'info'`]),
    ...(since === undefined ? [] : [sql<boolean>`l.event_id >= ${idAt(since)}`]),
    ...(until === undefined ? [] : [sql<boolean>`l.event_id < ${idAt(until)}`]),
  ]
}

/** The lowest id of an event of this time. */
export function idAt(time: number): string {
  return lowestIdAt('audit', Math.max(0, Math.trunc(time)))
}

/** Whether an event is meant; of what is not in the log yet nothing else says so. */
export function isMeant(
  conditions: AuditConditions,
  event: Tables['audit_events'] | Row<'audit_events'>,
): boolean {
  const { userId, action, category, severity, outcome, actor, target, since, until } = conditions
  const isSame = (asked: string | undefined, found: string | null): boolean =>
    asked === undefined || asked === found
  return (
    isSame(userId, event.user_id) &&
    isSame(action, event.action) &&
    isSame(category, event.category) &&
    isSame(severity, event.severity) &&
    isSame(outcome, event.outcome) &&
    isSame(actor, event.actor) &&
    isSame(target, event.target) &&
    (since === undefined || event.id >= idAt(since)) &&
    (until === undefined || event.id < idAt(until)) &&
    ((actor === undefined && target === undefined) || userId !== undefined || !calls.has(event.action))
  )
}

/** Rows of the queue that are looked at: what waits longer than for its second is told when it is in the log. */
const mostQueued = 1_000

/** What waits for the log, the newest first. @throws SteleError audit_log_broken for what nobody with the keys has queued */
export async function queuedLeaves({ kysely, contents }: Reading): Promise<Leaf[]> {
  const rows = await kysely
    .selectFrom('audit_queue')
    .selectAll()
    .where('id', '>=', lowestIdAt('auditQueue', 0))
    .orderBy('id', 'desc')
    .limit(mostQueued)
    .execute()
  const leaves: Leaf[] = []
  for (const row of rows) {
    const queued = isUnsigned(row)
      ? await unsignedLeaves(row, async names => {
          const places = names.map(({ id, user_id }) => ({ event_id: id, user_id }))
          const events = await eventsAt(kysely, places)
          return places.flatMap(place => events.get(nameOf(place.event_id, place.user_id)) ?? [])
        })
      : genuineLeaves(contents, row)
    if (queued === undefined && (await isThere(kysely, row)))
      throw new SteleError('audit_log_broken', {
        reason: `what is queued as ${row.id} is not what was written`,
      })
    // Within a row they stand in the order in which the log takes them.
    leaves.push(...(queued ?? []).reverse())
  }
  return leaves
}

/** Whether a row of the queue still waits: with it, what it is of may have been taken elsewhere between two looks. */
async function isThere(kysely: Kysely<Tables>, { id }: Tables['audit_queue']): Promise<boolean> {
  return (
    (await kysely.selectFrom('audit_queue').select('id').where('id', '=', id).executeTakeFirst()) !==
    undefined
  )
}

/** Events by their ids and users, in any order, as they are stored. */
export async function eventsAt(
  kysely: Kysely<Tables>,
  places: readonly { readonly event_id: string; readonly user_id: string }[],
): Promise<Map<string, Tables['audit_events']>> {
  if (places.length === 0) return new Map()
  const rows = await kysely
    .selectFrom('audit_events')
    .selectAll()
    .where(
      'id',
      'in',
      places.map(place => place.event_id),
    )
    .execute()
  return new Map(rows.map(row => [nameOf(row.id, row.user_id), row]))
}

/** Tells events apart, and calls: those of different users may have the same id. No two have one name, whatever somebody has written there. */
export function nameOf(id: string, userId: string): string {
  return `${id.length} ${id} ${userId}`
}
