import { randomInt } from 'node:crypto'
import { type CallTemplate, type Change, rowMaker, valuesOf } from './call-template.ts'
import type { Cell } from './live-schema.ts'

/** One statement's worth of a batch: a change and its row for every call of the batch, as values in column order. */
export interface BatchStep {
  readonly change: Change
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
}

export interface CeilingBatch {
  readonly size: number
  readonly begin: readonly BatchStep[]
  readonly settle: readonly BatchStep[]
}

/** Columns a change needs: all of them, or for an update the key and what changed. */
export const columnsOf = ({ kind, table, changed }: Change): string[] =>
  kind === 'update' ? [...changed, ...table.primaryKey] : table.columns.map(column => column.name)

/** Builds batches ahead of time, `users` being one per writer: the ceiling's clock runs for writing alone. */
export function ceilingBatches(template: CallTemplate) {
  const rowsOf = rowMaker()
  // Two ceilings may share a database.
  let n = randomInt(2 ** 40)
  return function build(count: number, size: number, users: readonly string[]): CeilingBatch[] {
    return Array.from({ length: count }, () => {
      const calls = Array.from({ length: size }, (_, i) =>
        valuesOf(template, ++n, users[i % users.length] ?? 'user-0'),
      )
      const steps = (changes: readonly Change[]): BatchStep[] => {
        const perCall = calls.map(values => rowsOf(changes, values))
        return changes.map((change, i) => {
          const columns = columnsOf(change)
          return { change, columns, rows: perCall.map(rows => columns.map(name => rows[i]?.[name] ?? null)) }
        })
      }
      return { size, begin: steps(template.begin), settle: steps(template.settle) }
    })
  }
}

/** SQL of a change with its row source in `VALUES (…)` or `SELECT … FROM …`; an update is written by its database. */
export function insertSql({ kind, table, changed }: Change, source: string): string {
  const columns = table.columns.map(column => column.name).join(', ')
  const insert = `INSERT INTO ${table.name} (${columns}) ${source}`
  if (kind === 'insert') return insert
  const sums = changed.map(name => `${name} = ${table.name}.${name} + excluded.${name}`).join(', ')
  return `${insert} ON CONFLICT (${table.primaryKey.join(', ')}) DO UPDATE SET ${sums}`
}

/** Calls whose rows are built at a time; bounds memory. */
const CHUNK_CALLS = 2048

/**
 * Runs `write` over prebuilt batches until it alone has taken `seconds`, and returns calls per second of that time.
 */
export async function timeWrites(
  seconds: number,
  size: number,
  build: (count: number) => CeilingBatch[],
  write: (batches: readonly CeilingBatch[]) => void | Promise<void>,
): Promise<number> {
  let calls = 0
  let spentMs = 0
  let count = Math.ceil(64 / size)
  while (spentMs < seconds * 1000) {
    const batches = build(count)
    const start = performance.now()
    await write(batches)
    const took = performance.now() - start
    spentMs += took
    calls += count * size
    // Chunks of about a third of a second, so that slow single-call batches do not overrun.
    count = Math.max(2, Math.min(Math.ceil(CHUNK_CALLS / size), Math.round((count * 300) / took)))
  }
  return (calls * 1000) / spentMs
}
