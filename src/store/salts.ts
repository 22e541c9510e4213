import type { SaltPlace } from '../db/batch.ts'
import { keyColumns, type Reading } from './contents.ts'

/** The salts of commitments to what users said; undefined where the keys of the user have been destroyed. */
export async function readSalts(
  { kysely, contents }: Reading,
  places: readonly SaltPlace[],
): Promise<readonly (Buffer | undefined)[]> {
  if (places.length === 0) return []
  const rows = await kysely
    .selectFrom('data_keys')
    .select(keyColumns)
    .where('user_id', 'in', [...new Set(places.map(({ userId }) => userId))])
    .where('destroyed_at', 'is', null)
    .execute()
  // Whichever of a user's keys: one that takes another's place makes the same salts.
  const keys = new Map(rows.map(row => [row.user_id, contents.ring.take(row)]))
  return places.map(({ userId, place }) => keys.get(userId)?.saltFor(place))
}
