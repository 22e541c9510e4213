import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { type MasterKeys, rewrapped } from '../privacy/key-ring.ts'
import { type MasterKey, unwrapKey, wrapKey } from '../privacy/master-key.ts'
import { type Actor, addEvents, eventRow, operator } from './audit-events.ts'
import type { Store } from './contents.ts'
import { currentMasterId } from './secrets.ts'

/** Keys wrapped anew in one transaction. */
const page = 200

/** How many keys and secrets are wrapped by another master key than this one. */
export async function wrappedByOthers({ kysely }: Pick<Database, 'kysely'>, to: MasterKey): Promise<number> {
  const count = async (table: 'secrets' | 'data_keys') => {
    const row = await kysely
      .selectFrom(table)
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('master_key_id', '<>', to.id)
      .where('wrapped_key', 'is not', null)
      .executeTakeFirst()
    return row?.count ?? 0
  }
  return (await count('secrets')) + (await count('data_keys'))
}

/**
 * Wraps every key and secret anew with the master key `to`, in small transactions. The secrets come first, in one: from then on
 * nobody wraps anything with another one. Broken off, it goes on when it is begun again.
 * @param onProgress may raise, which ends it
 * @throws SteleError master_key_mismatch when a key is wrapped by a master key that is not there; rotation_running when
 * somebody has begun to wrap everything with another one
 */
export async function rewrapAll(
  database: Store,
  masters: MasterKeys,
  to: MasterKey,
  onProgress: (done: number) => void | Promise<void> = () => undefined,
  by: Actor = operator,
): Promise<number> {
  let done = 0
  let isBegun = false
  const next = (rewrap: typeof rewrapSecrets): Promise<number> =>
    database.kysely.transaction().execute(async tx => {
      const rewrapped = await rewrap(database, tx, masters, to, isBegun)
      const event = { userId: '', by, action: 'master_key.rotation_begun', target: to.id } as const
      if (rewrapped > 0 && !isBegun) await addEvents(tx, database.contents, eventRow(event, Date.now()))
      isBegun = true
      return rewrapped
    })
  // Each until it finds none: a secret that was being made meanwhile is found by the second look.
  for (const rewrap of [rewrapSecrets, rewrapPage])
    for (let count = 1; count > 0; ) {
      count = await next(rewrap)
      done += count
      await onProgress(done)
    }
  return done
}

async function rewrapSecrets(
  database: Database,
  tx: Kysely<Tables>,
  masters: MasterKeys,
  to: MasterKey,
  isBegun: boolean,
): Promise<number> {
  const rows = await tx
    .selectFrom('secrets')
    .selectAll()
    .where('master_key_id', '<>', to.id)
    .orderBy('id')
    .modifyEnd(database.forUpdate)
    .execute()
  if (isBegun) await refuseOvertaken(tx, to)
  for (const { id, wrapped_key, master_key_id } of rows) {
    const purpose = `secret:${id}`
    const secret = unwrapKey(masters.find(master_key_id), purpose, wrapped_key)
    await tx
      .updateTable('secrets')
      .set({ wrapped_key: wrapKey(to, purpose, secret), master_key_id: to.id })
      .where('id', '=', id)
      .execute()
    secret.fill(0)
  }
  return rows.length
}

async function rewrapPage(
  database: Database,
  tx: Kysely<Tables>,
  masters: MasterKeys,
  to: MasterKey,
): Promise<number> {
  const rows = await tx
    .selectFrom('data_keys')
    .select(['user_id', 'id', 'wrapped_key', 'master_key_id'])
    .where('master_key_id', '<>', to.id)
    .where('wrapped_key', 'is not', null)
    .orderBy('user_id')
    .orderBy('id')
    .limit(page)
    .modifyEnd(database.forUpdate)
    .execute()
  await refuseOvertaken(tx, to)
  for (const { wrapped_key, ...row } of rows) {
    if (wrapped_key === null) continue
    await tx
      .updateTable('data_keys')
      .set({
        wrapped_key: rewrapped({ ...row, wrapped_key }, masters.find(row.master_key_id), to),
        master_key_id: to.id,
      })
      .where('user_id', '=', row.user_id)
      .where('id', '=', row.id)
      .execute()
  }
  return rows.length
}

/** Whoever has stood still for long must not go on with a key that is given up by now. Asked with the rows locked. */
async function refuseOvertaken(tx: Kysely<Tables>, to: MasterKey): Promise<void> {
  if ((await currentMasterId({ kysely: tx })) !== to.id) throw new SteleError('rotation_running')
}
