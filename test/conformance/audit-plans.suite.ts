import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { eventRow, type NewEvent } from '../../src/store/audit-events.ts'
import { type AuditConditions, placesQuery } from '../../src/store/audit-queries.ts'
import type { Bed } from '../harness/databases.ts'
import { inBatch } from '../harness/rows.ts'

const queries: readonly (readonly [AuditConditions, RegExp])[] = [
  [{}, /audit_log_pkey|INTEGER PRIMARY KEY/],
  [{ userId: 'user-7' }, /audit_log_user/],
  [{ userId: 'user-7', severity: 'info' }, /audit_log_user/],
  [{ action: 'login.failed' }, /audit_log_action/],
  [{ category: 'security' }, /audit_log_category|audit_log_severity/],
  [{ severity: 'error' }, /audit_log_severity/],
  [{ severity: 'critical' }, /audit_log_severity/],
  [{ target: 'key_1' }, /audit_events\w*target/],
  [{ actor: 'root' }, /audit_events\w*actor/],
]

/** Of so many events one in a hundred is no call, and of these one in five a login: no two indexes are as good for one question. */
const events = 6_000

function happened(n: number): Pick<NewEvent, 'action' | 'severity'> {
  if (n % 1_000 === 0) return { action: 'login.failed', severity: 'error' }
  if (n % 500 === 0) return { action: 'login.failed', severity: 'warning' }
  if (n % 100 === 0) return { action: 'limit.set', severity: 'warning' }
  return { action: 'call.settled' }
}

export function auditPlansSuite(bed: Bed): void {
  test('each documented question is answered by an index, among many calls', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    const { kysely } = stele.database
    const rows = Array.from({ length: events }, (_, n) => {
      const userId = `user-${n % 2_000}`
      const about = { userId, by: n % 200 === 0 ? 'root' : 'key_x', target: `key_${n}` }
      return eventRow({ ...about, ...happened(n) }, n)
    })
    await inBatch(stele, batch => batch.insert('audit_events', rows))
    const logged = rows.map((row, leaf_index) => ({
      leaf_index,
      event_id: row.id,
      user_id: row.user_id,
      action: row.action,
      category: row.category,
      severity: row.severity,
      salt: Buffer.alloc(16),
      commitment: Buffer.alloc(32),
    }))
    await inBatch(stele, batch => batch.insert('audit_log', logged))
    await sql`ANALYZE`.execute(kysely)
    for (const [conditions, index] of queries) {
      const query = sql`${placesQuery(conditions, { below: events })} LIMIT 50`
      const explain = bed.name === 'PostgreSQL' ? sql`EXPLAIN ${query}` : sql`EXPLAIN QUERY PLAN ${query}`
      const plan = JSON.stringify((await explain.execute(kysely)).rows)
      expect(plan, JSON.stringify(conditions)).toMatch(index)
      expect(plan, JSON.stringify(conditions)).not.toContain('Seq Scan on audit_log')
    }
  })
}
