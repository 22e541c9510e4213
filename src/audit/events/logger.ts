import { SteleError } from '../../errors.ts'
import { type AuditCategory, type AuditSeverity, applicationAction } from '../../model/audit-actions.ts'
import { givenList, givenObject, type JsonObject } from '../../model/json-object.ts'
import { type Actor, eventRow, type NewEvent } from '../../store/audit-events.ts'
import type { AuditEvent, AuditReader } from '../../store/audit-reading.ts'
import { type ApplicationEvent, prepareEvent } from './application-event.ts'
import type { DoEventsStep } from './steps.ts'

/** An event in the words of `createAuditLog`. */
export interface NewAuditLog {
  readonly userId?: string | undefined
  readonly eventType: string
  readonly eventCategory?: AuditCategory | undefined
  readonly severity?: AuditSeverity | undefined
  readonly description?: string | undefined
  readonly extraMetadata?: JsonObject | undefined
}

export interface AuditLogOptions {
  /** Events at most; 100 when left out. */
  readonly limit?: number | undefined
  /** Only events older than this one. */
  readonly before?: string | undefined
}

/** Events that are written in one transaction at most. */
export const mostEvents = 100

interface Parts {
  readonly doStep: DoEventsStep
  readonly reader: AuditReader
}

/** Audit events as Stele itself and who runs it write and read them. */
export function auditEventLibrary({ doStep, reader }: Parts) {
  const { page, list, get, head, stats } = reader
  return {
    /** Notes something that happened outside the database. */
    async add(event: NewEvent): Promise<void> {
      await doStep({ events: [{ event: eventRow(event, Date.now()), details: undefined }] })
    },
    page,
    list,
    get,
    head,
    stats,
  }
}

/** The audit log as applications write it, and read what they wrote. */
export function auditLogger({ doStep, reader }: Parts) {
  const write = async (given: readonly ApplicationEvent[], by: Actor | string): Promise<AuditEvent[]> => {
    const now = Date.now()
    if (givenList('events', given).length > mostEvents)
      throw new SteleError(
        'invalid_value',
        { name: 'events', reason: `there may be ${mostEvents} at once` },
        { param: 'events' },
      )
    const events = given.map(one => prepareEvent(givenObject('event', one), by, now))
    if (events.length > 0) await doStep({ events })
    const told = reader.toldOf(
      events.map(({ event }) => event),
      events.flatMap(({ details }) => details ?? []),
    )
    // One that names its id may have been there before, with what was said then.
    return Promise.all(
      told.map(async event => {
        if (!given.some(({ id }) => id === event.id)) return event
        const stored = await reader.get(event.id, { withContent: true })
        return stored.find(({ userId }) => userId === event.userId) ?? event
      }),
    )
  }
  const writeOne = async (given: ApplicationEvent, by: Actor | string): Promise<AuditEvent> => {
    const [event] = await write([given], by)
    if (event === undefined) throw new Error('an event was not told')
    return event
  }
  return {
    /**
     * Puts on record what an application says that happened: committed when this resolves.
     * @throws SteleError invalid_value, missing_required_parameter, already_exists when another event has its id
     * @example
     * await stele.auditLogger.logEvent({ eventType: 'blocked_content', userId: 'ada', severity: 'warning', details: { reason: 'PII detected' } })
     */
    logEvent: (event: ApplicationEvent, by: Actor | string = 'library'): Promise<AuditEvent> =>
      writeOne(event, by),
    /** The same of several, all of them or none. */
    logEvents: (events: readonly ApplicationEvent[], by: Actor | string = 'library'): Promise<AuditEvent[]> =>
      write(events, by),
    /** The same in other words. */
    createAuditLog: ({ eventCategory, extraMetadata, ...event }: NewAuditLog): Promise<AuditEvent> =>
      writeOne({ ...event, category: eventCategory, details: extraMetadata }, 'library'),
    /** What is on record of a user, the newest first, with what applications said. */
    getUserAuditLogs: (
      userId: string,
      { limit = 100, before }: AuditLogOptions = {},
    ): Promise<AuditEvent[]> => reader.list({ userId, limit, before, withContent: true }),
    /** What applications said under this type, the newest first. */
    getLogsByType: (
      eventType: string,
      { limit = 100, before }: AuditLogOptions = {},
    ): Promise<AuditEvent[]> =>
      reader.list({ action: applicationAction(eventType), limit, before, withContent: true }),
  }
}
