import { sha256 } from '../audit/digest.ts'
import type { Row } from '../db/tables.ts'
import { derivedId, idTime } from '../ids.ts'
import { tellingOfEnd, tellingOfRequest } from '../model/call-record.ts'
import { type EventRow, eventRow, operator } from '../store/audit-events.ts'
import { nameOf } from '../store/audit-queries.ts'

/** What one step of an import writes of calls. */
export interface CallRows {
  readonly requests: readonly Row<'llm_requests'>[]
  readonly responses: readonly Row<'llm_responses'>[]
  readonly events: readonly Row<'audit_events'>[]
}

/**
 * Tells of the calls that a step of an import writes and whose own events do not come with it: those may come later, or never. For a
 * call it is always the same event.
 */
export function importedEvents({ requests, responses, events }: CallRows, at: number): EventRow[] {
  const namesOf = (actions: readonly string[]): Set<string> =>
    new Set(
      events
        .filter(({ action }) => actions.includes(action))
        .map(({ target, user_id }) => nameOf(target ?? '', user_id)),
    )
  const begun = namesOf(tellingOfRequest)
  const ended = namesOf(tellingOfEnd)
  const untold = new Map<string, EventRow>()
  for (const { id, user_id } of requests)
    if (!begun.has(nameOf(id, user_id))) untold.set(nameOf(id, user_id), importedEvent(id, user_id, at))
  for (const { request_id: id, user_id } of responses)
    if (!ended.has(nameOf(id, user_id))) untold.set(nameOf(id, user_id), importedEvent(id, user_id, at))
  return [...untold.values()]
}

function importedEvent(callId: string, userId: string, at: number): EventRow {
  const id = derivedId('audit', idTime(callId), sha256(`import ${callId} ${userId}`))
  return eventRow({ userId, by: operator, action: 'call.imported', target: callId }, at, id)
}

/** Whether it is such an event: it is of this store alone. One of another system says where the call came from. */
export function isOfImport({ action, details }: Pick<Row<'audit_events'>, 'action' | 'details'>): boolean {
  return action === 'call.imported' && details === null
}
