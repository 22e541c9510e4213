import { commitContent } from '../audit/event-form.ts'
import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { newId } from '../ids.ts'
import type { CallStart } from '../model/call.ts'
import { begunRecord, saltPlace, settledRecord } from '../model/call-record.ts'
import type { Ending } from './apply-settles.ts'
import { settlementFacts } from './settlement-facts.ts'

/** What is put on record of a call beside the call. */
interface CallEvent {
  readonly action: 'call.begun' | 'call.settled'
  readonly callId: string
  readonly userId: string
  readonly apiKeyId: string | undefined
  readonly outcome: string
  readonly severity: string
  readonly createdAt: number
  /** What the event commits to: it is not in the event, and can go. */
  readonly record: string | undefined
}

/** Puts the beginnings of calls on record: each commits to the request, byte for byte, where that is kept. */
export async function recordBegun(batch: Batch, starts: readonly CallStart[]): Promise<void> {
  const keeping = starts.filter(({ request }) => request.contentDigest !== undefined)
  await batch.requireKeys(keeping.map(({ userId }) => userId))
  await record(batch, starts.map(begunEvent))
}

/**
 * Puts the ends of calls on record: each commits to the reply, byte for byte, and to its account. Whoever has been erased meanwhile
 * gets no key for that.
 */
export function recordSettled(batch: Batch, endings: readonly Ending[]): Promise<void> {
  return record(batch, endings.map(settledEvent))
}

function begunEvent(start: CallStart): CallEvent {
  const { callId, userId, apiKeyId, provider, requestModel: model, operation, createdAt } = start
  const { contentDigest: request } = start.request
  return {
    action: 'call.begun',
    callId,
    userId,
    apiKeyId,
    outcome: 'success',
    severity: 'info',
    createdAt,
    record: request && begunRecord({ model, operation, provider, request }),
  }
}

function settledEvent({ call, settlement }: Ending): CallEvent {
  const { callId, userId, apiKeyId } = call
  const { status, createdAt } = settlement
  return {
    action: 'call.settled',
    callId,
    userId,
    apiKeyId,
    outcome: status,
    severity: status === 'completed' || status === 'cached' ? 'info' : 'warning',
    createdAt,
    record: settledRecord(settlementFacts(settlement), settlement.bodyDigest),
  }
}

async function record(batch: Batch, events: readonly CallEvent[]): Promise<void> {
  const salts = batch.salts(
    events.map(({ userId, action, callId }) => ({ userId, place: saltPlace(action, callId) })),
  )
  await batch.insert(
    'audit_events',
    events.map((event, at) => rowOf(event, salts[at])),
  )
}

function rowOf(event: CallEvent, salt: Buffer | undefined): Row<'audit_events'> {
  return {
    user_id: event.userId,
    id: newId('audit'),
    actor: event.apiKeyId ?? 'library',
    action: event.action,
    category: 'access',
    severity: event.severity,
    target: event.callId,
    outcome: event.outcome,
    details: null,
    commitment: salt === undefined || event.record === undefined ? null : commitContent(salt, event.record),
    created_at: event.createdAt,
  }
}
