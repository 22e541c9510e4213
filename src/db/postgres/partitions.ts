import { type Kysely, sql } from 'kysely'
import { type IdKind, lowestIdAt } from '../../ids.ts'
import type { Tables } from '../tables.ts'

/** The tables that are cut into months, and the kind of id they are cut by. */
const partitionedTables = {
  messages: 'conversation',
  llm_requests: 'call',
  llm_responses: 'call',
  audit_events: 'audit',
} as const satisfies Partial<Record<keyof Tables, IdKind>>

/** Months made ahead of the current one, so that a gateway left alone for a season does not fill the default. */
const monthsAhead = 3

interface Month {
  readonly name: string
  readonly from: number
  readonly to: number
}

/**
 * Makes the monthly partitions for the month of `time`, the one before (calls under way at midnight) and those ahead.
 * Rows that strayed into the default partition are moved. Needs a transaction; returns the names of what it made.
 */
export async function ensurePartitions(tx: Kysely<Tables>, time: number): Promise<string[]> {
  const made: string[] = []
  const { rows } = await sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relispartition AND n.nspname = current_schema()`.execute(tx)
  const existing = new Set(rows.map(row => row.name))
  for (const [table, kind] of Object.entries(partitionedTables)) {
    for (const month of monthsAround(time)) {
      const name = `${table}_${month.name}`
      if (existing.has(name)) continue
      await makePartition(tx, table, name, lowestIdAt(kind, month.from), lowestIdAt(kind, month.to))
      made.push(name)
    }
  }
  return made
}

async function makePartition(
  tx: Kysely<Tables>,
  table: string,
  name: string,
  from: string,
  to: string,
): Promise<void> {
  const column = partitionColumn(table)
  const strays = `${column} >= '${from}' AND ${column} < '${to}'`
  // Made apart and attached: PARTITION OF refuses a range of which the default partition holds rows.
  await sql.raw(`CREATE TABLE ${name} (LIKE ${table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`).execute(tx)
  await sql
    .raw(
      `WITH strays AS (DELETE FROM ${table}_default WHERE ${strays} RETURNING *) INSERT INTO ${name} SELECT * FROM strays`,
    )
    .execute(tx)
  await sql
    .raw(`ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${from}') TO ('${to}')`)
    .execute(tx)
}

function partitionColumn(table: string): string {
  if (table === 'messages') return 'conversation_id'
  return table === 'llm_responses' ? 'request_id' : 'id'
}

function monthsAround(time: number): Month[] {
  const now = new Date(time)
  return Array.from({ length: monthsAhead + 2 }, (_, index) => {
    const from = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1 + index)
    const to = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + index)
    return { name: new Date(from).toISOString().slice(0, 7).replace('-', '_'), from, to }
  })
}
