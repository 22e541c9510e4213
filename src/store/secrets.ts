import { randomBytes } from 'node:crypto'
import type { Database } from '../db/database.ts'
import { type MasterKey, unwrapKey, wrapKey } from '../privacy/master-key.ts'

/** How a master key stands to the secrets of a database: it opens them all, there are none, or it is another's. */
export async function checkSecrets(database: Database, master: MasterKey): Promise<'opens' | 'absent' | 'mismatch'> {
  const rows = await database.kysely.selectFrom('secrets').select(['id', 'wrapped_key']).execute()
  try {
    for (const { id, wrapped_key } of rows) unwrapKey(master, `secret:${id}`, wrapped_key)
    return rows.length === 0 ? 'absent' : 'opens'
  } catch {
    return 'mismatch'
  }
}

/**
 * The secret named `id`, made at first use and kept wrapped by the master key.
 * @throws SteleError master_key_mismatch when the stored one was wrapped by another master key
 */
export async function openSecret(database: Database, master: MasterKey, id: string): Promise<Buffer> {
  const purpose = `secret:${id}`
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
  const row = await database.kysely.selectFrom('secrets').select('wrapped_key').where('id', '=', id).executeTakeFirstOrThrow()
  return unwrapKey(master, purpose, row.wrapped_key)
}
