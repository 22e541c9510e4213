import { canonicalEvent, commitEvent } from '../audit/event-form.ts'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId } from '../ids.ts'
import { eventTypeOf } from '../model/audit-actions.ts'
import { type JsonObject, keyText, objectFrom, pageLimit } from '../model/json-object.ts'
import { type AuditConditions, eventsAt, isMeant, nameOf, placesOf, queuedLeaves } from './audit-queries.ts'
import type { Leaf } from './audit-queue.ts'
import { auditStats, type StatsConditions } from './audit-stats.ts'
import type { Reading } from './contents.ts'

export interface AuditEvent {
  readonly id: string
  /** Its place in the log; undefined while it waits to be taken in, which nothing proves yet. */
  readonly logIndex: number | undefined
  /** Whom it concerns; '' when that is nobody that is known. */
  readonly userId: string
  readonly actor: string
  readonly action: string
  readonly category: string
  readonly severity: string
  readonly target: string | undefined
  readonly outcome: string
  readonly details: JsonObject | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
  /** Of what an application said, the type that it gave. */
  readonly eventType?: string | undefined
  readonly description?: string | undefined
  /**
   * What an application said of a user is content: `kept` where it can be read, `read` where it is among the details here, `gone` where it
   * was erased or never kept; `none` of all other events.
   */
  readonly content: 'none' | 'kept' | 'read' | 'gone'
}

export interface AuditFilter extends AuditConditions {
  /** Only events older than this one. */
  readonly before?: string | undefined
  /** Only events newer than this one. */
  readonly after?: string | undefined
  /** 100 when left out. */
  readonly limit?: number | undefined
  /** Whether what applications said of users is read too, which is content. */
  readonly withContent?: boolean | undefined
}

export interface AuditPage {
  readonly events: readonly AuditEvent[]
  /** The event behind which the next page begins; undefined when there is none. A page may be empty and have a next one. */
  readonly next: string | undefined
}

/** Events that are looked at for one page at most, and how many at a time. */
const mostExamined = 20_000
const examinedAtATime = 1_000

interface Found {
  readonly event_id: string
  readonly user_id: string
  /** The place in the log. */
  readonly leaf_index?: number
  /** What waits for the log in its place. */
  readonly leaf?: Leaf
}

