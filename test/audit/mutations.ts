import { countsOf } from '../../src/store/audit-counts.ts'
import {
  type LogColumn,
  type LogRows,
  type LogTable,
  logColumns,
  type Stored,
  type Value,
} from './log-rows.ts'

/** Numbers from 0 up to but not including 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Decides by chance. */
class Dice {
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

export interface Mutation {
  /** In words, for whoever reads that it was not noticed. */
  readonly name: string
  readonly rows: LogRows
}

/** Tables that hold what was logged. The queue is empty then, and a secret is one only with its master key. */
const loggedTables = ['audit_events', 'audit_log', 'audit_tiles', 'audit_checkpoints', 'audit_keys'] as const

/** Changes what the tables hold in one of many ways, or in some of them one after the other. */
export function mutate(rows: LogRows, seed: number): Mutation {
  const dice = new Dice(seeded(seed))
  const count = dice.below(4) === 0 ? 2 + dice.below(3) : 1
  let mutation: Mutation = { name: '', rows }
  for (let i = 0; i < count; i++) {
    const next = dice.of(kinds)(mutation.rows, dice)
    mutation = { name: [mutation.name, next.name].filter(name => name !== '').join('; '), rows: next.rows }
  }
  return mutation
}

type Kind = (rows: LogRows, dice: Dice) => Mutation

/** How often each is drawn goes by how often it stands here. */
const kinds: readonly Kind[] = [
  edit,
  edit,
  edit,
  edit,
  remove,
  remove,
  insert,
  reorder,
  swap,
  swap,
  truncate,
  rollBack,
]

function edit(rows: LogRows, dice: Dice): Mutation {
  const column = dice.of(
    logColumns.filter(({ table }) => (loggedTables as readonly string[]).includes(table)),
  )
  const at = dice.below(rows[column.table].length)
  const row = rows[column.table][at]
  if (row === undefined) return unchanged(rows)
  const value = changedValue(rows, column, row, dice)
  return {
    name: `${column.table}.${column.name} of row ${at} becomes ${shown(value)}`,
    rows: replaced(rows, column.table, at, { ...row, [column.name]: value }),
  }
}

function changedValue(rows: LogRows, { table, name, kind }: LogColumn, row: Stored, dice: Dice): Value {
  const value = row[name] ?? null
  const other = dice.of(rows[table])[name] ?? null
  if (value === null || dice.below(4) === 0)
    return value === null && other === null ? made(kind, dice) : other
  if (typeof value === 'number') return value + dice.of([-1, 1, 1_000, -value, 2 ** 31])
  if (typeof value === 'string') return changedText(value, dice)
  return changedBytes(value, dice)
}

function made(kind: LogColumn['kind'], dice: Dice): Value {
  if (kind === 'integer') return dice.below(1_000)
  return kind === 'text' ? 'x' : Buffer.from('x')
}

function changedText(text: string, dice: Dice): string {
  const at = dice.below(text.length)
  const ways = [
    () => text.slice(0, at) + String.fromCharCode(33 + dice.below(90)) + text.slice(at + 1),
    () => text.slice(0, at) + text.slice(at + 1),
    () => `${text.slice(0, at)} ${text.slice(at)}`,
    () => text.slice(0, -1),
    () => `${text}\n`,
    () => text.toUpperCase(),
    () => '',
  ]
  return dice.of(ways)()
}

function changedBytes(bytes: Buffer, dice: Dice): Buffer {
  const flipped = Buffer.from(bytes)
  const at = dice.below(bytes.length)
  flipped[at] = (flipped[at] ?? 0) ^ (1 << dice.below(8))
  return dice.of([
    flipped,
    bytes.subarray(0, -1),
    Buffer.concat([bytes, Buffer.alloc(1)]),
    Buffer.alloc(bytes.length),
    Buffer.alloc(0),
  ])
}

function remove(rows: LogRows, dice: Dice): Mutation {
  const table = dice.of(loggedTables)
  const from = dice.below(rows[table].length)
  const count = 1 + (dice.below(3) === 0 ? dice.below(5) : 0)
  return {
    name: `${count} rows of ${table} from ${from} on are removed`,
    rows: { ...rows, [table]: rows[table].filter((_, at) => at < from || at >= from + count) },
  }
}

/** A row that looks like those that are there, under a key of its own. */
function insert(rows: LogRows, dice: Dice): Mutation {
  const table = dice.of(loggedTables)
  const row = dice.of(rows[table])
  if (row === undefined) return unchanged(rows)
  const inserted = { ...row, ...freshKeys[table](rows[table], row, dice) }
  return {
    name: `${table} gets a row ${shown(Object.values(inserted)[0] ?? null)}`,
    rows: { ...rows, [table]: [...rows[table], inserted] },
  }
}

const freshKeys: Record<
  (typeof loggedTables)[number],
  (rows: readonly Stored[], row: Stored, dice: Dice) => Stored
> = {
  audit_events: (_rows, row, dice) => ({
    id: `${String(row['id']).slice(0, -4)}${1000 + dice.below(9_000)}`,
  }),
  audit_log: rows => ({ leaf_index: rows.length }),
  audit_tiles: (rows, { level }, dice) => ({ level: Number(level) + dice.below(2), tile: rows.length + 1 }),
  audit_checkpoints: (rows, _row, dice) => ({
    tree_size: Math.max(...rows.map(({ tree_size }) => Number(tree_size))) + 1 + dice.below(3),
  }),
  audit_keys: (_rows, _row, dice) => ({ id: `0000${1000 + dice.below(9_000)}` }),
}

/** The entries of a stretch of the log change places. */
function reorder(rows: LogRows, dice: Dice): Mutation {
  const log = rows.audit_log
  const from = dice.below(log.length - 1)
  const width = Math.min(2 + dice.below(8), log.length - from)
  const moved = log.slice(from, from + width)
  const turn = 1 + dice.below(width - 1)
  const turned = moved.map((row, at) => ({ ...row, leaf_index: from + ((at + turn) % width) }))
  return {
    name: `entries ${from} to ${from + width} change places`,
    rows: { ...rows, audit_log: [...log.slice(0, from), ...turned, ...log.slice(from + width)] },
  }
}

/** Two rows exchange a column, or all but their keys. */
function swap(rows: LogRows, dice: Dice): Mutation {
  const table = dice.of(loggedTables)
  const columns = logColumns.filter(column => column.table === table)
  const chosen = dice.below(2) === 0 ? columns.filter(({ isKey }) => !isKey) : [dice.of(columns)]
  const [one, two] = [dice.below(rows[table].length), dice.below(rows[table].length)]
  const [a, b] = [rows[table][one], rows[table][two]]
  if (a === undefined || b === undefined) return unchanged(rows)
  const from = (row: Stored) => Object.fromEntries(chosen.map(({ name }) => [name, row[name] ?? null]))
  return {
    name: `rows ${one} and ${two} of ${table} exchange ${chosen.map(({ name }) => name).join(', ')}`,
    rows: replaced(replaced(rows, table, one, { ...a, ...from(b) }), table, two, { ...b, ...from(a) }),
  }
}

/** The end of a table goes, or all of it. */
function truncate(rows: LogRows, dice: Dice): Mutation {
  const table = dice.of(loggedTables)
  const kept = dice.below(3) === 0 ? 0 : dice.below(rows[table].length)
  return { name: `${table} keeps ${kept} rows`, rows: { ...rows, [table]: rows[table].slice(0, kept) } }
}

/** Everything as it stood when a checkpoint was signed: what an older copy of the database holds. */
export function rolledBack(rows: LogRows, to: number): LogRows {
  const size = Number(rows.audit_checkpoints[to]?.['tree_size'] ?? 0)
  const log = rows.audit_log.slice(0, size)
  const signedAt = Number(rows.audit_checkpoints[to]?.['created_at'] ?? 0)
  const keys = rows.audit_keys
    .toSorted((a, b) => Number(a['created_at']) - Number(b['created_at']))
    .filter(row => Number(row['created_at']) <= signedAt)
  const names = new Set(log.map(row => `${row['event_id']} ${row['user_id']}`))
  return {
    ...rows,
    audit_log: log,
    audit_events: rows.audit_events.filter(row => names.has(`${row['id']} ${row['user_id']}`)),
    audit_checkpoints: rows.audit_checkpoints.slice(0, to + 1),
    audit_keys: keys.map((row, at) => ({ ...row, retired_at: keys[at + 1]?.['created_at'] ?? null })),
    audit_tiles: rows.audit_tiles.flatMap(row => tileOfSize(row, size)),
    audit_counts: countsOf(log.map(leafIn)).map(row => ({ ...row })),
  }
}

/** What the sums are made of. */
function leafIn(row: Stored) {
  const text = (column: string): string => String(row[column])
  const place = { eventId: text('event_id'), userId: text('user_id'), action: text('action') }
  const nothing = { salt: Buffer.of(), commitment: Buffer.of() }
  return { ...place, category: text('category'), severity: text('severity'), ...nothing }
}

function tileOfSize(row: Stored, size: number): Stored[] {
  const hashes = Math.floor(size / 256 ** Number(row['level'])) - Number(row['tile']) * 256
  if (hashes <= 0) return []
  return [{ ...row, hashes: (row['hashes'] as Buffer).subarray(0, Math.min(hashes, 256) * 32) }]
}

function rollBack(rows: LogRows, dice: Dice): Mutation {
  if (rows.audit_checkpoints.length < 2) return unchanged(rows)
  const to = dice.below(rows.audit_checkpoints.length - 1)
  return { name: `all is as it was at checkpoint ${to}`, rows: rolledBack(rows, to) }
}

function unchanged(rows: LogRows): Mutation {
  return { name: '', rows }
}

function replaced(rows: LogRows, table: LogTable, at: number, row: Stored): LogRows {
  return { ...rows, [table]: rows[table].with(at, row) }
}

function shown(value: Value): string {
  return Buffer.isBuffer(value)
    ? `${value.length} bytes ${value.toString('hex', 0, 8)}`
    : JSON.stringify(value)
}
