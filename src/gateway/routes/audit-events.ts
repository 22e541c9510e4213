import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { ApplicationEvent } from '../../audit/events/application-event.ts'
import { mostEvents } from '../../audit/events/logger.ts'
import { SteleError } from '../../errors.ts'
import { auditCategories, auditSeverities } from '../../model/audit-actions.ts'
import { isoTime } from '../../model/iso-time.ts'
import { checked, readObject } from '../../model/json-body.ts'
import type { JsonObject } from '../../model/json-object.ts'
import type { Stele } from '../../stele.ts'
import type { AuditConditions } from '../../store/audit-queries.ts'
import type { AuditEvent } from '../../store/audit-reading.ts'
import { contentAccess } from '../content-access.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import { invalid } from './paging.ts'
import { wordOf } from './queries.ts'
import { actorOf, needs, userOf } from './request-parts.ts'

type Query = Readonly<Record<string, unknown>>

type Received = FastifyRequest<{
  Params: { id: string }
  Querystring: Query
  Body: Buffer | undefined
}>

const event = z.looseObject({
  event_type: z.string(),
  user: z.string().nullish(),
  severity: z.enum(auditSeverities).nullish(),
  category: z.enum(auditCategories).nullish(),
  description: z.string().nullish(),
  details: z.record(z.string(), z.unknown()).nullish(),
  target: z.string().nullish(),
  outcome: z.string().nullish(),
  id: z.string().nullish(),
})

const several = z.looseObject({ events: z.array(event).min(1).max(mostEvents) })

type Filter = 'user' | 'action' | 'category' | 'severity' | 'outcome' | 'actor' | 'target' | 'since' | 'until'

/** What happened, for auditors, and what applications say that happened. What was said of users takes what reading them takes. */
export async function auditEventRoutes(
  app: FastifyInstance,
  { stele }: { stele: Pick<Stele, 'auditEvents' | 'auditLogger' | 'grants' | 'database'> },
): Promise<void> {
  const { auditEvents, auditLogger, database } = stele
  const content = contentAccess(stele)

  const told = inClientsTerms(database)

  app.get('/v1/audit_events', needs('audit:read'), async (request: Received) => {
    userOf(request)
    const { query } = request
    const limit = integer(query, 'limit', 1, 1_000) ?? 100
    const before = wordOf(query, 'after')
    const page = await told(auditEvents.page({ ...conditionsIn(query), before, limit })).catch(asAfter)
    const data = page.events.map(eventObject)
    return {
      object: 'list',
      data,
      first_id: data[0]?.id ?? '',
      last_id: page.next ?? data.at(-1)?.id ?? '',
      has_more: page.next !== undefined,
    } as object
  })

  app.get('/v1/audit_events/stats', needs('audit:read'), async (request: Received) => {
    userOf(request)
    const { userId, since, until } = conditionsIn(request.query)
    const counts = await told(auditEvents.stats({ userId, since, until }))
    return {
      object: 'audit_stats',
      events: counts.reduce((sum, { events }) => sum + events, 0),
      data: counts.map(({ day, ...count }) => ({ day: day ?? null, ...count })),
    } as object
  })

  app.get('/v1/audit_events/:id', needs('audit:read'), async (request: Received) => {
    userOf(request)
    const { id } = request.params
    const user = wordOf(request.query, 'user')
    const withContent = wordOf(request.query, 'content', ['true', 'false'] as const) === 'true'
    const [found] = (await told(auditEvents.get(id))).filter(
      ({ userId }) => user === undefined || userId === user,
    )
    if (found === undefined) throw new SteleError('audit_event_not_found', { event: id })
    if (!withContent || found.content !== 'kept') return eventObject(found)
    await content.mayUse(request, found.userId)
    const read = await told(auditEvents.get(id, { withContent }))
    return eventObject(read.find(({ userId }) => userId === found.userId) ?? found)
  })

  app.post('/v1/audit_events', needs('audit:write'), async (request: Received) => {
    userOf(request)
    const given = readObject(request.body ?? '')
    const by = actorOf(request)
    if (!('events' in given.value)) {
      const one = eventIn(checked(event, given))
      return eventObject(await told(auditLogger.logEvent(one, by)))
    }
    const { events } = checked(several, given)
    const written = await told(auditLogger.logEvents(events.map(eventIn), by))
    return { object: 'list', data: written.map(eventObject) } as object
  })
}

function eventIn({ event_type, user, ...given }: z.infer<typeof event>): ApplicationEvent {
  return {
    eventType: event_type,
    userId: user ?? undefined,
    severity: given.severity ?? undefined,
    category: given.category ?? undefined,
    description: given.description ?? undefined,
    details: given.details ?? undefined,
    target: given.target ?? undefined,
    outcome: given.outcome ?? undefined,
    id: given.id ?? undefined,
  }
}

/** @throws SteleError invalid_value */
function conditionsIn(query: Query): AuditConditions {
  const word = (name: Filter): string | undefined => wordOf(query, name)
  return {
    userId: word('user'),
    action: word('action'),
    category: wordOf(query, 'category', auditCategories),
    severity: wordOf(query, 'severity', auditSeverities),
    outcome: word('outcome'),
    actor: word('actor'),
    target: word('target'),
    since: timeIn('since', word('since')),
    until: timeIn('until', word('until')),
  }
}

function timeIn(name: string, text: string | undefined): number | undefined {
  const time = text === undefined ? undefined : isoTime(text)
  if (text !== undefined && time === undefined)
    throw invalid(name, 'it must be an ISO 8601 date, or a date with a time')
  return time
}

/** The parameter has another name here. */
function asAfter(cause: unknown): never {
  if (cause instanceof SteleError && cause.code === 'invalid_value' && cause.param === 'before')
    throw invalid('after', 'there is no such event')
  throw cause
}

interface EventObject {
  readonly object: 'audit_event'
  readonly id: string
  readonly details: JsonObject | null
}

function eventObject({ userId, createdAt, eventType, logIndex, ...given }: AuditEvent): EventObject {
  return {
    object: 'audit_event',
    ...given,
    log_index: logIndex ?? null,
    user: userId,
    event_type: eventType ?? null,
    target: given.target ?? null,
    description: given.description ?? null,
    details: given.details ?? null,
    created_at: Math.floor(createdAt / 1_000),
  } as EventObject
}
