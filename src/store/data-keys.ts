import type { Batch } from '../db/batch.ts'

/**
 * Destroys every key of a user, in the transaction of `batch`: from then on nothing that was sealed with one opens. What the
 * user says later gets a new key.
 */
export async function destroyKeys(batch: Batch, userId: string, at: number): Promise<void> {
  const keys = await batch.find(
    'data_keys',
    ['user_id'],
    [{ user_id: userId }],
    ['user_id', 'id', 'destroyed_at'],
    { lock: true },
  )
  await batch.update(
    'data_keys',
    ['wrapped_key', 'destroyed_at'],
    ['user_id', 'id'],
    keys
      .filter(key => key.destroyed_at === null)
      .map(match => ({ set: { wrapped_key: null, destroyed_at: at }, match })),
  )
}
