import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../../db/tables.ts'
import { countsOf } from '../../store/audit-counts.ts'
import type { Leaf } from '../../store/audit-queue.ts'
import { Fault } from './verdict.ts'

/** Kinds of days that are counted one by one; of a log that has more the others are counted together. */
const mostKinds = 100_000

/** Rows that are read at once. */
const atATime = 2_000

/** Counts the events of a log anew, as the sums behind its statistics have them. */
export class CountCheck {
  readonly #counted = new Map<string, Row<'audit_counts'>>()
  #others = 0

  add(leaves: readonly Leaf[]): void {
    for (const row of countsOf(leaves)) {
      const name = nameOf(row)
      const known = this.#counted.get(name)
      if (known !== undefined) known.events += row.events
      else if (this.#counted.size < mostKinds) this.#counted.set(name, row)
      else this.#others += row.events
    }
  }

  /** To be called when all are counted. @throws Fault that names a difference */
  async compare(db: Kysely<Tables>): Promise<void> {
    let others = 0
    for await (const row of countRows(db)) {
      const name = nameOf(row)
      const counted = this.#counted.get(name)
      if (counted === undefined && this.#counted.size >= mostKinds) others += row.events
      else if (counted?.events !== row.events) throw different(row, counted?.events ?? 0)
      this.#counted.delete(name)
    }
    const [left] = this.#counted.values()
    if (left !== undefined) throw different({ ...left, events: 0 }, left.events)
    if (others !== this.#others)
      throw new Fault({
        reason: `the sums count ${others} events of rare kinds, and the log has ${this.#others}`,
      })
  }
}

async function* countRows(db: Kysely<Tables>): AsyncGenerator<Row<'audit_counts'>> {
  for (let after = ['', '', '', '']; ; ) {
    const { rows } = await sql<Row<'audit_counts'>>`
      SELECT day, action, category, severity, events FROM audit_counts
      WHERE (day, action, category, severity) > (${sql.join(after)})
      ORDER BY day, action, category, severity LIMIT ${atATime}`.execute(db)
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < atATime) return
    after = [last.day, last.action, last.category, last.severity]
  }
}

function different({ day, action, category, severity, events }: Row<'audit_counts'>, counted: number): Fault {
  const kind = `${action} (${category}, ${severity})`
  return new Fault({
    reason: `the sums count ${events} events ${kind} of ${day}, and the log has ${counted}`,
  })
}

function nameOf({ day, action, category, severity }: Row<'audit_counts'>): string {
  return `${day} ${action} ${category} ${severity}`
}
