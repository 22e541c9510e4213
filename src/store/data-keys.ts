import type { Batch } from '../db/batch.ts'

/** Of a user's data keys, the one that seals what is written. */
export const isCurrent = 'retired_at IS NULL AND destroyed_at IS NULL'

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

/**
 * Puts a new key in the place of the user's current one, which from then on only opens what it has sealed. Nothing while an
 * earlier one still does. Returns whether it did.
 */
export async function retireKey(batch: Batch, userId: string, at: number): Promise<boolean> {
  const keys = await batch.find(
    'data_keys',
    ['user_id'],
    [{ user_id: userId }],
    ['user_id', 'id', 'retired_at', 'destroyed_at'],
    { lock: true },
  )
  const living = keys.filter(key => key.destroyed_at === null)
  if (living.length === 0 || living.some(key => key.retired_at !== null)) return false
  await batch.update(
    'data_keys',
    ['retired_at'],
    ['user_id', 'id'],
    living.map(match => ({ set: { retired_at: at }, match })),
  )
  return true
}

/** Destroys those keys of a user, retired ones, that nothing is sealed with any more. */
export async function destroyRetired(
  batch: Batch,
  userId: string,
  keyIds: readonly string[],
  at: number,
): Promise<void> {
  const columns = ['user_id', 'id', 'destroyed_at', 'retired_at'] as const
  const keys = await batch.find('data_keys', ['user_id'], [{ user_id: userId }], columns, { lock: true })
  await batch.update(
    'data_keys',
    ['wrapped_key', 'destroyed_at'],
    ['user_id', 'id'],
    keys
      .filter(key => keyIds.includes(key.id) && key.retired_at !== null && key.destroyed_at === null)
      .map(match => ({ set: { wrapped_key: null, destroyed_at: at }, match })),
  )
}
