import type {
  ForeignDatabase,
  ForeignJoin,
  ForeignOrder,
  ForeignRow,
  ForeignTable,
  ForeignValue,
} from '../../db/foreign.ts'
import { SteleError } from '../../errors.ts'
import type { Origin, SourceItem, TableReader } from './source.ts'

/** What tells the rows of a group from others: the values of some columns. */
export type Key = readonly ForeignValue[]

export function tableOf(database: ForeignDatabase, name: string): ForeignTable | undefined {
  return database.tables.find(table => table.name === name)
}

/**
 * The rows of a table, with those of the columns that are there. What the order names and the table lacks is left out.
 * Nothing when there is no such table.
 */
export async function* rowsOf(
  database: ForeignDatabase,
  name: string,
  columns: readonly string[],
  orderBy: readonly ForeignOrder[],
  joined?: ForeignJoin,
): AsyncGenerator<ForeignRow> {
  const table = tableOf(database, name)
  if (table === undefined) return
  const has = (column: string): boolean => table.columns.includes(column)
  const other = joined && tableOf(database, joined.table)
  const join = joined &&
    other && { ...joined, columns: joined.columns.filter(column => other.columns.includes(column)) }
  const order = orderBy.filter(by => by === 'insertion' || has('bytes' in by ? by.bytes : by.value))
  const query = { table: name, columns: columns.filter(has), orderBy: order, join }
  for await (const page of database.select(query)) yield* page
}

/** Rows in the order of a key, to be taken group by group, beside those of other tables with the same key. */
export class KeyedRows {
  readonly #rows: AsyncGenerator<ForeignRow>
  readonly #columns: readonly string[]
  #next: ForeignRow | undefined
  #isStarted = false

  /** `rows` come in the byte order of these columns. */
  constructor(rows: AsyncGenerator<ForeignRow>, columns: readonly string[]) {
    this.#rows = rows
    this.#columns = columns
  }

  /** The key of the next row; undefined at the end. */
  async peekKey(): Promise<Key | undefined> {
    if (!this.#isStarted) {
      this.#isStarted = true
      await this.#advance()
    }
    return this.#next && this.#keyOf(this.#next)
  }

  #keyOf(row: ForeignRow): Key {
    return this.#columns.map(column => row[column] ?? null)
  }

  /** The next row, if it has this key. */
  async peekOf(key: Key): Promise<ForeignRow | undefined> {
    const next = await this.peekKey()
    return next !== undefined && compareKeys(next, key) === 0 ? this.#next : undefined
  }

  /** The rows with this key, if they are next. */
  async *take(key: Key): AsyncGenerator<ForeignRow> {
    for (;;) {
      const next = await this.peekKey()
      const row = this.#next
      if (row === undefined || next === undefined || compareKeys(next, key) !== 0) return
      await this.#advance()
      yield row
    }
  }

  async #advance(): Promise<void> {
    const before = this.#next && this.#keyOf(this.#next)
    const { value, done } = await this.#rows.next()
    this.#next = done === true ? undefined : value
    // In another order rows would seem to lack those of other tables that belong to them.
    if (this.#next !== undefined && before !== undefined && compareKeys(before, this.#keyOf(this.#next)) > 0)
      throw new SteleError('source_unreadable', {
        source: this.#columns.join(', '),
        reason: 'its text does not come in the order of its bytes as UTF-8',
      })
  }
}

/** Everything that comes, for what is known to be little. */
export async function allOf<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const value of values) all.push(value)
  return all
}

/** The lowest key that any of them has next; whoever asks takes the rows of it from all. Undefined when all are at their end. */
export async function nextKey(streams: readonly KeyedRows[]): Promise<Key | undefined> {
  let lowest: Key | undefined
  for (const stream of streams) {
    const key = await stream.peekKey()
    if (key !== undefined && (lowest === undefined || compareKeys(key, lowest) < 0)) lowest = key
  }
  return lowest
}

function compareKeys(a: Key, b: Key): number {
  for (const [index, value] of a.entries()) {
    const order = compareValues(value, b[index] ?? null)
    if (order !== 0) return order
  }
  return 0
}

function compareValues(a: ForeignValue, b: ForeignValue): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/**
 * The order in which the messages of a conversation were said: by their counter where they have one, else by time. Where
 * times are equal: as they were put in, or what the user said before what was answered.
 */
export function messageOrder(table: ForeignTable | undefined, time: string): readonly ForeignOrder[] {
  if (table?.counter !== undefined) return [{ value: table.counter }]
  return [{ value: time }, 'insertion', { bytes: 'role', descending: true }, { bytes: 'id' }]
}

/** Tells how many rows had the time of the row before them, so that their order is not certain. */
export async function* notingTies(
  origin: Origin,
  database: ForeignDatabase,
  name: string,
  time: string,
  rows: AsyncIterable<ForeignRow>,
): AsyncGenerator<ForeignRow> {
  const isCounted = tableOf(database, name)?.counter !== undefined
  let last: ForeignValue | undefined
  for await (const row of rows) {
    const value = row[time] ?? null
    if (!isCounted && value !== null && value === last) {
      const order = database.knowsInsertionOrder ? 'of insertion' : 'of role (user first) and id'
      origin.note(`${name}: had the time of the one before, and stand in the order ${order}`)
    }
    last = value
    yield row
  }
}

/** Columns that are no one's business here. */
const secretPattern = /passw|api_?key|key_hash|secret|token_hash|auth_(subject|issuer)/i

/** What of a database a reader does not read: tables with all their rows, and columns. */
export async function* unreadParts(
  database: ForeignDatabase,
  reader: TableReader,
  origin: Origin,
): AsyncGenerator<SourceItem> {
  for (const { name, columns } of database.tables) {
    const known = reader.known[name]
    if (known === undefined) {
      const rows = await database.count(name)
      yield { table: name, rows, records: [], skipped: `${reader.format} has no such table` }
      continue
    }
    for (const column of columns.filter(each => !known.includes(each)))
      origin.note(
        secretPattern.test(column)
          ? `${name}.${column}: not imported, it is a secret`
          : `${name}.${column}: not imported, ${reader.format} has no such column`,
      )
  }
}
