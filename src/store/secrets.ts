import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { StoredBatch } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { type MasterKey, unwrapKey, wrapKey } from '../privacy/master-key.ts'

/**
 * How master keys stand to the secrets of a database: they open them all, there are none, the first of them is gone, or they
 * are another's.
 */
export async function checkSecrets(
  database: Database,
  masters: readonly MasterKey[],
): Promise<'opens' | 'absent' | 'incomplete' | 'mismatch'> {
  const rows = await database.kysely.selectFrom('secrets').selectAll().execute()
  try {
    for (const { id, wrapped_key, master_key_id } of rows) {
      const master = masters.find(key => key.id === master_key_id)
      if (master === undefined) return 'mismatch'
      unwrapKey(master, secretPurpose(id), wrapped_key)
    }
    if (rows.length === 0) return 'absent'
    return rows.some(({ id }) => id === guardId) ? 'opens' : 'incomplete'
  } catch {
    return 'mismatch'
  }
}

/** The master key to use: the one named, or for a database that has no secrets yet, a new one. */
export type FindMaster = (id: string | undefined) => MasterKey

/** A secret that is there from the first opening on: whatever wrapped it wraps what is made from now on. */
export const guardId = 'conversation-hashes'

/**
 * The secret named `id`, made at first use and kept wrapped by the master key. `masterKey` is told which key wrapped the
 * stored one: then only that key will do, and none must be made.
 * @throws SteleError master_key_mismatch when the stored one was wrapped by another master key
 */
export async function openSecret(
  database: Database,
  id: string,
  masterKey: FindMaster,
  make: () => Promise<Uint8Array> | Uint8Array = () => randomBytes(32),
): Promise<Buffer> {
  const purpose = secretPurpose(id)
  const find = (name: string) =>
    database.kysely
      .selectFrom('secrets')
      .select(['wrapped_key', 'master_key_id'])
      .where('id', '=', name)
      .executeTakeFirst()
  const existing = await find(id)
  if (existing !== undefined)
    return unwrapKey(masterKey(existing.master_key_id), purpose, existing.wrapped_key)
  const secret = await make()
  const master = await database.kysely.transaction().execute(async tx => {
    const wrapper = masterKey(await holdGuard(tx, database))
    await addSecret(tx, id, wrapper, secret)
    return wrapper
  })
  const stored = await find(id)
  if (stored === undefined)
    throw new SteleError('store_unavailable', { reason: `the secret ${id} was not kept` })
  const wrapper = stored.master_key_id === master.id ? master : masterKey(stored.master_key_id)
  return unwrapKey(wrapper, purpose, stored.wrapped_key)
}

/** What a secret is wrapped for. */
export function secretPurpose(id: string): string {
  return `secret:${id}`
}

/**
 * The id of the master key that wraps what is made in this transaction. Held until commit: whoever wraps everything anew waits for it, and
 * so does whoever else asks for it.
 */
export async function holdGuard(tx: Kysely<Tables>, database: Database): Promise<string | undefined> {
  const holder = await tx
    .selectFrom('secrets')
    .select('master_key_id')
    .where('id', '=', guardId)
    .modifyEnd(database.forUpdate)
    .executeTakeFirst()
  return holder?.master_key_id
}

/** Keeps a secret, wrapped by a master key. `holdGuard` tells by which. False when there is one of this name, which stays. */
export async function addSecret(
  tx: Kysely<Tables>,
  id: string,
  master: MasterKey,
  secret: Uint8Array,
): Promise<boolean> {
  const wrapped_key = wrapKey(master, secretPurpose(id), secret)
  const row = { id, wrapped_key, master_key_id: master.id, created_at: Date.now() }
  // Another process may have been first; whichever row is there counts.
  const added = await tx
    .insertInto('secrets')
    .values(row)
    .onConflict(conflict => conflict.column('id').doNothing())
    .returning('id')
    .execute()
  return added.length > 0
}

/** The id of the master key that wraps what is made now. */
export async function currentMasterId({ kysely }: Pick<Database, 'kysely'>): Promise<string | undefined> {
  const row = await kysely
    .selectFrom('secrets')
    .select('master_key_id')
    .where('id', '=', guardId)
    .executeTakeFirst()
  return row?.master_key_id
}

/**
 * The id of the master key that wraps what is made in this transaction: until it commits, whoever puts another one in its
 * place waits.
 */
export async function guardSecret(batch: StoredBatch): Promise<string> {
  const [row] = await batch.find('secrets', ['id'], [{ id: guardId }], ['master_key_id'], { lock: 'shared' })
  if (row === undefined) throw new SteleError('store_unavailable', { reason: 'the database has no secrets' })
  return row.master_key_id
}

/**
 * Whether the database has content from before it was encrypted. Found out once, and from then on a secret of the master key:
 * nobody else can make plain content acceptable. Where there are keys there was none.
 * @param isSealed whether it has been sealed from the beginning
 */
export async function hasOldContent(
  database: Database,
  masterKey: FindMaster,
  isSealed: boolean,
): Promise<boolean> {
  const origin = await openSecret(database, 'content-origin', masterKey, async () => {
    if (isSealed) return Uint8Array.of(0)
    const { kysely } = database
    const holds = async (table: 'conversations' | 'llm_requests') =>
      (await kysely.selectFrom(table).select('id').orderBy('id').limit(1).executeTakeFirst()) !== undefined
    const key = await kysely.selectFrom('data_keys').select('id').limit(1).executeTakeFirst()
    const told = await kysely
      .selectFrom('users')
      .select('id')
      .where('preferences', 'is not', null)
      .limit(1)
      .executeTakeFirst()
    if (key !== undefined) return Uint8Array.of(0)
    const isOld = told !== undefined || (await holds('conversations')) || (await holds('llm_requests'))
    return Uint8Array.of(isOld ? 1 : 0)
  })
  return origin[0] === 1
}

/**
 * The key that seals what events tell, 32 bytes, and one that is 1 where the database has events from before they were sealed: found out
 * once, as with content.
 * @param isSealed whether the database has been sealed from the beginning
 */
export function openEventSecret(
  database: Database,
  masterKey: FindMaster,
  isSealed: boolean,
): Promise<Buffer> {
  return openSecret(database, 'audit-events', masterKey, async () => {
    const old = isSealed
      ? undefined
      : await database.kysely
          .selectFrom('audit_events')
          .select('id')
          .where('details', 'is not', null)
          .limit(1)
          .executeTakeFirst()
    return Buffer.concat([randomBytes(32), Uint8Array.of(old === undefined ? 0 : 1)])
  })
}