/** Reads audit events in the order of the log, the newest first; what waits to be taken into it comes before. */
export function auditReader({ kysely, contents, snapshot }: Reading & Pick<Database, 'snapshot'>) {
  const told = async (
    rows: readonly Tables['audit_events'][],
    places: readonly Found[],
    withContent: boolean,
  ): Promise<AuditEvent[]> => {
    const opened = await contents.open(kysely, 'audit_events', rows)
    const said = await saidIn({ kysely, contents }, rows)
    const found = new Map(places.map(place => [nameOf(place.event_id, place.user_id), place]))
    return opened.map(row => {
      const name = nameOf(row.id, row.user_id)
      const { leaf, leaf_index } = found.get(name) ?? {}
      if (leaf !== undefined) requireSame(row, leaf)
      return eventFrom(row, { index: leaf_index, kept: said.get(name), withContent })
    })
  }

  const page = async (filter: AuditFilter): Promise<AuditPage> => {
    const limit = pageLimit(filter.limit, 100)
    const { before, after, withContent = false } = filter
    const above = after === undefined ? undefined : (await placeOf({ kysely, contents }, 'after', after)).leaf
    const cursor = before === undefined ? undefined : await placeOf({ kysely, contents }, 'before', before)
    const found: { readonly place: Found; readonly event: Tables['audit_events'] }[] = []
    let last: Found | undefined
    let examined = 0
    const take = async (places: readonly Found[]): Promise<void> => {
      const events = await eventsAt(kysely, places)
      for (const place of places) {
        if (found.length > limit) return
        const event = events.get(nameOf(place.event_id, place.user_id))
        // What somebody has taken away is told, not passed over.
        if (event === undefined)
          throw new SteleError('audit_log_broken', { reason: `its event ${place.event_id} is gone` })
        if (isMeant(filter, event)) found.push({ place, event })
        last = place
        examined++
      }
    }
    // Read before the log: what is taken into it meanwhile is met twice rather than not at all, and known by its id.
    if (cursor?.leaf === undefined) await take(await queuedBehind({ kysely, contents }, cursor?.queued))
    const seen = new Set(found.map(({ place }) => nameOf(place.event_id, place.user_id)))
    let below = cursor?.leaf ?? Number.MAX_SAFE_INTEGER
    let isEnd = false
    let most = Math.min(examinedAtATime, limit + 1)
    while (found.length <= limit && examined < mostExamined && !isEnd) {
      const places = await placesOf(kysely, filter, { above, below, limit: most })
      await take(places.filter(place => !seen.has(nameOf(place.event_id, place.user_id))))
      below = places.at(-1)?.leaf_index ?? 0
      isEnd = places.length < most
      // What the log alone does not tell may be true of little that is looked at.
      most = examinedAtATime
    }
    const shown = found.slice(0, limit)
    const behind = found.length > limit ? shown.at(-1)?.place : isEnd ? undefined : last
    const events = await told(
      shown.map(({ event }) => event),
      shown.map(({ place }) => place),
      withContent,
    )
    return { events, next: behind?.event_id }
  }

  return {
    page,
    /** The newest event that is in the log; undefined when none is. */
    async head(): Promise<string | undefined> {
      const row = await kysely
        .selectFrom('audit_log')
        .select('event_id')
        .orderBy('leaf_index', 'desc')
        .limit(1)
        .executeTakeFirst()
      return row?.event_id
    },
    /** As many events as there are, or as are asked for. @throws SteleError audit_log_broken, content_unreadable, invalid_value */
    async list(filter: AuditFilter): Promise<AuditEvent[]> {
      const limit = pageLimit(filter.limit, 100)
      const events: AuditEvent[] = []
      let { before } = filter
      while (events.length < limit) {
        const { events: some, next } = await page({ ...filter, before, limit: limit - events.length })
        events.push(...some)
        if (next === undefined) break
        before = next
      }
      return events
    },
    /** Events of this id; of different users there may be several. */
    async get(id: string, { withContent = false }: { withContent?: boolean } = {}): Promise<AuditEvent[]> {
      const rows = await kysely
        .selectFrom('audit_events')
        .selectAll()
        .where('id', '=', keyText('event', id))
        .orderBy('user_id')
        .execute()
      return told(rows, await placesNamed({ kysely, contents }, id), withContent)
    },
    /** Rows that have just been written, as events. */
    toldOf(rows: readonly Row<'audit_events'>[], details: readonly Row<'audit_details'>[]): AuditEvent[] {
      const said = new Map(details.map(row => [nameOf(row.event_id, row.user_id), row.content]))
      return rows.map(row =>
        eventFrom(row, { index: undefined, kept: said.get(nameOf(row.id, row.user_id)), withContent: true }),
      )
    },
    /**
     * How many events there are of each day and kind, in the order of these: of all, or of one user.
     * @param since the first day that counts, as a time; and `until` the first that does not
     */
    stats: (conditions: StatsConditions = {}) =>
      snapshot(db => auditStats({ kysely: db, contents }, conditions)),
  }
}

export type AuditReader = ReturnType<typeof auditReader>

/** What applications said in these events, where it is kept, with its salt as JSON text; by the names of the events. */
export async function saidIn(
  { kysely, contents }: Reading,
  events: readonly Pick<Row<'audit_events'>, 'id' | 'user_id' | 'commitment'>[],
): Promise<Map<string, string>> {
  const committing = events.filter(({ commitment }) => commitment !== null)
  if (committing.length === 0) return new Map()
  const stored = await kysely
    .selectFrom('audit_details')
    .selectAll()
    .where('user_id', 'in', [...new Set(committing.map(row => row.user_id))])
    .where(
      'event_id',
      'in',
      committing.map(row => row.id),
    )
    .execute()
  const opened = await contents.open(kysely, 'audit_details', stored)
  // In a mode that keeps no content there is nothing to open.
  const kept = opened.filter(({ content }) => content !== '')
  return new Map(kept.map(row => [nameOf(row.event_id, row.user_id), row.content]))
}

