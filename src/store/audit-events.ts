import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { OnSchemaChange } from '../db/migrate.ts'
import type { Row, Tables } from '../db/tables.ts'
import { newId } from '../ids.ts'
import {
  type ApplicationAction,
  type AuditAction,
  type AuditCategory,
  type AuditSeverity,
  factsOf,
} from '../model/audit-actions.ts'
import type { JsonObject } from '../model/json-object.ts'
import { type QueueSigner, queueRow } from './audit-queue.ts'
import type { Contents } from './contents.ts'

/** Who does something: a user, or the operator, who has the database and the master key and no id here. */
export interface Actor {
  readonly userId?: string | undefined
  /** What the system calls the operator, where that is known. */
  readonly systemUser?: string | undefined
}

/** Where the log's events wait: a schema that has no such table is too old. */
const queue = 'audit_queue'

/** Whoever calls the library. */
export const operator: Actor = {}

/** How an event names whoever did it. No user is taken for the operator. */
export function actorText({ userId, systemUser }: Actor): string {
  if (userId !== undefined)
    return /^(operator|user:|stele$|library$|retention$|audit$)/.test(userId) ? `user:${userId}` : userId
  return systemUser === undefined ? 'operator' : `operator:${systemUser}`
}

/** What there is to tell of something that happened. */
export interface NewEvent {
  /** Whom it concerns; '' when that is nobody that is known. */
  readonly userId: string
  /** Who did it, or the name of a part of Stele that did it by itself. */
  readonly by: Actor | string
  readonly action: AuditAction | ApplicationAction
  readonly target?: string | undefined
  readonly outcome?: string | undefined
  /** Left out, that of its action. */
  readonly severity?: AuditSeverity | undefined
  /** Facts; nothing that was said, no secrets. */
  readonly details?: JsonObject | undefined
}

/** The row of an event: of an action of the table, or of what an application says. */
export type EventRow = Row<'audit_events'> & {
  readonly action: AuditAction | ApplicationAction
  readonly category: AuditCategory
  readonly severity: AuditSeverity
}

/**
 * The row of an event, to be inserted in the transaction of what it tells of.
 * @param id left out, a new one
 */
export function eventRow(event: NewEvent, createdAt: number, id = newId('audit')): EventRow {
  const { category, severity } = factsOf(event.action)
  return {
    user_id: event.userId,
    id,
    actor: typeof event.by === 'string' ? event.by : actorText(event.by),
    action: event.action,
    category,
    severity: event.severity ?? severity,
    target: event.target ?? null,
    outcome: event.outcome ?? 'success',
    details: event.details === undefined ? null : JSON.stringify(event.details),
    commitment: null,
    created_at: createdAt,
  }
}

/** Calls that one event names at most. */
const callsInAnEvent = 1_000

/** Tells that what was said in a conversation was removed, and the calls whose content went with it. */
export function purgedEvents(
  purged: {
    readonly userId: string
    readonly by: string
    /** The conversation. */
    readonly id: string
    readonly calls: readonly string[]
  },
  at: number,
): EventRow[] {
  const { userId, by, id: target, calls } = purged
  return Array.from({ length: Math.max(1, Math.ceil(calls.length / callsInAnEvent)) }, (_, part) => {
    const details = { calls: calls.slice(part * callsInAnEvent, (part + 1) * callsInAnEvent) }
    return eventRow({ userId, by, action: 'conversation.purged', target, details }, at)
  })
}

/** What events are sealed with, and what is queued of them. */
type EventKeys = Pick<Contents, 'sealEvent'> & QueueSigner

/** Adds events in the transaction of what they tell of, and queues them for the log. */
export async function addEvents(
  tx: Kysely<Tables>,
  contents: EventKeys,
  ...events: readonly EventRow[]
): Promise<void> {
  if (events.length === 0) return
  await tx
    .insertInto('audit_events')
    .values(events.map(event => contents.sealEvent(event)))
    .execute()
  await tx.insertInto('audit_queue').values(queueRow(contents, events)).execute()
}

/** The same for what may be done once more: those that are there already stay as they are. */
export async function addAbsentEvents(
  tx: Kysely<Tables>,
  contents: EventKeys,
  events: readonly EventRow[],
): Promise<void> {
  if (events.length === 0) return
  const added = await tx
    .insertInto('audit_events')
    .values(events.map(event => contents.sealEvent(event)))
    .onConflict(conflict => conflict.doNothing())
    .returning('id')
    .execute()
  const ids = new Set(added.map(({ id }) => id))
  const fresh = events.filter(({ id }) => ids.has(id))
  if (fresh.length > 0) await tx.insertInto('audit_queue').values(queueRow(contents, fresh)).execute()
}

/** In place of the keys where they are not at hand: what has details cannot be written so. */
export const withoutKeys: EventKeys = {
  macOfQueued: () => undefined,
  sealEvent({ details, ...row }) {
    if (details !== null) throw new Error('the details of an event take a key')
    return { ...row, details }
  },
}

/** Notes something without the keys, in a database that may have been left at an older schema, before there were such events. */
export async function noteWithoutKeys(
  { kysely, hasTable }: Pick<Database, 'kysely' | 'hasTable'>,
  event: Omit<NewEvent, 'details'>,
): Promise<void> {
  if (!(await hasTable(kysely, queue))) return
  await kysely.transaction().execute(tx => addEvents(tx, withoutKeys, eventRow(event, Date.now())))
}

/** Notes migrations in the transaction that makes them, one event each, as far as the schema has a place for events. */
export function notingSchema(
  { hasTable }: Pick<Database, 'hasTable'>,
  action: 'schema.migrated' | 'schema.reverted',
  by: Actor = operator,
): OnSchemaChange {
  return async (tx, names) => {
    if (!(await hasTable(tx, queue))) return
    const at = Date.now()
    const rows = names.map(target => eventRow({ userId: '', by, action, target }, at))
    await addEvents(tx, withoutKeys, ...rows)
  }
}
