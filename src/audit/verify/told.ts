import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import { idTime, isId, lowestIdAt } from '../../ids.ts'
import { tellingOfEnd, tellingOfRequest } from '../../model/call-record.ts'
import { eventsAt, nameOf } from '../../store/audit-queries.ts'
import type { Reading } from '../../store/contents.ts'
import { canonicalEvent, commitEvent } from '../event-form.ts'
import { queuedLeaves } from '../log/pending.ts'
import { asFault, Fault } from './verdict.ts'

/** Rows that events are looked for at once: some 30 MB of names, however many calls there are. */
const atOnce = 100_000

/** Rows that are read at once. */
const pageRows = 5_000

/** An event may have been given its id before its call was, by another clock: milliseconds that are looked at before it. */
const margin = 60_000

/** Rows of calls, and the actions of events that tell of one. */
interface Kind {
  readonly table: 'llm_requests' | 'llm_responses'
  readonly id: 'id' | 'request_id'
  readonly actions: readonly string[]
  readonly untold: (callId: string) => string
}

const kinds: readonly Kind[] = [
  {
    table: 'llm_requests',
    id: 'id',
    actions: tellingOfRequest,
    untold: callId => `no event tells of the call ${callId}`,
  },
  {
    table: 'llm_responses',
    id: 'request_id',
    actions: tellingOfEnd,
    untold: callId => `no event tells of the end of ${callId}`,
  },
]

/**
 * Holds every request and every reply on record against the events: one must tell of each. To be called when the log was followed and
 * no event was found to stand outside. Events have ids of nearly the time of their calls, so each is met soon: memory does not grow with
 * the record, and time grows as it does. Where an event came much later all that lie between are read again for some calls.
 * @param most rows that are held at once
 * @throws Fault that names the first of which none tells
 */
export async function requireTold(reading: Reading, most = atOnce): Promise<void> {
  await requireAsQueued(reading)
  for (const kind of kinds)
    for await (const calls of stretchesOf(reading.kysely, kind, most)) {
      const [first = ''] = calls.values()
      const from = isId('call', first) ? lowestIdAt('audit', Math.max(0, idTime(first) - margin)) : ''
      await strike(reading.kysely, kind, calls, { from })
      await strike(reading.kysely, kind, calls, { from: '', below: from })
      const [untold] = calls.values()
      if (untold !== undefined) throw new Fault({ reason: kind.untold(untold) })
    }
}

/** What waits for the log tells of calls as well, as far as it is what was queued. @throws Fault */
async function requireAsQueued(reading: Reading): Promise<void> {
  const { kysely, contents } = reading
  for await (const leaves of queuedLeaves(reading)) {
    if (leaves === undefined) continue
    const places = leaves.map(({ eventId, userId }) => ({ event_id: eventId, user_id: userId }))
    const stored = await eventsAt(kysely, places)
    for (const { eventId, userId, salt, commitment } of leaves) {
      const row = stored.get(nameOf(eventId, userId))
      const event = await contents.openOne(kysely, 'audit_events', row).catch(error => {
        throw new Fault({ eventId, ...asFault(error).fault })
      })
      if (event !== undefined && !commitEvent(salt, canonicalEvent(event)).equals(commitment))
        throw new Fault({ eventId, reason: 'the event is not the one that waits for the log' })
    }
  }
}

interface Named {
  readonly id: string
  readonly user_id: string
}

/** The calls that a table has rows of, in the order of their ids, by their names. */
async function* stretchesOf(
  db: Kysely<Tables>,
  { table, id }: Kind,
  most: number,
): AsyncGenerator<Map<string, string>> {
  let calls = new Map<string, string>()
  for (let after = ['', '']; ; ) {
    const { rows } = await sql<Named>`
      SELECT ${sql.ref(id)} AS id, user_id FROM ${sql.table(table)} WHERE ${behind(id, after)}
      ORDER BY ${sql.ref(id)}, user_id LIMIT ${Math.min(pageRows, most)}`.execute(db)
    for (const row of rows) calls.set(nameOf(row.id, row.user_id), row.id)
    const last = rows.at(-1)
    if (calls.size > 0 && (last === undefined || calls.size >= most)) {
      yield calls
      calls = new Map()
    }
    if (last === undefined) return
    after = [last.id, last.user_id]
  }
}

/** Strikes out the calls of which an event in this range of ids tells. Ends when none is left. */
async function strike(
  db: Kysely<Tables>,
  { actions }: Kind,
  calls: Map<string, string>,
  { from, below }: { readonly from: string; readonly below?: string },
): Promise<void> {
  for (let after = [from, '']; calls.size > 0; ) {
    // By the key alone: given more conditions a database that has no statistics yet reads all of the table for each page.
    const { rows } = await sql<Named & { readonly action: string; readonly target: string | null }>`
      SELECT id, user_id, action, target FROM audit_events WHERE ${behind('id', after)}
      ORDER BY id, user_id LIMIT ${pageRows}`.execute(db)
    for (const { user_id, action, target } of rows)
      if (actions.includes(action)) calls.delete(nameOf(target ?? '', user_id))
    const last = rows.at(-1)
    if (last === undefined || (below !== undefined && last.id >= below)) return
    after = [last.id, last.user_id]
  }
}

function behind(id: string, after: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`(${sql.ref(id)}, user_id) > (${sql.join([...after])})`
}
