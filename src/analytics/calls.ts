import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { type CallFacts, dayAt } from './measures.ts'

/** Which call of whom. */
export type CallKey = Row<'usage_pending'>

/** Calls with their ends, if they have ended. @param where a condition on `q`, the request, and `s`, the response */
interface Selection {
  readonly where: RawBuilder<unknown>
  readonly limit: number
}

/** A call that has begun; its facts once it is settled. */
export interface BegunFacts extends CallKey {
  readonly facts: CallFacts | undefined
}

type StoredFacts = Omit<CallFacts, 'day' | 'status'> & { status: string | null; settled_at: number }

/** Of a call that generates a document the type of that. */
const documentType = sql`coalesce(q.document_type, '')`

/** Calls in order of their ids, whether they have ended or not. One statement: what it finds is of one moment. */
export async function readCalls(
  db: Kysely<Tables>,
  { where, limit }: Selection,
  { from = '', to = '~' }: { readonly from?: string; readonly to?: string } = {},
): Promise<BegunFacts[]> {
  // The bounds stand with both tables: where these are in parts, only the parts that are meant are looked at.
  const { rows } = await sql<StoredFacts>`
    SELECT q.id, q.user_id, q.provider, q.operation, coalesce(q.api_key_id, '') AS api_key_id,
      ${documentType} AS document_type, coalesce(s.response_model, q.request_model) AS model,
      coalesce(s.conversation_id, q.conversation_id) AS conversation_id, s.status, s.input_tokens, s.output_tokens,
      s.cache_read_input_tokens, s.reasoning_output_tokens, s.cost_nanousd, s.latency_ms, s.time_to_first_chunk_ms,
      s.created_at AS settled_at
    FROM llm_requests q LEFT JOIN llm_responses s
      ON s.request_id = q.id AND s.user_id = q.user_id AND s.request_id >= ${from} AND s.request_id < ${to}
    WHERE q.id >= ${from} AND q.id < ${to} AND ${where} ORDER BY q.id, q.user_id LIMIT ${limit}`.execute(db)
  return rows.map(({ settled_at, status, ...row }) => ({
    call_id: row.id,
    user_id: row.user_id,
    facts: status === null ? undefined : { ...row, status, day: dayAt(settled_at) },
  }))
}

const keysAtATime = 500

/** The calls with these keys. */
export async function readCallsOf(db: Kysely<Tables>, keys: readonly CallKey[]): Promise<BegunFacts[]> {
  const found: BegunFacts[] = []
  for (let at = 0; at < keys.length; at += keysAtATime) {
    const part = keys.slice(at, at + keysAtATime)
    const ids = sql.join(part.map(({ call_id }) => sql`${call_id}`))
    const wanted = new Set(part.map(keyText))
    const rows = await readCalls(db, { where: sql`q.id IN (${ids})`, limit: part.length * 2 }, boundsOf(part))
    found.push(...rows.filter(row => wanted.has(keyText(row))))
  }
  return found
}

function boundsOf(keys: readonly CallKey[]): { from: string; to: string } {
  const ids = keys.map(({ call_id }) => call_id).sort()
  return { from: ids[0] ?? '', to: `${ids.at(-1) ?? ''} ` }
}

export function keyText({ call_id, user_id }: CallKey): string {
  return `${call_id} ${user_id}`
}

/** The calls that have ended. */
export function settledOf(calls: readonly BegunFacts[]): CallFacts[] {
  return calls.flatMap(({ facts }) => facts ?? [])
}
