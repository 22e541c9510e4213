import type { StoredBatch } from '../batch.ts'
import { columnsOf, primaryKeys, type TableName } from '../tables.ts'
import type { SqliteConnection } from './connection.ts'
import { permitStatement } from './guards.ts'
import { sqliteSearchWriter } from './search.ts'

type Value = string | number | null | Uint8Array
type Fields = Readonly<Record<string, Value>>

/** Row by row through prepared statements: without a network, a loop is the fastest way to write many rows. */
export function sqliteBatch(connection: SqliteConnection, options: { search: boolean }): StoredBatch {
  const each = (sql: string, columns: readonly string[], rows: readonly object[]): number => {
    if (rows.length === 0) return 0
    const statement = connection.prepare(sql)
    let changes = 0
    for (const row of rows) changes += Number(statement.run(...valuesOf(row as Fields, columns)).changes)
    return changes
  }
  return {
    search: sqliteSearchWriter(connection, options.search),
    async find(table, by, keys, columns, options) {
      const where = options?.where === undefined ? '' : ` AND ${options.where}`
      const latest = options?.latest
      const order = latest === undefined ? '' : ` ORDER BY ${latest.by} DESC LIMIT ${latest.limit}`
      const statement = connection.prepare(
        `SELECT ${list(columns)} FROM ${table} WHERE ${equals(by, ' AND ')}${where}${order}`,
      )
      return keys.flatMap(key => statement.all(...valuesOf(key as Fields, by)) as never[])
    },
    async insert(table, rows) {
      each(insertInto(table), columnsOf(table), rows)
    },
    async insertAbsent(table, rows) {
      each(`${insertInto(table)} ON CONFLICT DO NOTHING`, columnsOf(table), rows)
    },
    async insertOrAdd(table, key, add, rows) {
      const sums = add.map(column => `${column} = ${table}.${column} + excluded.${column}`).join(', ')
      each(`${insertInto(table)} ON CONFLICT (${list(key)}) DO UPDATE SET ${sums}`, columnsOf(table), rows)
    },
    async addAndRead(table, key, add, rows) {
      const sums = add.map(column => `${column} = ${table}.${column} + excluded.${column}`).join(', ')
      const statement = connection.prepare(
        `${insertInto(table)} ON CONFLICT (${list(key)}) DO UPDATE SET ${sums} RETURNING ${list(add)}`,
      )
      return rows.map(row => {
        const values = valuesOf(row as Fields, columnsOf(table))
        return { ...row, ...statement.get(...values) } as never
      })
    },
    async permit(reason) {
      connection.prepare(permitStatement).get(reason)
    },
    async first(table, limit, after) {
      const key = primaryKeys[table]
      const behind = after === undefined ? '' : ` WHERE (${list(key)}) > (${after.map(() => '?').join(', ')})`
      const statement = connection.prepare(
        `SELECT ${list(columnsOf(table))} FROM ${table}${behind} ORDER BY ${list(key)} LIMIT ?`,
      )
      return statement.all(...(after ?? []), limit) as never
    },
    async last(table) {
      const order = primaryKeys[table].map(column => `${column} DESC`).join(', ')
      return connection
        .prepare(`SELECT ${list(columnsOf(table))} FROM ${table} ORDER BY ${order} LIMIT 1`)
        .get() as never
    },
    // One batch at a time writes.
    share: async () => undefined,
    async update(table, set, match, updates) {
      const statement = connection.prepare(
        `UPDATE ${table} SET ${equals(set, ', ')} WHERE ${equals(match, ' AND ')}`,
      )
      let changes = 0
      for (const update of updates) {
        const values = [...valuesOf(update.set as Fields, set), ...valuesOf(update.match as Fields, match)]
        changes += Number(statement.run(...values).changes)
      }
      return changes
    },
    async remove(table, by, keys) {
      return each(`DELETE FROM ${table} WHERE ${equals(by, ' AND ')}`, by, keys)
    },
  }
}

const inserts = new Map<TableName, string>()

/** Made once for each table: a batch of one would spend as long on the text as on the row. */
function insertInto(table: TableName): string {
  let text = inserts.get(table)
  if (text === undefined) {
    const columns = columnsOf(table)
    text = `INSERT INTO ${table} (${list(columns)}) VALUES (${columns.map(() => '?').join(', ')})`
    inserts.set(table, text)
  }
  return text
}

function list(columns: readonly string[]): string {
  return columns.join(', ')
}

function equals(columns: readonly string[], joint: string): string {
  return columns.map(column => `${column} = ?`).join(joint)
}

function valuesOf(row: Fields, columns: readonly string[]): Value[] {
  return columns.map(column => row[column] ?? null)
}
