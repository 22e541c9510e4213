import { commitContent } from '../audit/event-form.ts'
import type { Batch } from '../db/batch.ts'
import type { CallStart } from '../model/call.ts'
import { begunRecord, saltPlace, settledRecord } from '../model/call-record.ts'
import { isAbsent } from '../privacy/content.ts'
import { type EventRow, eventRow } from '../store/audit-events.ts'
import type { Ending } from './apply-settles.ts'
import type { Settlement } from './operations.ts'
import { settlementFacts } from './settlement-facts.ts'

/** What is put on record of a call beside the call. */
interface CallEvent {
  readonly row: EventRow
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
 * Puts the ends of calls on record, and what was masked in them: each commits to the reply, byte for byte, and to its account.
 * Whoever has been erased meanwhile gets no key for that.
 */
export function recordSettled(batch: Batch, endings: readonly Ending[]): Promise<void> {
  return record(batch, endings.flatMap(settledEvents))
}

function begunEvent(start: CallStart): CallEvent {
  const { callId: target, userId, apiKeyId: by = 'library', provider, operation, createdAt } = start
  const { contentDigest: request } = start.request
  return {
    row: eventRow({ userId, by, action: 'call.begun', target }, createdAt),
    record: request && begunRecord({ model: start.requestModel, operation, provider, request }),
  }
}

function settledEvents({ call, settlement }: Ending): CallEvent[] {
  const { callId: target, userId, apiKeyId: by = 'library' } = call
  const { status: outcome, createdAt, masked } = settlement
  const severity = outcome === 'completed' || outcome === 'cached' ? 'info' : 'warning'
  const settled = {
    row: eventRow({ userId, by, action: 'call.settled', target, outcome, severity }, createdAt),
    record: isWithoutDigest(settlement)
      ? undefined
      : settledRecord(settlementFacts(settlement), settlement.bodyDigest),
  }
  if (masked === undefined) return [settled]
  const details = { ...masked }
  return [
    {
      row: eventRow({ userId, by, action: 'masking.applied', target, details }, createdAt),
      record: undefined,
    },
    settled,
  ]
}

/** Whether a reply is kept and nobody knows its digest: it waited in the spool of a version that made none. */
function isWithoutDigest({ body, bodyDigest }: Settlement): boolean {
  if (body === undefined || bodyDigest !== undefined) return false
  return typeof body === 'string' || !isAbsent(body)
}

async function record(batch: Batch, events: readonly CallEvent[]): Promise<void> {
  const salts = batch.salts(
    events.map(({ row }) => ({ userId: row.user_id, place: saltPlace(row.action, row.target ?? '') })),
  )
  await batch.insert(
    'audit_events',
    events.map(({ row, record }, at) => ({ ...row, commitment: commitmentTo(record, salts[at]) })),
  )
}

function commitmentTo(record: string | undefined, salt: Buffer | undefined): Buffer | null {
  return salt === undefined || record === undefined ? null : commitContent(salt, record)
}
