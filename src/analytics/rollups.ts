import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import {
  addCall,
  addStored,
  type CallFacts,
  type Measures,
  noMeasures,
  stored,
  sumColumns,
} from './measures.ts'

/** The columns that tell the rows of `usage_rollups` apart, in the order of its key. */
export const rollupKey = [
  'day',
  'level',
  'user_id',
  'model',
  'provider',
  'operation',
  'document_type',
  'api_key_id',
] as const

export type RollupKey = Pick<Row<'usage_rollups'>, (typeof rollupKey)[number]>

/** Stands for everybody in rows and findings that leave users out. No user is called so. */
export const everybody = ''

/** Rows written in one statement. */
const rowsAtATime = 200

/** What is to be added to the rows of `usage_rollups`; less than nothing takes away. */
export class Delta {
  readonly #rows = new Map<string, { readonly key: RollupKey; readonly measures: Measures }>()

  get rows(): Iterable<{ readonly key: RollupKey; readonly measures: Measures }> {
    return this.#rows.values()
  }

  /** Counts a call for its user and for everybody, or with `times` -1 takes it back. */
  addCall(call: CallFacts, times = 1): void {
    for (const key of levelsOf(call)) addCall(this.of(key), call, times)
  }

  /** The measures of a row, to be added to. */
  of(key: RollupKey): Measures {
    const text = textOf(key)
    let row = this.#rows.get(text)
    if (row === undefined) {
      const { day, level, user_id, model, provider, operation, document_type, api_key_id } = key
      row = {
        key: { day, level, user_id, model, provider, operation, document_type, api_key_id },
        measures: noMeasures(),
      }
      this.#rows.set(text, row)
    }
    return row.measures
  }
}

/** What rows leave out, and so which are read. */
export type Level = 'each' | 'user' | 'all'

/** The rows of every level that count what has this key. */
export function levelsOf(key: Omit<RollupKey, 'level'>): (RollupKey & { readonly level: Level })[] {
  return [
    { ...key, level: 'each' },
    { ...key, level: 'user', model: '', provider: '', operation: '', document_type: '' },
    { ...key, level: 'all', user_id: everybody, api_key_id: '' },
  ]
}

function textOf(key: RollupKey): string {
  return JSON.stringify(rollupKey.map(column => key[column]))
}

/** Adds to the rows. The progress is locked: nobody else changes them meanwhile. */
export async function applyDelta(tx: Kysely<Tables>, delta: Delta): Promise<void> {
  const rows = [...delta.rows].sort((a, b) => (textOf(a.key) < textOf(b.key) ? -1 : 1))
  for (let at = 0; at < rows.length; at += rowsAtATime) {
    const part = new Map(rows.slice(at, at + rowsAtATime).map(row => [textOf(row.key), row]))
    const there = await tx
      .selectFrom('usage_rollups')
      .selectAll()
      .where(
        isAnyOf(
          rollupKey,
          [...part.values()].map(({ key }) => key),
        ),
      )
      .execute()
    for (const row of there) {
      const changed = part.get(textOf(row))
      if (changed !== undefined) addStored(changed.measures, row)
    }
    const values = [...part.values()].map(({ key, measures }) => ({ ...key, ...stored(measures) }))
    const full = values.filter(row => row.calls !== 0)
    const empty = values.filter(row => row.calls === 0)
    if (full.length > 0)
      await tx
        .insertInto('usage_rollups')
        .values(full)
        .onConflict(conflict =>
          conflict
            .columns([...rollupKey])
            .doUpdateSet(eb =>
              Object.fromEntries(
                [...sumColumns, 'latencies' as const, 'first_chunks' as const].map(column => [
                  column,
                  eb.ref(`excluded.${column}`),
                ]),
              ),
            ),
        )
        .execute()
    if (empty.length > 0) await tx.deleteFrom('usage_rollups').where(isAnyOf(rollupKey, empty)).execute()
  }
}

/** Adds calls to the sums of their conversations, or takes them away. */
export async function addToConversations(
  tx: Kysely<Tables>,
  calls: readonly CallFacts[],
  times = 1,
): Promise<void> {
  const rows = sumConversations(calls, times)
  for (let at = 0; at < rows.length; at += rowsAtATime)
    await tx
      .insertInto('usage_conversations')
      .values(rows.slice(at, at + rowsAtATime))
      .onConflict(conflict =>
        conflict.columns(['day', 'user_id', 'conversation_id']).doUpdateSet({
          calls: sql`usage_conversations.calls + excluded.calls`,
          tokens: sql`usage_conversations.tokens + excluded.tokens`,
          cost_nanousd: sql`usage_conversations.cost_nanousd + excluded.cost_nanousd`,
        }),
      )
      .execute()
}

/** What calls come to by day and conversation, in the order of these; calls of no conversation are left out. */
export function sumConversations(calls: readonly CallFacts[], times = 1): Row<'usage_conversations'>[] {
  const rows = new Map<string, Row<'usage_conversations'>>()
  for (const call of calls) {
    const { day, user_id, conversation_id } = call
    if (conversation_id === '') continue
    const text = JSON.stringify([day, user_id, conversation_id])
    const row = rows.get(text) ?? { day, user_id, conversation_id, calls: 0, tokens: 0, cost_nanousd: 0 }
    row.calls += times
    row.tokens += ((call.input_tokens ?? 0) + (call.output_tokens ?? 0)) * times
    row.cost_nanousd += (call.cost_nanousd ?? 0) * times
    rows.set(text, row)
  }
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

/** Rows that have one of these keys. */
export function isAnyOf<K extends string>(
  columns: readonly K[],
  keys: readonly Readonly<Record<K, string>>[],
): RawBuilder<boolean> {
  const names = sql.join(columns.map(column => sql.ref(column)))
  const values = keys.map(key => sql`(${sql.join(columns.map(column => key[column]))})`)
  return sql<boolean>`(${names}) IN (VALUES ${sql.join(values)})`
}

/** A row of sums to which nothing is added yet. */
export function emptySums(key: RollupKey): Row<'usage_rollups'> {
  const sums = Object.fromEntries(sumColumns.map(column => [column, 0]))
  const empty = new Uint8Array()
  return {
    ...key,
    ...(sums as Record<(typeof sumColumns)[number], number>),
    latencies: empty,
    first_chunks: empty,
  }
}
