import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { modeOf } from '../privacy/sealed-content.ts'
import { eventRow } from '../store/audit-events.ts'
import { openStatuses } from '../store/responses.ts'
import type { Ending } from './apply-settles.ts'
import type { OperationResult, RespondOperation } from './operations.ts'

/**
 * Writes what has come of the responses whose last calls end: their replies' places are where they are gone on from.
 * Costs nothing when no call is of a response.
 */
export async function endResponses(
  batch: Batch,
  endings: readonly Ending[],
  placeOf: (ending: Ending) => string,
): Promise<void> {
  const updates = endings.flatMap(ending => {
    const { call, settlement } = ending
    const { response, message } = settlement
    if (response === undefined) return []
    const { id, status, body } = response
    const seq = message === undefined ? null : call.upToSeq + 1
    return [
      {
        set: { status, body, call_id: call.callId, conversation_id: placeOf(ending), seq },
        match: { id, user_id: call.userId },
        writtenWith: call.apiKeyId,
      },
    ]
  })
  if (updates.length === 0) return
  const columns = ['status', 'body', 'call_id', 'conversation_id', 'seq'] as const
  await batch.update('responses', columns, ['id', 'user_id'], updates)
}

/** Changes a response outside its calls. `isRepeat` says that there was nothing to change. */
export async function changeResponse(
  batch: Batch,
  { userId, id, change }: RespondOperation,
): Promise<OperationResult> {
  let changed = 0
  const where = { user_id: userId, id }
  if (change.kind === 'delete')
    changed = await batch.update(
      'responses',
      ['deleted_at'],
      ['id', 'user_id'],
      [{ set: { deleted_at: change.at }, match: where }],
    )
  if (change.kind === 'delete' && changed > 0) {
    const { apiKeyId: by = 'library' } = change
    const event = { userId, by, action: 'response.deleted', target: id } as const
    await batch.insert('audit_events', [eventRow(event, change.at)])
  }
  if (change.kind === 'cancel')
    changed = await batch.update(
      'responses',
      ['status'],
      ['id', 'user_id', 'status'],
      [{ set: { status: 'cancelling' }, match: { ...where, status: 'in_progress' } }],
    )
  if (change.kind === 'end') {
    const set: Pick<Row<'responses'>, 'status' | 'body'> = { status: change.status, body: change.body }
    // It may end where nobody knows its key any more: it stays as it began.
    const [row] = await batch.stored.find('responses', ['id', 'user_id'], [where], ['body'])
    const contentMode = row && modeOf(row.body as unknown as Uint8Array)
    for (const status of openStatuses)
      changed += await batch.update(
        'responses',
        ['status', 'body'],
        ['id', 'user_id', 'status'],
        [{ set, match: { ...where, status }, contentMode }],
      )
  }
  return { conversationId: undefined, isRepeat: changed === 0 }
}
