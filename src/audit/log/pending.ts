import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import { eventsAt, nameOf } from '../../store/audit-queries.ts'
import { genuineLeaves, isUnsigned, type Leaf, unsignedLeaves } from '../../store/audit-queue.ts'
import type { Reading } from '../../store/contents.ts'
import { isBacklog } from './backlog.ts'

/** Rows that are read at once. */
const atATime = 1_000

/** What the queue has, in its order, a row at a time; undefined for a row that is not as it was written. */
export async function* queuedLeaves({ kysely: db, contents }: Reading): AsyncGenerator<Leaf[] | undefined> {
  for (let after = ''; ; ) {
    const rows = await db
      .selectFrom('audit_queue')
      .selectAll()
      .where('id', '>', after)
      .orderBy('id')
      .limit(atATime)
      .execute()
    for (const row of rows)
      if (!isBacklog(row.id))
        yield isUnsigned(row)
          ? await unsignedLeaves(row, names => eventsNamed(db, names))
          : genuineLeaves(contents, row)
    const last = rows.at(-1)
    if (last === undefined || rows.length < atATime) return
    after = last.id
  }
}

async function eventsNamed(
  db: Kysely<Tables>,
  names: readonly EventName[],
): Promise<Tables['audit_events'][]> {
  const places = names.map(({ id, user_id }) => ({ event_id: id, user_id }))
  const events = await eventsAt(db, places)
  return places.flatMap(place => events.get(nameOf(place.event_id, place.user_id)) ?? [])
}

export interface EventName {
  readonly id: string
  readonly user_id: string
}

/** Events in a stretch of the table that is looked at at once. */
const stretch = 20_000

/** Events that the log does not have, a stretch of the table after the other. */
export async function* unloggedEvents(db: Kysely<Tables>): AsyncGenerator<EventName[]> {
  for (let after = ''; ; ) {
    const last = await db
      .selectFrom('audit_events')
      .select('id')
      .where('id', '>', after)
      .orderBy('id')
      .offset(stretch - 1)
      .limit(1)
      .executeTakeFirst()
    yield await db
      .selectFrom('audit_events as event')
      .select(['event.id', 'event.user_id'])
      .where('event.id', '>', after)
      .$if(last !== undefined, query => query.where('event.id', '<=', last?.id ?? ''))
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('audit_log as log')
              .select('log.leaf_index')
              .whereRef('log.event_id', '=', 'event.id')
              .whereRef('log.user_id', '=', 'event.user_id'),
          ),
        ),
      )
      .orderBy('event.id')
      .execute()
    if (last === undefined) return
    after = last.id
  }
}

/** How many rows the tables of the log have. */
export async function countLog(
  db: Kysely<Tables>,
): Promise<{ readonly leaves: number; readonly tiles: number; readonly checkpoints: number }> {
  const count = async (table: 'audit_log' | 'audit_tiles' | 'audit_checkpoints'): Promise<number> => {
    const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM ${sql.table(table)}`.execute(
      db,
    )
    return Number(rows[0]?.count ?? 0)
  }
  return {
    leaves: await count('audit_log'),
    tiles: await count('audit_tiles'),
    checkpoints: await count('audit_checkpoints'),
  }
}

/** An event that the log has twice, if there is one. */
export async function loggedTwice(db: Kysely<Tables>): Promise<EventName | undefined> {
  const row = await db
    .selectFrom('audit_log')
    .select(['event_id', 'user_id'])
    .groupBy(['event_id', 'user_id'])
    .having(({ fn }) => fn.countAll(), '>', 1)
    .limit(1)
    .executeTakeFirst()
  return row && { id: row.event_id, user_id: row.user_id }
}
