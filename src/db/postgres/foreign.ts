import pg from 'pg'
import { reasonOf, SteleError } from '../../errors.ts'
import type { ForeignDatabase, ForeignOrder, ForeignRow, ForeignSelect, ForeignTable } from '../foreign.ts'
import { firstPageSize, nextPageSize } from '../foreign-page.ts'
import type { PostgresLocation } from './pools.ts'

/** Milliseconds to wait for a connection. */
const connectTime = 30_000

type TableType = ReadonlyMap<string, string>

/** @throws SteleError source_unreadable */
export async function openForeignPostgres(
  location: PostgresLocation,
  schema: string | undefined,
): Promise<ForeignDatabase> {
  const client = new pg.Client({
    connectionString: location.connectionString,
    connectionTimeoutMillis: connectTime,
    application_name: 'stele import',
  })
  // Whoever waits for an answer is told by its query.
  client.on('error', () => undefined)
  const display = `${location.display}${schema === undefined ? '' : ` (schema ${schema})`}`
  const reading = async <R>(work: () => Promise<R>): Promise<R> => {
    try {
      return await work()
    } catch (error) {
      if (error instanceof SteleError) throw error
      throw new SteleError(
        'source_unreadable',
        { source: display, reason: reasonOf(error) },
        { cause: error },
      )
    }
  }
  try {
    return await reading(async () => {
      await client.connect()
      return foreignDatabase(client, display, schema, reading)
    })
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

async function foreignDatabase(
  client: pg.Client,
  display: string,
  schema: string | undefined,
  reading: <R>(work: () => Promise<R>) => Promise<R>,
): Promise<ForeignDatabase> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  // So that values look the same whatever the server is set to.
  await client.query(
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL bytea_output = 'hex'",
  )
  // A server may end transactions that take long or wait long, as reading everything does.
  await client.query('SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0')
  const { rows } = await client.query<{ schema: string }>('SELECT coalesce($1, current_schema()) AS schema', [
    schema ?? null,
  ])
  const namespace = rows[0]?.schema ?? 'public'
  const described = await tablesOf(client, namespace)
  const fullName = (table: string): string => `${quoted(namespace)}.${quoted(table)}`
  const typesOf = (name: string): TableType =>
    described.find(({ table }) => table.name === name)?.types ?? new Map()
  let cursors = 0
  return {
    display,
    tables: described.map(({ table }) => table),
    knowsInsertionOrder: false,
    count: table =>
      reading(async () => {
        const counted = await client.query<{ count: string }>(
          `SELECT count(*)::text AS count FROM ${fullName(table)}`,
        )
        return Number(counted.rows[0]?.count ?? 0)
      }),
    async *select(query) {
      const cursor = `stele_${++cursors}`
      await reading(() =>
        client.query(
          `DECLARE ${cursor} NO SCROLL CURSOR FOR ${selectText(query, typesOf, fullName, query.table)}`,
        ),
      )
      for (let size = firstPageSize; ; ) {
        const page = await reading(() => client.query<ForeignRow>(`FETCH ${size} FROM ${cursor}`))
        if (page.rows.length > 0) yield page.rows
        if (page.rows.length < size) break
        size = nextPageSize(size, bytesOf(page.rows))
      }
      await reading(() => client.query(`CLOSE ${cursor}`))
    },
    close: () => client.end(),
  }
}

function selectText(
  { columns, orderBy, join }: ForeignSelect,
  typesOf: (table: string) => TableType,
  nameOf: (table: string) => string,
  table: string,
): string {
  // Text is exact where a number or a date of JavaScript would not be.
  const value = (from: string, of: string, column: string, as: string): string =>
    `${from}.${quoted(column)}${typesOf(of).get(column) === 'bytea' ? '' : '::text'} AS ${quoted(as)}`
  const values = [
    ...columns.map(column => value('t', table, column, column)),
    ...(join?.columns ?? []).map(column => value('j', join?.table ?? '', column, `${join?.table}.${column}`)),
  ]
  const joined =
    join === undefined
      ? ''
      : ` LEFT JOIN ${nameOf(join.table)} AS j ON j.${quoted(join.on[1])} = t.${quoted(join.on[0])}`
  return `SELECT ${values.join(', ')} FROM ${nameOf(table)} AS t${joined} ORDER BY ${orderBy.flatMap(orderText).join(', ')}`
}

function orderText(by: ForeignOrder): string[] {
  if (by === 'insertion') return []
  // Named with its table: the same name alone would mean the text that is selected.
  return 'bytes' in by
    ? [`t.${quoted(by.bytes)}::text COLLATE "C"${by.descending === true ? ' DESC' : ''} NULLS FIRST`]
    : [`t.${quoted(by.value)} NULLS FIRST`]
}

function bytesOf(rows: readonly ForeignRow[]): number {
  let bytes = 0
  for (const row of rows) for (const value of Object.values(row)) bytes += value?.length ?? 0
  return bytes
}

async function tablesOf(
  client: pg.Client,
  namespace: string,
): Promise<{ readonly table: ForeignTable; readonly types: TableType }[]> {
  const { rows } = await client.query<{ name: string; column: string; type: string; is_key: boolean }>(
    `SELECT c.relname AS name, a.attname AS column, a.atttypid::regtype::text AS type,
       coalesce(i.indkey[0] = a.attnum AND i.indnkeyatts = 1, false) AS is_key
     FROM pg_class c
     JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     ORDER BY c.relname, a.attnum`,
    [namespace],
  )
  return [...Map.groupBy(rows, ({ name }) => name)].map(([name, columns]) => ({
    table: {
      name,
      columns: columns.map(({ column }) => column),
      counter: columns.find(({ is_key, type }) => is_key && /^(smallint|integer|bigint)$/.test(type))?.column,
    },
    types: new Map(columns.map(({ column, type }) => [column, type])),
  }))
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
