import { takeOutOrphans } from '../analytics/late-calls.ts'
import type { Batch } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import type { PlacedCall } from '../model/call.ts'
import { subtractOrphans } from '../store/usage.ts'

/** A call that another process gave up for lost, and that the spool knows the end of. */
export interface Orphaned {
  readonly call: PlacedCall
  readonly orphanedAt: number
}

/** Takes back what was written of calls when they were given up, so that their real ends can be written. */
export async function supersede(batch: Batch, orphaned: readonly Orphaned[]): Promise<void> {
  if (orphaned.length === 0) return
  await takeOutOrphans(
    batch,
    orphaned.map(({ call, orphanedAt }) => ({ userId: call.userId, callId: call.callId, at: orphanedAt })),
  )
  await batch.stored.permit('recovery')
  const removed = await batch.remove(
    'llm_responses',
    ['user_id', 'request_id', 'status'],
    orphaned.map(({ call }) => ({ user_id: call.userId, request_id: call.callId, status: 'orphaned' })),
  )
  if (removed !== orphaned.length)
    throw new SteleError('record_rejected', { reason: 'the call was settled at the same moment' })
  await subtractOrphans(
    batch,
    orphaned.map(({ call, orphanedAt }) => ({
      userId: call.userId,
      model: call.requestModel,
      settledAt: orphanedAt,
    })),
  )
}
