import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { countsOf } from './audit-counts.ts'
import { type AuditConditions, idAt, queuedLeaves, wheres } from './audit-queries.ts'
import type { Leaf } from './audit-queue.ts'
import type { Reading } from './contents.ts'

/** How many events there are of a day and kind. */
export interface AuditCount {
  /** YYYY-MM-DD, UTC; undefined of the events of one user, which are not counted by days. */
  readonly day: string | undefined
  readonly action: string
  readonly category: string
  readonly severity: string
  readonly events: number
  /** How many of them wait for the log: nothing proves them yet. */
  readonly pending: number
}

/** Whose events are counted, and of which days: from the day of `since` to the one before that of `until`. */
export type StatsConditions = Pick<AuditConditions, 'userId' | 'since' | 'until'>

/** Counts events by day and kind: all of them from sums that are kept, those of one user one by one. */
export async function auditStats(reading: Reading, conditions: StatsConditions): Promise<AuditCount[]> {
  const { kysely: db } = reading
  const { userId, since, until } = conditions
  const queued = await queuedLeaves(reading)
  if (userId !== undefined) {
    const own = queued.filter(
      leaf =>
        leaf.userId === userId &&
        (since === undefined || leaf.eventId >= idAt(since)) &&
        (until === undefined || leaf.eventId < idAt(until)),
    )
    const logged = await countsOfUser(db, conditions)
    return summed([...waiting(own), ...logged].map(count => ({ ...count, day: undefined })))
  }
  const logged = await db.selectFrom('audit_counts').selectAll().execute()
  return summed([...waiting(queued), ...logged.map(inLog)]).filter(
    ({ day = '' }) =>
      (since === undefined || day >= dayAt(since)) && (until === undefined || day < dayAt(until)),
  )
}

async function countsOfUser(
  db: Kysely<Tables>,
  conditions: StatsConditions,
): Promise<Omit<AuditCount, 'day'>[]> {
  const { rows } = await sql<
    Omit<AuditCount, 'day' | 'pending'>
  >`SELECT l.action, l.category, l.severity, count(*) AS events
    FROM audit_log l WHERE ${sql.join(wheres(conditions), sql` AND `)} GROUP BY l.action, l.category, l.severity`.execute(
    db,
  )
  return rows.map(inLog)
}

function waiting(leaves: readonly Leaf[]): AuditCount[] {
  return countsOf(leaves).map(count => ({ ...count, pending: count.events }))
}

function inLog<C extends object>(count: C): C & { readonly pending: number } {
  return { ...count, pending: 0 }
}

/** Equal kinds added up, in the order of days and kinds. */
function summed(counts: readonly AuditCount[]): AuditCount[] {
  const sums = new Map<string, AuditCount>()
  for (const count of counts) {
    const { day = '', action, category, severity } = count
    const name = `${day} ${action} ${category} ${severity}`
    const { events = 0, pending = 0 } = sums.get(name) ?? {}
    sums.set(name, { ...count, events: count.events + events, pending: count.pending + pending })
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count)
}

function dayAt(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}
