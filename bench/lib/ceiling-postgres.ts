import type { CallTemplate, Change } from './call-template.ts'
import { type BatchStep, ceilingBatches, columnsOf, insertSql, timeWrites } from './ceiling.ts'
import type { Contender } from './contender.ts'
import { encodeBinaryArray, type Value } from './postgres-encodings.ts'
import { type PreparedCall, pgPipelined } from './postgres-sessions.ts'

const LANES = 2

/** A table without statistics is else joined by scanning it; each statement here finds rows by their key. */
const SESSION =
  '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan'

/**
 * The fastest way found to make the same rows durable on PostgreSQL (`postgres-drivers.ts`): `unnest` over binary array
 * parameters, each transaction one pipelined round trip of `pg`, two batches in flight.
 * @param share how many calls of each batch per writer: 1 keeps two batches of all writers in flight, 1/2 as many calls
 *   as there are writers.
 */
export async function postgresCeiling(
  url: string,
  template: CallTemplate,
  name: string,
  share: 1 | 0.5,
): Promise<Contender> {
  const session = `${url}?options=${encodeURIComponent(SESSION)}`
  const lanes = await Promise.all(Array.from({ length: LANES }, () => pgPipelined.connect(session)))
  const prepare = preparer([...template.begin, ...template.settle])
  const build = ceilingBatches(template)
  return {
    name,
    note: `pg pipelined, unnest over binary arrays, ${LANES} batches in flight, each ${share} x writers, synchronous_commit=on`,
    run(writers, seconds) {
      const size = Math.max(1, writers * share)
      const active = writers * share < 1 ? lanes.slice(0, 1) : lanes
      let built = 0
      // Lanes have users of their own, as two groups of waiting writers would.
      const users = (lane: number) => Array.from({ length: size }, (_, i) => `user-${lane * size + i}`)
      return timeWrites(
        seconds,
        size,
        count => Array.from({ length: count }, () => build(1, size, users(built++ % active.length))).flat(),
        async batches => {
          await Promise.all(
            active.map(async (lane, index) => {
              for (let i = index; i < batches.length; i += active.length) {
                const batch = batches[i]
                if (batch === undefined) continue
                await lane.transaction(batch.begin.map(prepare))
                await lane.transaction(batch.settle.map(prepare))
              }
            }),
          )
        },
      )
    },
    async close() {
      await Promise.all(lanes.map(lane => lane.close()))
    },
  }
}

function preparer(changes: readonly Change[]): (step: BatchStep) => PreparedCall {
  const sqls = new Map(changes.map((change, i) => [change, { name: `step ${i}`, sql: sqlOf(change) }]))
  return ({ change, columns, rows }) => {
    const { name, sql } = sqls.get(change) ?? { name: '', sql: '' }
    const parameters = columns.map((column, i) =>
      encodeBinaryArray(
        kindOf(change, column),
        rows.map(row => row[i] as Value | null),
      ),
    )
    return { name, sql, parameters }
  }
}

const kindOf = ({ table }: Change, column: string) =>
  table.columns.find(c => c.name === column)?.kind ?? 'text'

function sqlOf(change: Change): string {
  const columns = columnsOf(change)
  const arrays = columns.map((column, i) => `$${i + 1}::${kindOf(change, column)}[]`)
  const source = `unnest(${arrays.join(', ')}) AS s(${columns.join(', ')})`
  if (change.kind !== 'update') return insertSql(change, `SELECT * FROM ${source}`)
  const { table, changed } = change
  return `UPDATE ${table.name} t SET ${changed.map(name => `${name} = s.${name}`).join(', ')} FROM ${source}
    WHERE ${table.primaryKey.map(name => `t.${name} = s.${name}`).join(' AND ')}`
}
