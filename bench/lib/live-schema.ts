import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'

export type Cell = string | number | null | Uint8Array
export type LiveRow = Readonly<Record<string, Cell>>

export interface LiveTable {
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly kind: 'text' | 'int8' | 'bytea' }[]
  readonly primaryKey: readonly string[]
}

/** Tables and rows as they are in a database, whatever version of the schema it has. */
export interface LiveSchema {
  /** The tables whose rows belong to a user: what recording a call writes. */
  tables(): Promise<LiveTable[]>
  rows(table: LiveTable): Promise<LiveRow[]>
  close(): Promise<void>
}

const kindOf = (type: string): 'text' | 'int8' | 'bytea' => {
  if (/int/i.test(type)) return 'int8'
  return /blob|bytea/i.test(type) ? 'bytea' : 'text'
}

const belongsToUser = (table: LiveTable) => table.columns.some(column => column.name === 'user_id')

export function readSqlite(file: string): LiveSchema {
  const database = new DatabaseSync(file, { readOnly: true })
  return {
    async tables() {
      const names = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .all()
      return names
        .map(({ name }) => {
          const info = database.prepare(`SELECT name, type, pk FROM pragma_table_info(?)`).all(String(name))
          return {
            name: String(name),
            columns: info.map(column => ({
              name: String(column['name']),
              kind: kindOf(String(column['type'])),
            })),
            primaryKey: info
              .filter(column => Number(column['pk']) > 0)
              .sort((a, b) => Number(a['pk']) - Number(b['pk']))
              .map(column => String(column['name'])),
          }
        })
        .filter(belongsToUser)
    },
    rows: async table => database.prepare(`SELECT * FROM ${table.name}`).all() as LiveRow[],
    close: async () => database.close(),
  }
}

const COLUMNS = `
  SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, NULL) AS type,
    array_position(i.indkey::int2[], a.attnum) AS pk
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
  WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  ORDER BY c.relname, a.attnum`

export async function readPostgres(url: string): Promise<LiveSchema> {
  const client = new pg.Client({ connectionString: url })
  // A server stopped because of an earlier error must not hide that error.
  client.on('error', () => undefined)
  client.setTypeParser(pg.types.builtins.INT8, Number)
  await client.connect()
  return {
    async tables() {
      type Found = { table: string; name: string; type: string; pk: number | null }
      const { rows } = await client.query<Found>(COLUMNS)
      return [...Map.groupBy(rows, row => row.table)]
        .map(([name, columns]) => ({
          name,
          columns: columns.map(column => ({ name: column.name, kind: kindOf(column.type) })),
          primaryKey: columns
            .filter(column => column.pk !== null)
            .sort((a, b) => (a.pk ?? 0) - (b.pk ?? 0))
            .map(column => column.name),
        }))
        .filter(belongsToUser)
    },
    rows: async table => (await client.query<LiveRow>(`SELECT * FROM ${table.name}`)).rows,
    close: () => client.end(),
  }
}
