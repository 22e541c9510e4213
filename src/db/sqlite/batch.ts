import type { Batch, FindOptions } from '../batch.ts'
import { type ColumnName, columnsOf, type Row, type TableName } from '../tables.ts'
import type { SqliteConnection } from './connection.ts'

type Value = string | number | null | Uint8Array
type Fields = Readonly<Record<string, Value>>

/** Row by row through prepared statements: without a network, a loop is the fastest way to write many rows. */
export function sqliteBatch(connection: SqliteConnection): Batch {
  const each = (sql: string, columns: readonly string[], rows: readonly object[]): number => {
    const statement = connection.prepare(sql)
    let changes = 0
    for (const row of rows) changes += Number(statement.run(...valuesOf(row as Fields, columns)).changes)
    return changes
  }
  return {
    async find<T extends TableName, C extends ColumnName<T>>(
      table: T,
      by: readonly string[],
      keys: readonly object[],
      columns: readonly C[],
      options?: FindOptions,
    ) {
      const where = options?.where === undefined ? '' : ` AND ${options.where}`
      const statement = connection.prepare(
        `SELECT ${list(columns)} FROM ${table} WHERE ${equals(by, ' AND ')}${where}`,
      )
      return keys.flatMap(
        key => statement.all(...valuesOf(key as Fields, by)) as unknown as Pick<Row<T>, C>[],
      )
    },
    async insert(table, rows) {
      const columns = columnsOf(table)
      each(insertInto(table, columns), columns, rows)
    },
    async insertAbsent(table, rows) {
      const columns = columnsOf(table)
      each(`${insertInto(table, columns)} ON CONFLICT DO NOTHING`, columns, rows)
    },
    async insertOrAdd(table, key, add, rows) {
      const columns = columnsOf(table)
      const sums = add.map(column => `${column} = ${table}.${column} + excluded.${column}`).join(', ')
      each(`${insertInto(table, columns)} ON CONFLICT (${list(key)}) DO UPDATE SET ${sums}`, columns, rows)
    },
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
  }
}

function insertInto(table: TableName, columns: readonly string[]): string {
  return `INSERT INTO ${table} (${list(columns)}) VALUES (${columns.map(() => '?').join(', ')})`
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
