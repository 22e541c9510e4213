import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { checkKeyFile, type KeyFileRecord, recordsOf, storeMark } from './key-file.ts'

export interface RestoredKeys {
  /** Keys that are new here and open something. */
  readonly keys: number
  /** Users who were erased since what is here was recorded: their erasure is begun here, and is to be finished. */
  readonly toErase: number
}

/** Records written in one transaction. */
const recordsAtATime = 500

/**
 * Puts the keys of a key file into the database that they were of. What is destroyed, here or in the file, stays or becomes
 * so; keys that are here stay as they are. Secrets are taken where those in the file are wrapped by a later master key.
 * @throws SteleError key_file_invalid
 */
export async function restoreKeys(database: Database, path: string): Promise<RestoredKeys> {
  const { store, created_at } = await checkKeyFile(path)
  const { kysely } = database
  const mark = await storeMark(kysely)
  if (mark !== 0 && mark !== store)
    throw new SteleError('key_file_invalid', { path, reason: 'it is of another store' })
  const isLater = created_at >= (await lastRecorded(kysely))
  let keys = 0
  let toErase = 0
  const take = async (records: readonly KeyFileRecord[]): Promise<void> => {
    await database.overwriting(async tx => {
      for (const record of records) {
        if (record.type === 'key') keys += await takeKey(tx, record)
        else if (record.type === 'erased') toErase += await takeErasure(tx, record)
        else if (isLater) await takeSecret(tx, record)
      }
    })
  }
  let page: KeyFileRecord[] = []
  for await (const record of recordsOf(path)) {
    page.push(record)
    if (page.length < recordsAtATime) continue
    await take(page)
    page = []
  }
  await take(page)
  return { keys, toErase }
}

/** Whether there is content that no key is there for. */
export async function lacksKeys({ kysely }: Database): Promise<boolean> {
  const key = await kysely
    .selectFrom('data_keys')
    .select('id')
    .where('wrapped_key', 'is not', null)
    .limit(1)
    .executeTakeFirst()
  if (key !== undefined) return false
  const sealed = sql.join([4, 6, 7].map(form => Buffer.from([form])))
  const holds = async (table: 'messages' | 'llm_requests', column: string): Promise<boolean> => {
    const { rows } = await sql`
      SELECT 1 FROM ${sql.table(table)} c WHERE substr(${sql.ref(column)}, 1, 1) IN (${sealed})
      AND NOT EXISTS (SELECT 1 FROM data_keys k WHERE k.user_id = c.user_id) LIMIT 1`.execute(kysely)
    return rows.length > 0
  }
  return (
    (await holds('messages', 'content')) ||
    (await holds('llm_requests', 'params')) ||
    holds('llm_requests', 'body')
  )
}

async function lastRecorded(db: Kysely<Tables>): Promise<number> {
  const last = async (table: 'llm_requests' | 'secrets'): Promise<number> => {
    const { rows } = await sql<{
      at: number | null
    }>`SELECT max(created_at) AS at FROM ${sql.table(table)}`.execute(db)
    return rows[0]?.at ?? 0
  }
  return Math.max(await last('llm_requests'), await last('secrets'))
}

/** Returns how many keys are new: one or none. */
async function takeKey(
  tx: Kysely<Tables>,
  { type: _, wrapped_key, ...facts }: Extract<KeyFileRecord, { type: 'key' }>,
): Promise<number> {
  const { user_id, id, destroyed_at } = facts
  const here = await tx
    .selectFrom('data_keys')
    .select(['id', 'retired_at', 'destroyed_at'])
    .where('user_id', '=', user_id)
    .execute()
  const known = here.find(row => row.id === id)
  if (wrapped_key === null && known !== undefined && known.destroyed_at === null)
    await tx
      .updateTable('data_keys')
      .set({ wrapped_key: null, destroyed_at: destroyed_at ?? Date.now() })
      .where('user_id', '=', user_id)
      .where('id', '=', id)
      .execute()
  if (known !== undefined) return 0
  const hasCurrent = here.some(row => row.retired_at === null && row.destroyed_at === null)
  const row: Row<'data_keys'> = {
    ...facts,
    wrapped_key: wrapped_key === null ? null : Buffer.from(wrapped_key, 'base64'),
    retired_at: facts.retired_at ?? (hasCurrent ? Date.now() : null),
  }
  await tx.insertInto('data_keys').values(row).execute()
  return wrapped_key === null ? 0 : 1
}

async function takeErasure(
  tx: Kysely<Tables>,
  { user_id, erased_at }: Extract<KeyFileRecord, { type: 'erased' }>,
): Promise<number> {
  const { numUpdatedRows } = await tx
    .updateTable('users')
    .set({ status: 'erasing', erased_at })
    .where('id', '=', user_id)
    .where(eb => eb.or([eb('erased_at', 'is', null), eb('erased_at', '<', erased_at)]))
    .executeTakeFirst()
  return Number(numUpdatedRows)
}

async function takeSecret(
  tx: Kysely<Tables>,
  { id, wrapped_key, master_key_id }: Extract<KeyFileRecord, { type: 'secret' }>,
): Promise<void> {
  await tx
    .updateTable('secrets')
    .set({ wrapped_key: Buffer.from(wrapped_key, 'base64'), master_key_id })
    .where('id', '=', id)
    .where('master_key_id', '<>', master_key_id)
    .execute()
}
