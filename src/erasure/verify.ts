import { type Kysely, sql } from 'kysely'
import { contentColumnsOf, type TableName, type Tables, tableNames, userColumnOf } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId, lowestIdAt } from '../ids.ts'
import { afterErasure } from './plan.ts'

/** Something of an erased user that should not be there any more. */
export interface Remains {
  readonly table: string
  /** The column that should be empty; undefined where the rows should be gone. */
  readonly column?: string
  readonly rows: number
}

/** Tables that tell how far the search index has come, which may still be told of a conversation that is gone. */
function isOfIndex(table: TableName): boolean {
  return table === 'search_queue' || table === 'search_progress'
}

/** When rows were made, where another column says so than `created_at`. */
const times: Readonly<Record<string, string>> = { user_passwords: 'changed_at' }

/**
 * Looks in every table for what an erasure should have taken: values sealed with destroyed keys, rows from before it, and what
 * tells who somebody was. What came after it, of somebody who came back, is not looked at. Nothing found is an empty list.
 * @throws SteleError user_not_found, user_erasing
 */
export async function findRemains(db: Kysely<Tables>, userId: string): Promise<Remains[]> {
  const user = await db
    .selectFrom('users')
    .select(['status', 'erased_at'])
    .where('id', '=', userId)
    .executeTakeFirst()
  if (user === undefined) throw new SteleError('user_not_found', { user: userId })
  if (user.status === 'erasing') throw new SteleError('user_erasing', { user: userId })
  const erasedAt = user.erased_at ?? -1
  const found = [
    ...(await sealedRemains(db, userId)),
    ...(await rowsLeft(db, userId, erasedAt)),
    ...(await factsLeft(db, userId, erasedAt, user.status === 'erased')),
  ]
  return found.filter(({ rows }) => rows > 0)
}

async function sealedRemains(db: Kysely<Tables>, userId: string): Promise<Remains[]> {
  const keys = await db
    .selectFrom('data_keys')
    .select('id')
    .where('user_id', '=', userId)
    .where('destroyed_at', 'is not', null)
    .execute()
  if (keys.length === 0) return []
  const names = sql.join(keys.map(({ id }) => Buffer.from(id, 'hex')))
  const found: Remains[] = []
  for (const table of tableNames)
    for (const { name: column } of contentColumnsOf(table)) {
      // A value that is sealed begins with one byte and its key's name of sixteen.
      const rows = await countWhere(
        db,
        table,
        sql`${sql.ref(userColumnOf(table))} = ${userId} AND substr(${sql.ref(column)}, 2, 16) IN (${names})`,
      )
      found.push({ table, column, rows })
    }
  return found
}

async function rowsLeft(db: Kysely<Tables>, userId: string, erasedAt: number): Promise<Remains[]> {
  const found: Remains[] = []
  for (const table of tableNames) {
    const fate: string = afterErasure[table]
    if (fate !== 'removed' && fate !== 'with its conversation') continue
    if (table === 'login_attempts' || table === 'idempotency_keys' || isOfIndex(table)) continue
    const time = sql.ref(times[table] ?? 'created_at')
    const rows = await countWhere(db, table, sql`user_id = ${userId} AND ${time} <= ${erasedAt}`)
    found.push({ table, rows })
  }
  const { rows: words } = await sql<{ count: number }>`
    SELECT count(*) AS count FROM message_search WHERE user_id = ${userId} AND created_at <= ${erasedAt}`.execute(
    db,
  )
  const attempts = await countWhere(
    db,
    'login_attempts',
    sql`subject = ${`user:${userId}`} AND last_at <= ${erasedAt}`,
  )
  const claims = await db
    .selectFrom('idempotency_keys')
    .select('call_id')
    .where('user_id', '=', userId)
    .execute()
  const before = lowestIdAt('call', Math.max(0, erasedAt))
  return [
    ...found,
    { table: 'message_search', rows: words[0]?.count ?? 0 },
    { table: 'login_attempts', rows: attempts },
    {
      table: 'idempotency_keys',
      rows: claims.filter(({ call_id }) => isId('call', call_id) && call_id < before).length,
    },
  ]
}

async function factsLeft(
  db: Kysely<Tables>,
  userId: string,
  erasedAt: number,
  isAway: boolean,
): Promise<Remains[]> {
  const calls = sql`user_id = ${userId} AND id < ${lowestIdAt('call', Math.max(0, erasedAt))}`
  const replies = sql`user_id = ${userId} AND request_id < ${lowestIdAt('call', Math.max(0, erasedAt))}`
  const own = sql`user_id = ${userId} AND created_at <= ${erasedAt}`
  const kept = (column: string) => sql`octet_length(${sql.ref(column)}) > 1`
  const asked: [TableName, string, ReturnType<typeof sql>][] = [
    ['data_keys', 'wrapped_key', sql`${own} AND wrapped_key IS NOT NULL`],
    ['api_keys', 'revoked_at', sql`${own} AND revoked_at IS NULL`],
    ['llm_requests', 'params', sql`${calls} AND params IS NOT NULL`],
    ['llm_requests', 'body', sql`${calls} AND ${kept('body')}`],
    ['llm_requests', 'sent', sql`${calls} AND sent IS NOT NULL`],
    ['llm_requests', 'prompt_hash', sql`${calls} AND prompt_hash <> ''`],
    ['llm_responses', 'body', sql`${replies} AND ${kept('body')}`],
    ['llm_responses', 'error_message', sql`${replies} AND error_message IS NOT NULL`],
    ['llm_responses', 'provider_response_id', sql`${replies} AND provider_response_id IS NOT NULL`],
    ...(isAway
      ? (['email', 'username', 'preferences'] as const).map(
          (column): [TableName, string, ReturnType<typeof sql>] => [
            'users',
            column,
            sql`id = ${userId} AND ${sql.ref(column)} IS NOT NULL`,
          ],
        )
      : []),
  ]
  const found: Remains[] = []
  for (const [table, column, where] of asked)
    found.push({ table, column, rows: await countWhere(db, table, where) })
  return found
}

async function countWhere(
  db: Kysely<Tables>,
  table: TableName,
  where: ReturnType<typeof sql>,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*) AS count FROM ${sql.table(table)} WHERE ${where}`.execute(db)
  return rows[0]?.count ?? 0
}
