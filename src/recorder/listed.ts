import type { Batch, Kept } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import type { PlacedCall } from '../model/call.ts'
import { eventRow } from '../store/audit-events.ts'
import type { RelistOperation, Settlement } from './operations.ts'

type Stored = Row<'stored_completions'> & Kept

interface Ended {
  readonly call: PlacedCall
  readonly settlement: Settlement
}

/** Longer ids than any provider gives are none to be indexed by. */
const maxIdLength = 256

/**
 * Lists the completions of calls that ask for it. A provider may give an id again: then the newer completion has it.
 * Costs nothing when no call asks.
 */
export async function addListed(batch: Batch, ended: readonly Ended[]): Promise<void> {
  // In one order, whoever writes, so that two batches cannot wait for each other; of one id the last.
  const rows = new Map(ended.flatMap(storedRow).map(row => [`${row.id} ${row.user_id}`, row]))
  if (rows.size === 0) return
  const stored = [...rows.keys()].sort().flatMap(key => rows.get(key) ?? [])
  await batch.insertAbsent('stored_completions', stored)
  await batch.update(
    'stored_completions',
    ['call_id', 'model', 'metadata', 'created_at', 'deleted_at'],
    ['user_id', 'id'],
    stored.map(row => ({ set: row, match: row, writtenWith: row.writtenWith })),
  )
}

function storedRow({ call, settlement: s }: Ended): Stored[] {
  if (call.listing === undefined || s.status !== 'completed') return []
  const given = s.providerResponseId
  return [
    {
      user_id: call.userId,
      // Without one of its own, it has the id under which Stele would write it.
      id: given !== undefined && given.length <= maxIdLength ? given : `chatcmpl-${call.callId}`,
      call_id: call.callId,
      model: s.responseModel ?? call.requestModel,
      metadata: call.listing.metadata,
      created_at: s.createdAt,
      deleted_at: null,
      writtenWith: call.apiKeyId,
    },
  ]
}

/** Changes one that is listed. One whose id another call has meanwhile stays as it is. */
export async function applyRelist(
  batch: Batch,
  { userId, id, callId, change, apiKeyId: writtenWith }: RelistOperation,
): Promise<void> {
  const match = { user_id: userId, id, call_id: callId }
  const key = ['user_id', 'id', 'call_id'] as const
  if ('metadata' in change)
    await batch.update('stored_completions', ['metadata'], key, [{ set: change, match, writtenWith }])
  else {
    const { deletedAt } = change
    const set = { deleted_at: deletedAt }
    if ((await batch.update('stored_completions', ['deleted_at'], key, [{ set, match }])) === 0) return
    const by = writtenWith ?? 'library'
    const event = { userId, by, action: 'completion.deleted', target: callId } as const
    await batch.insert('audit_events', [eventRow(event, deletedAt)])
  }
}
