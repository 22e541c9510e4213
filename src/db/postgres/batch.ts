import type { BatchLock, SoleWork, StoredBatch } from '../batch.ts'
import { type ColumnName, columnsOf, kindOf, primaryKeys, type TableName } from '../tables.ts'
import { permitStatement } from './guards.ts'
import { postgresSearchWriter } from './search.ts'

type Value = string | number | null | Uint8Array
type Fields = Readonly<Record<string, Value>>

/** Runs one statement under a name, so that the server plans it once per connection. */
export type RunStatement = (
  sql: string,
  values: unknown[],
) => Promise<{ rows: unknown[]; rowCount: number | null }>

/** Transaction-level advisory locks. The numbers are arbitrary, but Stele's own. */
export const batchLocks: Readonly<Record<BatchLock, number>> = { limits: 7_353_853_002 }
/** The first halves of such locks; the second stands for the schema, so that stores in one database do not wait for each other. */
export const soleWorkLocks: Readonly<Record<SoleWork, number>> = { 'audit-log': 735_385_303 }

interface SourceColumn {
  /** The column's name in the source. */
  readonly name: string
  readonly table: TableName
  readonly column: string
}

/**
 * Many rows in one statement: each column travels as one array parameter and `unnest` turns them into rows, so a batch
 * of any size has the same SQL and keeps its plan. Bytes travel as base64 text: the arrays of the text protocol would
 * carry them as hexadecimal with a backslash to escape for each.
 */
export function postgresBatch(run: RunStatement, options: { search: boolean }): StoredBatch {
  return {
    search: postgresSearchWriter(run, options.search),
    async find(table, by, keys, columns, options) {
      if (keys.length === 0) return []
      const source = by.map(name => ({ name, table, column: name }))
      const matches = by.map(column => `t.${column} = k.${column}`).join(' AND ')
      const where = options?.where === undefined ? '' : ` AND t.${options.where}`
      if (options?.lock !== true) {
        // Shared locks are taken in the order of the keys as they are given.
        const share = options?.lock === 'shared' ? ' FOR SHARE' : ''
        // OFFSET 0, as LIMIT does, keeps the subquery a lookup for each key. Joined, a table that looks empty would be read from
        // end to end, even through an index, and the prepared plan would stay so while the table grows.
        const latest = options?.latest
        const end = latest === undefined ? 'OFFSET 0' : `ORDER BY t.${latest.by} DESC LIMIT ${latest.limit}`
        const { rows } = await run(
          `SELECT t.* FROM ${unnest(source)} k CROSS JOIN LATERAL (SELECT ${columns.join(', ')} FROM ${table} t WHERE ${matches}${where} ${end}${share}) t`,
          arrays(source, keys as readonly Fields[]),
        )
        return rows as never
      }
      // Rows are locked in key order, whoever asks, so that two batches cannot wait for each other.
      const lock = ` ORDER BY ${by.map(column => `t.${column}`).join(', ')} FOR UPDATE OF t`
      const { rows } = await run(
        `SELECT ${columns.map(column => `t.${column}`).join(', ')} FROM ${unnest(source)} k JOIN ${table} t ON ${matches}${where}${lock}`,
        arrays(source, keys as readonly Fields[]),
      )
      return rows as never
    },
    async insert(table, rows) {
      await insert(run, table, rows, '')
    },
    async insertAbsent(table, rows) {
      await insert(run, table, rows, 'ON CONFLICT DO NOTHING')
    },
    async insertOrAdd(table, key, add, rows) {
      const sums = add.map(column => `${column} = ${table}.${column} + excluded.${column}`).join(', ')
      await insert(run, table, rows, `ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${sums}`, key)
    },
    async addAndRead(table, key, add, rows) {
      const sums = add.map(column => `${column} = ${table}.${column} + excluded.${column}`).join(', ')
      const read = [...key, ...add].map(column => `${table}.${column}`).join(', ')
      const onConflict = `ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${sums} RETURNING ${read}`
      return (await insert(run, table, rows, onConflict, key)) as never
    },
    async permit(reason) {
      await run(permitStatement, [reason])
    },
    async first(table, limit, after = []) {
      const key = primaryKeys[table].join(', ')
      const behind =
        after.length === 0 ? '' : ` WHERE (${key}) > (${after.map((_, at) => `$${at + 2}`).join(', ')})`
      const { rows } = await run(
        `SELECT ${columnsOf(table).join(', ')} FROM ${table}${behind} ORDER BY ${key} LIMIT $1`,
        [limit, ...after],
      )
      return rows as never
    },
    async last(table) {
      const order = primaryKeys[table].map(column => `${column} DESC`).join(', ')
      const { rows } = await run(
        `SELECT ${columnsOf(table).join(', ')} FROM ${table} ORDER BY ${order} LIMIT 1`,
        [],
      )
      return rows[0] as never
    },
    async share(lock) {
      await run('SELECT pg_advisory_xact_lock_shared($1)', [batchLocks[lock]])
    },
    async update(table, set, match, updates) {
      if (updates.length === 0) return 0
      const source = [
        ...set.map(column => ({ name: `set_${column}`, table, column })),
        ...match.map(column => ({ name: `match_${column}`, table, column })),
      ]
      const assignments = set
        .map(column => `${column} = ${stored(table, column, `k.set_${column}`)}`)
        .join(', ')
      const matches = match.map(column => `t.${column} = k.match_${column}`).join(' AND ')
      const rows = updates.map(update => ({
        ...prefixed('set_', update.set as Fields),
        ...prefixed('match_', update.match as Fields),
      }))
      const { rowCount } = await run(
        `UPDATE ${table} t SET ${assignments} FROM ${unnest(source)} k WHERE ${matches}`,
        arrays(source, rows),
      )
      return rowCount ?? 0
    },
    async remove(table, by, keys) {
      if (keys.length === 0) return 0
      const source = by.map(name => ({ name, table, column: name }))
      const matches = by.map(column => `t.${column} = k.${column}`).join(' AND ')
      const { rowCount } = await run(
        `DELETE FROM ${table} t USING ${unnest(source)} k WHERE ${matches}`,
        arrays(source, keys as readonly Fields[]),
      )
      return rowCount ?? 0
    },
  }
}

