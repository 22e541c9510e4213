import type { Batch } from '../../db/batch.ts'
import type { Row } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import type { Store } from '../../store/contents.ts'
import { writeSealed } from '../../store/sealed-batch.ts'
import { newUserRow } from '../../store/users.ts'
import type { PreparedEvent } from './application-event.ts'
import type { EventsStep, EventsStepResult } from './steps.ts'

/** What of an event tells whether it is the same one again; what is said in it is committed to with another salt each time. */
const told = ['actor', 'action', 'category', 'severity', 'target', 'outcome'] as const

/** Writes events that are not there yet, and what is said in them. @throws SteleError already_exists */
export async function doEventsStep(database: Store, step: EventsStep): Promise<EventsStepResult> {
  const run = (): Promise<number> => {
    const users = step.events.flatMap(({ details }) => details?.user_id ?? [])
    return writeSealed(database, { all: users }, batch => write(batch, step.events))
  }
  try {
    return { written: await run() }
  } catch (error) {
    // Somebody has written the same between the look and the writing: the next look finds it.
    if (error instanceof SteleError || database.classify(error) === 'unavailable') throw error
    return { written: await run() }
  }
}

async function write(batch: Batch, prepared: readonly PreparedEvent[]): Promise<number> {
  const fresh = await withoutKnown(batch, prepared)
  const details = await kept(
    batch,
    fresh.flatMap(one => one.details ?? []),
  )
  await batch.insert('audit_details', details)
  await batch.insert(
    'audit_events',
    fresh.map(({ event }) => event),
  )
  return fresh.length
}

async function withoutKnown(batch: Batch, prepared: readonly PreparedEvent[]): Promise<PreparedEvent[]> {
  const keys = prepared.map(({ event }) => ({ id: event.id, user_id: event.user_id }))
  const rows = await batch.stored.find('audit_events', ['id', 'user_id'], keys, ['id', 'user_id', ...told])
  const known = new Map<string, Pick<Row<'audit_events'>, (typeof told)[number]>>(
    rows.map(row => [`${row.id} ${row.user_id}`, row]),
  )
  return prepared.filter(({ event }) => {
    const name = `${event.id} ${event.user_id}`
    const other = known.get(name)
    known.set(name, event)
    if (other === undefined) return true
    if (told.every(column => other[column] === event[column])) return false
    throw new SteleError('already_exists', { what: `Another event ${event.id}` }, { param: 'id' })
  })
}

/** Of somebody who is erased nothing more is kept: the event stands, and commits to what was said. */
async function kept(
  batch: Batch,
  details: readonly Row<'audit_details'>[],
): Promise<readonly Row<'audit_details'>[]> {
  const users = [...new Set(details.map(row => row.user_id))].sort()
  if (users.length === 0) return []
  const rows = await batch.stored.find(
    'users',
    ['id'],
    users.map(id => ({ id })),
    ['id', 'status'],
    { lock: 'shared' },
  )
  const statuses = new Map(rows.map(row => [row.id, row.status]))
  const unknown = users.filter(id => !statuses.has(id))
  if (unknown.length > 0)
    await batch.insertAbsent(
      'users',
      unknown.map(id => newUserRow(id, details[0]?.created_at ?? 0)),
    )
  return details.filter(row => {
    const status = statuses.get(row.user_id)
    return status !== 'erased' && status !== 'erasing'
  })
}
