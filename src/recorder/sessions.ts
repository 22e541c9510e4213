import type { Batch } from '../db/batch.ts'

/** The sessions, of those asked for, that a living conversation of the user has, as `<session> <user>`. */
export async function takenSessions(
  batch: Batch,
  keys: readonly { readonly user_id: string; readonly session_id: string }[],
): Promise<Set<string>> {
  if (keys.length === 0) return new Set()
  const rows = await batch.find('conversations', ['user_id', 'session_id'], keys, ['user_id', 'session_id'], {
    where: 'session_id IS NOT NULL AND deleted_at IS NULL',
  })
  return new Set(rows.map(row => `${row.session_id} ${row.user_id}`))
}
