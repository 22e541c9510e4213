import { type Kysely, type SqlBool, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { lowestIdAt } from '../ids.ts'
import { importingInstance } from '../store/instances.ts'
import type { Amounts } from './caps.ts'
import type { Counter } from './counted.ts'

/** A call's id may be older than the call by so much, in milliseconds: whoever calls the library may bring the id along. */
const idTolerance = 86_400_000

/** What a counter should say: the sum over the calls on record, by the rules of charge.ts. */
export async function recount(
  db: Kysely<Tables>,
  { scope, subject, model, window }: Counter,
): Promise<Amounts> {
  const { start, end } = window
  const isOf: Record<Counter['scope'], ReturnType<typeof sql<SqlBool>>> = {
    global: sql<SqlBool>`1 = 1`,
    user: sql<SqlBool>`q.user_id = ${subject}`,
    key: sql<SqlBool>`q.api_key_id = ${subject}`,
  }
  const isOfModel = model === '' ? sql`1 = 1` : sql`q.request_model = ${model}`
  const counts =
    model === '' ? sql`(q.route_mode IS NULL OR q.route_mode NOT IN ('retry', 'fallback'))` : sql`1 = 1`
  const held = sql`COALESCE(q.reserved_tokens, 0)`
  const heldNanousd = sql`COALESCE(q.reserved_nanousd, 0)`
  const { rows } = await sql<Amounts>`
    SELECT
      COALESCE(SUM(CASE WHEN ${counts} THEN 1 ELSE 0 END), 0) AS requests,
      COALESCE(SUM(CASE
        WHEN s.status = 'cached' THEN 0
        WHEN s.request_id IS NULL THEN ${held}
        WHEN s.input_tokens IS NULL AND s.output_tokens IS NULL AND s.status <> 'failed' THEN ${held}
        ELSE COALESCE(s.input_tokens, 0) + COALESCE(s.output_tokens, 0) END), 0) AS tokens,
      COALESCE(SUM(CASE
        WHEN s.status = 'cached' THEN 0
        WHEN s.cost_nanousd IS NOT NULL THEN s.cost_nanousd
        WHEN s.status = 'failed' THEN 0
        ELSE ${heldNanousd} END), 0) AS nanousd
    FROM llm_requests q
    LEFT JOIN llm_responses s ON s.request_id = q.id AND s.user_id = q.user_id
    WHERE q.id >= ${lowestIdAt('call', Math.max(0, start - idTolerance))}
      AND q.created_at >= ${start} AND q.created_at < ${end}
      AND q.instance_id <> ${importingInstance} AND ${isOf[scope]} AND ${isOfModel}`.execute(db)
  const [found] = rows
  return { requests: found?.requests ?? 0, tokens: found?.tokens ?? 0, nanousd: found?.nanousd ?? 0 }
}
