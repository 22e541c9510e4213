import type { Database } from '../../src/db/database.ts'
import { parseMasterKey, unwrapKey, wrapKey } from '../../src/privacy/master-key.ts'
import { digestOfVkey } from '../../src/store/guard.ts'
import { guardId, secretPurpose } from '../../src/store/secrets.ts'
import { withoutGuards } from './guards.ts'

/** Takes the keys of the log away, as whoever owns the tables can: no migration that loses a log is refused then. */
export async function removeLogKeys(database: Pick<Database, 'kysely' | 'schemaTypes'>): Promise<void> {
  const { kysely } = database
  await withoutGuards(database, () => kysely.deleteFrom('audit_keys').execute())
  await kysely.deleteFrom('secrets').where('id', 'like', 'audit-key:%').execute()
}

/** The first secret of a database, opened. */
export async function guardOf({ kysely }: Pick<Database, 'kysely'>, masterKey: string): Promise<Buffer> {
  const row = await kysely
    .selectFrom('secrets')
    .selectAll()
    .where('id', '=', guardId)
    .executeTakeFirstOrThrow()
  return unwrapKey(parseMasterKey(masterKey), secretPurpose(guardId), row.wrapped_key)
}

/** Makes the first secret one of a version that did not note in it that there is a log. Only the master key can. */
export async function unmark(
  database: Pick<Database, 'kysely'>,
  masterKey: string,
  length = 33,
): Promise<void> {
  const secret = (await guardOf(database, masterKey)).subarray(0, length)
  await database.kysely
    .updateTable('secrets')
    .set({ wrapped_key: wrapKey(parseMasterKey(masterKey), secretPurpose(guardId), secret) })
    .where('id', '=', guardId)
    .execute()
}

/** The first secret as it would be, had its log begun with this key, wrapped. Only the master key can. */
export async function guardOfLog(
  database: Pick<Database, 'kysely'>,
  masterKey: string,
  vkey: string,
): Promise<Buffer> {
  const key = (await guardOf(database, masterKey)).subarray(0, 33)
  const secret = Buffer.concat([key, Uint8Array.of(1, 0), digestOfVkey(vkey)])
  return Buffer.from(wrapKey(parseMasterKey(masterKey), secretPurpose(guardId), secret))
}
