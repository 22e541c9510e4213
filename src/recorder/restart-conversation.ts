import type { Batch } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import type { Edit } from './operations.ts'

const columns = ['user_id', 'id', 'session_id', 'deleted_at'] as const

/**
 * Lets a new conversation take the session of another one, which stays on record without it: at no moment is the session
 * that of both, or of none.
 */
export async function restartConversation(
  batch: Batch,
  { userId, id, row }: Extract<Edit, { action: 'restart-conversation' }>,
  isRepeat: boolean,
): Promise<void> {
  const keys = [id, row.id].map(each => ({ user_id: userId, id: each }))
  const found = await batch.find('conversations', ['user_id', 'id'], keys, columns, { lock: true })
  // It was committed the first time.
  if (isRepeat && found.some(known => known.id === row.id)) return
  const old = found.find(known => known.id === id)
  if (old === undefined || old.deleted_at !== null)
    throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
  const { session_id } = old
  if (session_id !== null)
    await batch.update(
      'conversations',
      ['session_id'],
      ['user_id', 'id'],
      [{ set: { session_id: null }, match: { user_id: userId, id } }],
    )
  await batch.insert('conversations', [{ ...row, session_id: session_id ?? id }])
}
