import { randomBytes } from 'node:crypto'
import type { Row } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import { isId, newId } from '../../ids.ts'
import {
  type AuditCategory,
  type AuditSeverity,
  applicationAction,
  auditActions,
  auditCategories,
  auditSeverities,
  isAuditCategory,
  isAuditSeverity,
} from '../../model/audit-actions.ts'
import { columnText, type JsonObject, objectText } from '../../model/json-object.ts'
import { type Actor, actorText, type EventRow } from '../../store/audit-events.ts'
import { checkUserId } from '../../store/users.ts'
import { commitContent, contentSaltLength } from '../event-form.ts'
import { categoryOf } from './categorize.ts'

/** What an application says that happened. */
export interface ApplicationEvent {
  /** As in `blocked_content`: letters, digits and `_ . : -`. On record it is `app.blocked_content`. */
  readonly eventType: string
  /** Whom it concerns; left out, nobody. What is said of somebody is erased with them. */
  readonly userId?: string | undefined
  readonly details?: JsonObject | undefined
  readonly description?: string | undefined
  /** 'info' when left out. */
  readonly severity?: AuditSeverity | undefined
  /** Told by the event's type when left out. */
  readonly category?: AuditCategory | undefined
  /** What it is about, as an id. Not content: it stays when a user is erased. */
  readonly target?: string | undefined
  /** A word; 'success' when left out. */
  readonly outcome?: string | undefined
  /** Who did it, as the application calls them. */
  readonly actor?: string | undefined
  /** An id as `newAuditEventId` makes them: the same event again under it is written once. */
  readonly id?: string | undefined
}

/** An event and, of one that concerns a user, what is said in it. */
export interface PreparedEvent {
  readonly event: EventRow
  readonly details: Row<'audit_details'> | undefined
}

const longestType = 128
const longestTarget = 512
const longestActor = 256
const longestDescription = 4_000

/** Characters that the JSON text of details may have. */
const longestDetails = 32_768

const typeForm = /^[A-Za-z][A-Za-z0-9_.:-]*$/
const outcomeForm = /^[a-z][a-z0-9_]{0,63}$/

/** An id for an event that is to be written once, however often it is tried. */
export function newAuditEventId(): string {
  return newId('audit')
}

/**
 * An event as it is written. Whatever is said of a user is content: the event only commits to it, with a salt that goes with it.
 * @param by who says so, where the event does not name whom it tells of
 * @throws SteleError invalid_value, missing_required_parameter
 */
export function prepareEvent(given: ApplicationEvent, by: Actor | string, now: number): PreparedEvent {
  const eventType = checkType(given.eventType)
  const userId = given.userId === undefined ? '' : checkUserId(given.userId, 'user')
  const { severity = 'info', category = categoryOf(eventType), outcome = 'success', id } = given
  if (!isAuditSeverity(severity)) throw invalid('severity', `it must be one of ${auditSeverities.join(', ')}`)
  if (!isAuditCategory(category)) throw invalid('category', `it must be one of ${auditCategories.join(', ')}`)
  if (typeof outcome !== 'string' || !outcomeForm.test(outcome))
    throw invalid('outcome', 'it must be a word of lower-case letters, digits and _')
  if (id !== undefined && !isId('audit', id))
    throw invalid('id', 'it must be an id as newAuditEventId makes them')
  const said = saidIn(given)
  const event: EventRow = {
    user_id: userId,
    id: id ?? newId('audit'),
    actor: actorOf(given.actor, by),
    action: applicationAction(eventType),
    category,
    severity,
    target:
      given.target === undefined
        ? null
        : columnText('target', given.target, { least: 1, most: longestTarget }),
    outcome,
    details: null,
    commitment: null,
    created_at: now,
  }
  if (said === undefined) return { event, details: undefined }
  if (userId === '') return { event: { ...event, details: said }, details: undefined }
  const salt = randomBytes(contentSaltLength)
  const content = JSON.stringify({ salt: salt.toString('base64'), details: said })
  return {
    event: { ...event, commitment: commitContent(salt, said) },
    details: { user_id: userId, event_id: event.id, content, created_at: now },
  }
}

/** What is said in an event, as JSON text. */
function saidIn({ details, description }: ApplicationEvent): string | undefined {
  if (details === undefined && description === undefined) return undefined
  const text =
    description === undefined
      ? undefined
      : columnText('description', description, { least: 0, most: longestDescription })
  const facts =
    details === undefined ? undefined : (JSON.parse(objectText('details', details, longestDetails)) as object)
  return JSON.stringify({
    ...(text === undefined ? {} : { description: text }),
    ...(facts === undefined ? {} : { details: facts }),
  })
}

function checkType(eventType: unknown): string {
  if (eventType === undefined || eventType === null || eventType === '')
    throw new SteleError('missing_required_parameter', { name: 'event_type' }, { param: 'event_type' })
  if (typeof eventType !== 'string' || eventType.length > longestType || !typeForm.test(eventType))
    throw invalid(
      'event_type',
      `it must be ${longestType} letters, digits and _ . : - at most, a letter first`,
    )
  if (Object.hasOwn(auditActions, eventType) || eventType.startsWith('app.'))
    throw invalid('event_type', 'Stele itself says so; an event of an application has another name')
  return eventType
}

function actorOf(given: string | undefined, by: Actor | string): string {
  if (given !== undefined)
    return actorText({ userId: columnText('actor', given, { least: 1, most: longestActor }) })
  return typeof by === 'string' ? by : actorText(by)
}

function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
