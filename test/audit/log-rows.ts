import { type Kysely, sql } from 'kysely'
import {
  type ColumnName,
  columnsOf,
  kindOf,
  primaryKeys,
  type TableName,
  type Tables,
} from '../../src/db/tables.ts'

/** The tables that tell what happened, with all that goes with them. */
export const logTables = [
  'audit_events',
  'audit_log',
  'audit_tiles',
  'audit_checkpoints',
  'audit_keys',
  'audit_queue',
  'audit_counts',
  'secrets',
] as const satisfies readonly TableName[]

export type LogTable = (typeof logTables)[number]

export type Value = string | number | null | Buffer

/** A row as it is stored. */
export type Stored = Readonly<Record<string, Value>>

export type LogRows = { readonly [T in LogTable]: readonly Stored[] }

/** Everything that these tables hold. */
export async function readLogRows(db: Kysely<Tables>): Promise<LogRows> {
  const entries: [string, Stored[]][] = []
  for (const table of logTables) {
    const order = primaryKeys[table].join(', ')
    const { rows } = await sql<
      Record<string, Value | Uint8Array>
    >`SELECT * FROM ${sql.table(table)} ORDER BY ${sql.raw(order)}`.execute(db)
    entries.push([table, rows.map(row => Object.fromEntries(Object.entries(row).map(buffered)))])
  }
  return Object.fromEntries(entries) as unknown as LogRows
}

function buffered([name, value]: [string, Value | Uint8Array]): [string, Value] {
  return [name, value instanceof Uint8Array ? Buffer.from(value) : value]
}

/** Makes the tables hold `after` where they hold `before`: rows that are not in both are removed, or put in. */
export async function writeLogRows(db: Kysely<Tables>, before: LogRows, after: LogRows): Promise<void> {
  for (const table of logTables) {
    const kept = new Set(after[table].map(textOf))
    const known = new Set(before[table].map(textOf))
    for (const row of before[table]) {
      if (kept.has(textOf(row))) continue
      const key = sql.join(
        primaryKeys[table].map(column => sql`${sql.ref(column)} = ${row[column]}`),
        sql` AND `,
      )
      await sql`DELETE FROM ${sql.table(table)} WHERE ${key}`.execute(db)
    }
    for (const row of after[table])
      if (!known.has(textOf(row)))
        await db
          .insertInto(table)
          .values(row as never)
          .execute()
  }
}

function textOf(row: Stored): string {
  return JSON.stringify(
    Object.entries(row).map(([name, value]) => [
      name,
      Buffer.isBuffer(value) ? value.toString('base64') : value,
    ]),
  )
}

export function sameRows(a: LogRows, b: LogRows): boolean {
  return logTables.every(table => {
    const left = a[table].map(textOf).sort()
    const right = b[table].map(textOf).sort()
    return left.length === right.length && left.every((text, at) => text === right[at])
  })
}

export interface LogColumn {
  readonly table: LogTable
  readonly name: string
  readonly kind: 'text' | 'integer' | 'bytes'
  readonly isKey: boolean
}

/** Every column of these tables. */
export const logColumns: readonly LogColumn[] = logTables.flatMap(table =>
  (columnsOf(table) as readonly ColumnName<LogTable>[]).map(name => ({
    table,
    name,
    kind: kindOf(table, name as never),
    isKey: (primaryKeys[table] as readonly string[]).includes(name),
  })),
)