async function insert<T extends TableName>(
  run: RunStatement,
  table: T,
  rows: readonly object[],
  onConflict: string,
  orderBy: readonly ColumnName<T>[] = [],
): Promise<readonly unknown[]> {
  if (rows.length === 0) return []
  const columns = columnsOf(table)
  const source = columns.map(name => ({ name, table, column: name }))
  const values = source.map(({ name }) => stored(table, name as ColumnName<T>, name))
  const order = orderBy.length === 0 ? '' : ` ORDER BY ${orderBy.join(', ')}`
  const written = await run(
    `INSERT INTO ${table} (${columns.join(', ')}) SELECT ${values.join(', ')} FROM ${unnest(source)} k${order} ${onConflict}`,
    arrays(source, rows as readonly Fields[]),
  )
  return written.rows
}

/** A value of the source in the type of its column. */
function stored<T extends TableName>(table: T, column: ColumnName<T>, value: string): string {
  return kindOf(table, column) === 'bytes' ? `decode(${value}, 'base64')` : value
}

/** `unnest($1::text[], …) AS k(…)` without the keyword's alias, which callers add. */
function unnest(source: readonly SourceColumn[]): string {
  const arguments_ = source.map(({ table, column }, index) => {
    const type = kindOf(table, column as never) === 'integer' ? 'bigint' : 'text'
    return `$${index + 1}::${type}[]`
  })
  return `(SELECT * FROM unnest(${arguments_.join(', ')}) AS u(${source.map(({ name }) => name).join(', ')}))`
}

function arrays(source: readonly SourceColumn[], rows: readonly Fields[]): unknown[][] {
  return source.map(({ name }) =>
    rows.map(row => {
      const value = row[name] ?? null
      return value instanceof Uint8Array
        ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
        : value
    }),
  )
}

function prefixed(prefix: string, fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [prefix + name, value]))
}
