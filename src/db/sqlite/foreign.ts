import { isUtf8 } from 'node:buffer'
import { existsSync } from 'node:fs'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { reasonOf, SteleError } from '../../errors.ts'
import type { ForeignDatabase, ForeignRow, ForeignSelect, ForeignTable, ForeignValue } from '../foreign.ts'
import { firstPageSize, nextPageSize } from '../foreign-page.ts'

/** How long a statement waits for another process's lock, in milliseconds. */
const busyTimeout = 10_000

/** A name that no column of another program has. */
const rowIdName = 'stele_row_id'

/** Stands in text where its bytes were no UTF-8, and in text that has it itself. */
const replacement = '\uFFFD'

/** @throws SteleError source_unreadable */
export async function openForeignSqlite(path: string, display: string): Promise<ForeignDatabase> {
  if (!existsSync(path)) throw unreadable(display, 'there is no such file')
  try {
    const database = new DatabaseSync(path, { readOnly: true, timeout: busyTimeout })
    try {
      return foreignDatabase(database, display)
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw unreadable(display, reasonOf(error), error)
  }
}

function foreignDatabase(database: DatabaseSync, display: string): ForeignDatabase {
  // What is read stays as it was at the first statement, also while others write.
  database.exec('BEGIN DEFERRED')
  const described = tablesOf(database)
  return {
    display,
    tables: described,
    knowsInsertionOrder: described.every(({ hasRowId }) => hasRowId),
    async count(table) {
      const row = database.prepare(`SELECT count(*) AS count FROM ${quoted(table)}`).get()
      return Number(row?.['count'] ?? 0)
    },
    async *select(query) {
      const hasRowId = described.find(({ name }) => name === query.table)?.hasRowId === true
      try {
        yield* pagesOf(database, query, hasRowId)
      } catch (error) {
        throw error instanceof SteleError ? error : unreadable(display, reasonOf(error), error)
      }
    },
    async close() {
      database.close()
    },
  }
}

function* pagesOf(
  database: DatabaseSync,
  query: ForeignSelect,
  hasRowId: boolean,
): Generator<readonly ForeignRow[]> {
  const statement = database.prepare(selectText(query, hasRowId))
  // Whole numbers may be longer than a JavaScript number holds exactly.
  statement.setReadBigInts(true)
  const { table, columns, join } = query
  const names = [...columns, ...(join?.columns ?? []).map(column => `${join?.table}.${column}`)]
  const own = new Set(columns)
  let size = firstPageSize
  let page: ForeignRow[] = []
  let bytes = 0
  for (const row of statement.iterate()) {
    const entries = names.map(column => {
      const value = foreignValue(row[column] ?? null)
      const isDoubtful = typeof value === 'string' && value.includes(replacement)
      return [
        column,
        isDoubtful && hasRowId && own.has(column) ? exactly(database, table, column, row, value) : value,
      ] as const
    })
    for (const [, value] of entries) bytes += value?.length ?? 0
    page.push(Object.fromEntries(entries))
    if (page.length < size && nextPageSize(size, bytes) >= size) continue
    yield page
    size = nextPageSize(size, bytes)
    page = []
    bytes = 0
  }
  if (page.length > 0) yield page
}

function selectText({ table, columns, orderBy, join }: ForeignSelect, hasRowId: boolean): string {
  const names = columns.map(column => `t.${quoted(column)} AS ${quoted(column)}`)
  for (const column of join?.columns ?? [])
    names.push(`j.${quoted(column)} AS ${quoted(`${join?.table}.${column}`)}`)
  if (hasRowId) names.push(`t.rowid AS ${rowIdName}`)
  const order = orderBy.flatMap(by => {
    if (by === 'insertion') return hasRowId ? ['t.rowid'] : []
    const direction = 'bytes' in by && by.descending === true ? ' DESC' : ''
    return 'bytes' in by
      ? [`CAST(t.${quoted(by.bytes)} AS TEXT) COLLATE BINARY${direction} NULLS FIRST`]
      : [`t.${quoted(by.value)} NULLS FIRST`]
  })
  const joined =
    join === undefined
      ? ''
      : ` LEFT JOIN ${quoted(join.table)} AS j ON j.${quoted(join.on[1])} = t.${quoted(join.on[0])}`
  return `SELECT ${names.join(', ')} FROM ${quoted(table)} AS t${joined} ORDER BY ${order.join(', ')}`
}

/** Text that may have lost bytes: those bytes, if it has. */
function exactly(
  database: DatabaseSync,
  table: string,
  column: string,
  row: Readonly<Record<string, SQLOutputValue>>,
  text: string,
): ForeignValue {
  const found = database
    .prepare(`SELECT CAST(${quoted(column)} AS BLOB) AS bytes FROM ${quoted(table)} WHERE rowid = ?`)
    .get(row[rowIdName] ?? null)?.['bytes']
  return found instanceof Uint8Array && !isUtf8(found) ? found : text
}

function foreignValue(value: SQLOutputValue): ForeignValue {
  return typeof value === 'bigint' || typeof value === 'number' ? String(value) : value
}

type DescribedTable = ForeignTable & { readonly hasRowId: boolean }

function tablesOf(database: DatabaseSync): DescribedTable[] {
  const tables = database
    .prepare("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
    .all()
  return tables.flatMap(({ name, wr }) => {
    const table = String(name)
    if (table.startsWith('sqlite_')) return []
    const columns = database.prepare('SELECT name, type, pk FROM pragma_table_info(?)').all(table)
    const keys = columns.filter(({ pk }) => Number(pk) > 0)
    const [key] = keys
    const isCounter = keys.length === 1 && /^integer$/i.test(String(key?.['type']))
    return [
      {
        name: table,
        columns: columns.map(column => String(column['name'])),
        counter: isCounter ? String(key?.['name']) : undefined,
        hasRowId: Number(wr) === 0,
      },
    ]
  })
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function unreadable(source: string, reason: string, cause?: unknown): SteleError {
  return new SteleError('source_unreadable', { source, reason }, { cause })
}
