/**
 * What Stele writes for one call, learned by recording one and comparing the tables before and after: so the hand-written
 * ceiling writes the same rows of the same sizes, whatever the schema is by then.
 */
import { randomBytes } from 'node:crypto'
import type { Cell, LiveRow, LiveSchema, LiveTable } from './live-schema.ts'
import { beginCall, openForBench, recordCall, settleCall } from './stele.ts'
import { replyBody, requestBody } from './texts.ts'

/**
 * One row written by a call. `insert`: a new row. `update`: new values for some columns of a row this call made. `add`: a
 * running total; `row` holds what one call adds to the columns in `changed`.
 */
export interface Change {
  readonly kind: 'insert' | 'update' | 'add'
  readonly table: LiveTable
  readonly row: LiveRow
  readonly changed: readonly string[]
}

export interface CallTemplate {
  readonly userId: string
  readonly begin: readonly Change[]
  readonly settle: readonly Change[]
  /** Values of the sample that every call has its own of: ids and hashes. */
  readonly unique: ReadonlySet<string>
}

type Snapshot = ReadonlyMap<LiveTable, ReadonlyMap<string, LiveRow>>

const SAMPLE_USER = 'user-0'

/** Written by jobs beside the calls, for several calls at a time: at which moment is chance. */
const WRITTEN_BESIDE = new Set(['audit_log', 'message_search', 'search_progress', 'search_queue'])
const ATTEMPTS = 50

/** Migrates the database at `databaseUrl`, records calls there and learns from the first in whose time no job wrote. */
export async function sampleCall(
  databaseUrl: string,
  connect: () => Promise<LiveSchema>,
  text: string,
): Promise<CallTemplate> {
  const stele = await openForBench(databaseUrl)
  const schema = await connect()
  try {
    await recordCall(stele, SAMPLE_USER, requestBody(`${text} first`), replyBody('first'))
    const tables = await schema.tables()
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const before = await snapshot(schema, tables)
      const call = await beginCall(stele, SAMPLE_USER, requestBody(`${text} second ${attempt}`))
      const begun = await snapshot(schema, tables)
      await settleCall(stele, call, replyBody('second'))
      const settled = await snapshot(schema, tables)
      const template = templateOf(SAMPLE_USER, before, begun, settled)
      if (![...template.begin, ...template.settle].some(({ table }) => WRITTEN_BESIDE.has(table.name)))
        return template
    }
    throw new Error(`jobs beside the calls wrote during each of ${ATTEMPTS} calls`)
  } finally {
    await schema.close()
    await stele.close()
  }
}

async function snapshot(schema: LiveSchema, tables: readonly LiveTable[]): Promise<Snapshot> {
  const all = new Map<LiveTable, Map<string, LiveRow>>()
  for (const table of tables) {
    const rows = await schema.rows(table)
    all.set(table, new Map(rows.map(row => [JSON.stringify(table.primaryKey.map(name => row[name])), row])))
  }
  return all
}

/** Compares the three states of the tables; exported so that it can be tried without a recorder. */
export function templateOf(
  userId: string,
  before: Snapshot,
  begun: Snapshot,
  settled: Snapshot,
): CallTemplate {
  const known = new Set<Cell>()
  for (const rows of before.values())
    for (const row of rows.values()) for (const value of Object.values(row)) known.add(value)
  const begin = changes(before, begun, before)
  const settle = changes(begun, settled, before)
  const unique = new Set<string>()
  for (const { kind, row } of [...begin, ...settle]) {
    if (kind !== 'insert') continue
    for (const [name, value] of Object.entries(row))
      if (typeof value === 'string' && !known.has(value) && (isTypeId(value) || name.endsWith('_hash')))
        unique.add(value)
  }
  if (begin.length === 0 || settle.length === 0)
    throw new Error(
      'the sample call left no rows to learn from: begin and settle must both be committed when they resolve',
    )
  return { userId, begin, settle, unique }
}

function changes(from: Snapshot, to: Snapshot, before: Snapshot): Change[] {
  const found: Change[] = []
  for (const [table, rows] of to) {
    for (const [key, row] of rows) {
      const old = from.get(table)?.get(key)
      if (old === undefined) {
        found.push({ kind: 'insert', table, row, changed: [] })
        continue
      }
      const changed = Object.keys(row).filter(name => !sameCell(row[name] ?? null, old[name] ?? null))
      if (changed.length === 0) continue
      if (!before.get(table)?.has(key)) {
        found.push({ kind: 'update', table, row, changed })
        continue
      }
      const added = changed.filter(name => typeof row[name] === 'number')
      const sums = Object.fromEntries(added.map(name => [name, Number(row[name]) - Number(old[name])]))
      found.push({ kind: 'add', table, row: { ...row, ...sums }, changed: added })
    }
  }
  return found
}

const sameCell = (a: Cell, b: Cell): boolean =>
  a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b

const isTypeId = (value: string): boolean => /^[a-z_]+_[0-9a-z]{26}$/.test(value)

/** Bytes at least this long are content and differ from call to call. */
const CONTENT_BYTES = 64
const ID_TIME_CHARACTERS = 10

/** Makes the rows of call after call: new ids (sorting by time, as real ones do), hashes and content, own user. */
export function rowMaker() {
  let serial = 0
  return function rowsOf(changes_: readonly Change[], values: ReadonlyMap<string, string>): LiveRow[] {
    return changes_.map(({ row }) => {
      const copy: Record<string, Cell> = {}
      for (const [name, value] of Object.entries(row)) {
        if (typeof value === 'string') copy[name] = values.get(value) ?? value
        else if (value instanceof Uint8Array && value.length >= CONTENT_BYTES) {
          const content = Buffer.from(value)
          content.writeUInt32BE(serial++ >>> 0, content.length - 4)
          copy[name] = content
        } else copy[name] = value
      }
      return copy
    })
  }
}

/** New values for what is unique in the template, and the user's id, for call number `n`. */
export function valuesOf(template: CallTemplate, n: number, user: string): Map<string, string> {
  const values = new Map([[template.userId, user]])
  let id = n * template.unique.size
  for (const value of template.unique) {
    if (isTypeId(value)) {
      const time = value.lastIndexOf('_') + 1 + ID_TIME_CHARACTERS
      values.set(value, value.slice(0, time) + (id++).toString(32).padStart(value.length - time, '0'))
    } else {
      values.set(
        value,
        randomBytes(Math.ceil(value.length / 2))
          .toString('hex')
          .slice(0, value.length),
      )
    }
  }
  return values
}
