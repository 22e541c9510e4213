/**
 * Ways to hand a batch of rows to one PostgreSQL statement. Each turns columns of values into a row source
 * (`FROM …`), one SQL expression per column, and the parameters.
 */

export type ColumnType = 'text' | 'int8' | 'bytea' | 'timestamptz'
export interface Column {
  readonly name: string
  readonly type: ColumnType
}
export type Value = string | number | Buffer
export type Parameter = string | Buffer | readonly Value[]

export interface RowSource {
  /** Names a relation `s`, e.g. `unnest($1::text[], …) AS s(id, …)`. */
  readonly from: string
  /** The expression that yields each column. */
  readonly expressions: readonly string[]
}

export interface Encoding {
  readonly name: string
  /** Relies on the driver sending a `Buffer` parameter in binary format, which only `pg` does. */
  readonly binaryParameters: boolean
  source(columns: readonly Column[]): RowSource
  parameters(columns: readonly Column[], rows: readonly (readonly Value[])[]): Parameter[]
}

const pick = (rows: readonly (readonly Value[])[], index: number): Value[] =>
  rows.map(row => row[index] as Value)
const base64 = (value: Value): string => (value as Buffer).toString('base64')
const hex = (value: Value): string => `\\x${(value as Buffer).toString('hex')}`

function unnest(columns: readonly Column[], typeOf: (column: Column) => string): string {
  const parameters = columns.map((column, i) => `$${i + 1}::${typeOf(column)}[]`)
  return `unnest(${parameters.join(', ')}) AS s(${columns.map(c => c.name).join(', ')})`
}

/** `text[]` of base64, decoded by the server. */
const base64Array: Encoding = {
  name: 'base64 text[]',
  binaryParameters: false,
  source: columns => ({
    from: unnest(columns, c => (c.type === 'bytea' ? 'text' : c.type)),
    expressions: columns.map(c => (c.type === 'bytea' ? `decode(s.${c.name}, 'base64')` : `s.${c.name}`)),
  }),
  parameters: (columns, rows) =>
    columns.map((c, i) => (c.type === 'bytea' ? pick(rows, i).map(base64) : pick(rows, i))),
}

/** `bytea[]` as an array literal of hex; written here because `postgres` takes an array of Buffers for one `bytea`. */
const byteaArray: Encoding = {
  name: 'bytea[] literal',
  binaryParameters: false,
  source: columns => ({ from: unnest(columns, c => c.type), expressions: columns.map(c => `s.${c.name}`) }),
  parameters: (columns, rows) =>
    columns.map((c, i) =>
      c.type === 'bytea'
        ? `{${pick(rows, i)
            .map(value => `"\\${hex(value)}"`)
            .join(',')}}`
        : pick(rows, i),
    ),
}

function recordset(kind: 'json' | 'jsonb'): Encoding {
  return {
    name: `${kind}_to_recordset`,
    binaryParameters: false,
    source: columns => ({
      from: `${kind}_to_recordset($1::text::${kind}) AS s(${columns.map(c => `${c.name} ${c.type}`).join(', ')})`,
      expressions: columns.map(c => `s.${c.name}`),
    }),
    parameters: (columns, rows) => {
      const objects = rows.map(row =>
        Object.fromEntries(
          columns.map((c, i) => [c.name, c.type === 'bytea' ? hex(row[i] as Value) : (row[i] as Value)]),
        ),
      )
      return [JSON.stringify(objects)]
    },
  }
}

/** Every column one Buffer in PostgreSQL's binary array format: no escaping, no hex, no parsing of text. */
const binaryArray: Encoding = {
  name: 'binary arrays',
  binaryParameters: true,
  source: byteaArray.source,
  parameters: (columns, rows) => columns.map((c, i) => encodeBinaryArray(c.type, pick(rows, i))),
}

const oids: Readonly<Record<ColumnType, number>> = { text: 25, int8: 20, bytea: 17, timestamptz: 1184 }
const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1)

/**
 * One-dimensional array as PostgreSQL's `array_recv` reads it: dimensions, null flag, element oid, length, lower bound,
 * then each element after its length (-1 for null).
 */
export function encodeBinaryArray(type: ColumnType, values: readonly (Value | null)[]): Buffer {
  const fixed = type === 'int8' || type === 'timestamptz'
  let size = 20
  for (const value of values) {
    if (value === null) size += 4
    else if (fixed) size += 12
    else size += 4 + (typeof value === 'string' ? Buffer.byteLength(value) : (value as Buffer).length)
  }
  const out = Buffer.allocUnsafe(size)
  out.writeInt32BE(1, 0)
  out.writeInt32BE(values.includes(null) ? 1 : 0, 4)
  out.writeInt32BE(oids[type], 8)
  out.writeInt32BE(values.length, 12)
  out.writeInt32BE(1, 16)
  let at = 20
  for (const value of values) {
    if (value === null) {
      out.writeInt32BE(-1, at)
      at += 4
    } else if (fixed) {
      const number =
        type === 'int8'
          ? BigInt(value as number)
          : BigInt(Date.parse(value as string) - POSTGRES_EPOCH_MS) * 1000n
      out.writeInt32BE(8, at)
      out.writeBigInt64BE(number, at + 4)
      at += 12
    } else if (typeof value === 'string') {
      const length = out.write(value, at + 4)
      out.writeInt32BE(length, at)
      at += 4 + length
    } else {
      const bytes = value as Buffer
      out.writeInt32BE(bytes.length, at)
      at += 4 + bytes.copy(out, at + 4)
    }
  }
  return out
}

export const encodings: readonly Encoding[] = [
  base64Array,
  byteaArray,
  recordset('json'),
  recordset('jsonb'),
  binaryArray,
]
