import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { countsOf } from './audit-counts.ts'
import { type AuditConditions, idAt, queuedLeaves, wheres } from './audit-queries.ts'

/** How many events there are of a day and kind. */
export interface AuditCount {
  /** YYYY-MM-DD, UTC; undefined of the events of one user, which are not counted by days. */
  readonly day: string | undefined
  readonly action: string
  readonly category: string
  readonly severity: string
  readonly events: number
}

/** Whose events are counted, and of which days: from the day of `since` to the one before that of `until`. */
export type StatsConditions = Pick<AuditConditions, 'userId' | 'since' | 'until'>

/** Counts events by day and kind: all of them from sums that are kept, those of one user one by one. */
export async function auditStats(db: Kysely<Tables>, conditions: StatsConditions): Promise<AuditCount[]> {
  const { userId, since, until } = conditions
  const queued = await queuedLeaves(db)
  if (userId !== undefined) {
    const own = queued.filter(
      leaf =>
        leaf.userId === userId &&
        (since === undefined || leaf.eventId >= idAt(since)) &&
        (until === undefined || leaf.eventId < idAt(until)),
    )
    const logged = await countsOfUser(db, conditions)
    return summed([...countsOf(own), ...logged].map(count => ({ ...count, day: undefined })))
  }
  const logged = await db.selectFrom('audit_counts').selectAll().execute()
  return summed([...countsOf(queued), ...logged]).filter(
    ({ day = '' }) =>
      (since === undefined || day >= dayAt(since)) && (until === undefined || day < dayAt(until)),
  )
}

async function countsOfUser(
  db: Kysely<Tables>,
  conditions: StatsConditions,
): Promise<Omit<AuditCount, 'day'>[]> {
  const { rows } = await sql<
    Omit<AuditCount, 'day'>
  >`SELECT l.action, l.category, l.severity, count(*) AS events
    FROM audit_log l WHERE ${sql.join(wheres(conditions), sql` AND `)} GROUP BY l.action, l.category, l.severity`.execute(
    db,
  )
  return rows
}

/** Equal kinds added up, in the order of days and kinds. */
function summed(counts: readonly AuditCount[]): AuditCount[] {
  const sums = new Map<string, AuditCount>()
  for (const count of counts) {
    const { day = '', action, category, severity } = count
    const name = `${day} ${action} ${category} ${severity}`
    sums.set(name, { ...count, events: count.events + (sums.get(name)?.events ?? 0) })
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count)
}

function dayAt(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}
