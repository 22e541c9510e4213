import { randomBytes } from 'node:crypto'
import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import { type MasterKey, unwrapKey, wrapKey } from '../privacy/master-key.ts'

/** How a master key stands to the secrets of a database: it opens them all, there are none, or it is another's. */
export async function checkSecrets(
  database: Database,
  master: MasterKey,
): Promise<'opens' | 'absent' | 'mismatch'> {
  const rows = await database.kysely.selectFrom('secrets').select(['id', 'wrapped_key']).execute()
  try {
    for (const { id, wrapped_key } of rows) unwrapKey(master, `secret:${id}`, wrapped_key)
    return rows.length === 0 ? 'absent' : 'opens'
  } catch {
    return 'mismatch'
  }
}

/**
 * The secret named `id`, made at first use and kept wrapped by the master key. `masterKey` is asked once, and told
 * whether the database holds a secret already: then only the key that wrapped it will do, and none must be made.
 * @throws SteleError master_key_mismatch when the stored one was wrapped by another master key
 */
export async function openSecret(
  database: Database,
  id: string,
  masterKey: (mayBeNew: boolean) => MasterKey,
): Promise<Buffer> {
  const purpose = `secret:${id}`
  const find = () =>
    database.kysely.selectFrom('secrets').select('wrapped_key').where('id', '=', id).executeTakeFirst()
  const existing = await find()
  const master = masterKey(existing === undefined)
  if (existing !== undefined) return unwrapKey(master, purpose, existing.wrapped_key)
  await database.kysely
    .insertInto('secrets')
    .values({
      id,
      wrapped_key: wrapKey(master, purpose, randomBytes(32)),
      master_key_id: master.id,
      created_at: Date.now(),
    })
    // Another process may have been first; whichever row is there counts.
    .onConflict(conflict => conflict.column('id').doNothing())
    .execute()
  const stored = await find()
  if (stored === undefined)
    throw new SteleError('store_unavailable', { reason: `the secret ${id} was not kept` })
  return unwrapKey(master, purpose, stored.wrapped_key)
}