/** Where an event is: in the log, or still waiting for it. @throws SteleError invalid_value */
async function placeOf(
  reading: Reading,
  name: 'before' | 'after',
  value: string,
): Promise<{ readonly leaf?: number; readonly queued?: string }> {
  const id = keyText(name, value)
  if (isId('audit', id)) {
    const row = await reading.kysely
      .selectFrom('audit_log')
      .select('leaf_index')
      .where('event_id', '=', id)
      .orderBy('leaf_index', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (row !== undefined) return { leaf: row.leaf_index }
    if ((await queuedLeaves(reading)).some(leaf => leaf.eventId === id)) return { queued: id }
  }
  throw new SteleError('invalid_value', { name, reason: 'there is no such event' }, { param: name })
}

/** What waits for the log, the newest first, behind the one that is named. */
async function queuedBehind(reading: Reading, id: string | undefined): Promise<Found[]> {
  const leaves = await queuedLeaves(reading)
  const from = id === undefined ? 0 : leaves.findIndex(leaf => leaf.eventId === id) + 1
  return leaves.slice(from).map(waitingPlace)
}

function waitingPlace(leaf: Leaf): Found {
  return { event_id: leaf.eventId, user_id: leaf.userId, leaf }
}

/** Where events of this id are. The queue is read first: what is taken into the log meanwhile is found there. */
async function placesNamed(reading: Reading, id: string): Promise<Found[]> {
  const leaves = (await queuedLeaves(reading)).filter(({ eventId }) => eventId === id)
  const logged = await reading.kysely
    .selectFrom('audit_log')
    .select(['event_id', 'user_id', 'leaf_index'])
    .where('event_id', '=', id)
    .execute()
  return [...leaves.map(waitingPlace), ...logged]
}

/** An event that waits must be the one that was queued. @throws SteleError audit_log_broken */
function requireSame(event: Row<'audit_events'>, { salt, commitment }: Leaf): void {
  if (!commitEvent(salt, canonicalEvent(event)).equals(commitment))
    throw new SteleError('audit_log_broken', {
      reason: `the event ${event.id} is not the one that was queued`,
    })
}

function eventFrom(
  row: Row<'audit_events'>,
  {
    index,
    kept,
    withContent,
  }: { readonly index: number | undefined; readonly kept: string | undefined; readonly withContent: boolean },
): AuditEvent {
  const eventType = eventTypeOf(row.action)
  const isErasable = row.commitment !== null
  const isRead = kept !== undefined && withContent
  const text = isErasable ? (isRead ? detailsIn(kept) : null) : row.details
  const facts = objectFrom(text)
  return {
    id: row.id,
    logIndex: index,
    userId: row.user_id,
    actor: row.actor,
    action: row.action,
    category: row.category,
    severity: row.severity,
    target: row.target ?? undefined,
    outcome: row.outcome,
    createdAt: row.created_at,
    content: !isErasable ? 'none' : kept === undefined ? 'gone' : isRead ? 'read' : 'kept',
    ...(eventType === undefined
      ? { details: facts }
      : {
          eventType,
          details: facts?.['details'] as JsonObject | undefined,
          description: facts?.['description'] as string | undefined,
        }),
  }
}

/** The details in what is kept beside their salt. @throws SteleError content_unreadable */
function detailsIn(content: string): string {
  const details = objectFrom(content)?.['details']
  if (typeof details === 'string') return details
  throw new SteleError('content_unreadable', { reason: 'what was said in an event is not as it was written' })
}
