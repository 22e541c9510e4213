import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Account } from '../model/usage.ts'
import { accountOfRow } from './account-columns.ts'

/** Which calls are looked at, by when they were begun (milliseconds since 1970, UTC) and by their model. */
export interface CostFilter {
  readonly userId?: string | undefined
  /** From this time on. */
  readonly since?: number | undefined
  /** Before this time. */
  readonly until?: number | undefined
  /** The model that was asked, or that answered. */
  readonly model?: string | undefined
}

/** A settled call with all that its cost is computed from. */
export interface CostedCall {
  readonly id: string
  readonly userId: string
  readonly provider: string
  readonly requestModel: string
  readonly responseModel: string | undefined
  readonly operation: string
  readonly status: string
  readonly httpStatus: number | undefined
  readonly createdAt: number
  readonly settledAt: number
  readonly account: Account
}

/** Calls of one model and provider whose cost is unknown. */
export interface UnpricedModel {
  readonly provider: string
  readonly model: string
  /** `price`: there is none. `usage`: nobody knows what they used, so that no price would help. */
  readonly lacks: 'price' | 'usage'
  readonly calls: number
  readonly inputTokens: number
  readonly outputTokens: number
  /** When the first and the last of them were begun, in milliseconds since 1970, UTC. */
  readonly firstAt: number
  readonly lastAt: number
}

type Db = Pick<Kysely<Tables>, 'selectFrom'>

function settledCalls(db: Db, { userId, id, since, until, model }: CostFilter & { id?: string }) {
  return db
    .selectFrom('llm_requests as q')
    .innerJoin('llm_responses as s', join =>
      join.onRef('s.request_id', '=', 'q.id').onRef('s.user_id', '=', 'q.user_id'),
    )
    .$if(userId !== undefined, query => query.where('q.user_id', '=', userId ?? ''))
    .$if(id !== undefined, query => query.where('q.id', '=', id ?? ''))
    .$if(since !== undefined, query => query.where('q.created_at', '>=', since ?? 0))
    .$if(until !== undefined, query => query.where('q.created_at', '<', until ?? 0))
    .$if(model !== undefined, query =>
      query.where(eb =>
        eb.or([eb('q.request_model', '=', model ?? ''), eb('s.response_model', '=', model ?? '')]),
      ),
    )
}

/** Where a page ends: the next begins behind it. */
export type CallKey = Pick<CostedCall, 'id' | 'userId'>

/** A page of settled calls in the order of their ids. */
export async function costedCalls(
  db: Db,
  filter: CostFilter & { id?: string },
  { after, limit }: { after?: CallKey | undefined; limit: number },
): Promise<CostedCall[]> {
  const rows = await settledCalls(db, filter)
    .select([
      'q.id',
      'q.user_id',
      'q.provider',
      'q.request_model',
      'q.operation',
      'q.created_at as begun_at',
      's.status',
      's.http_status',
      's.response_model',
      's.created_at',
      's.input_tokens',
      's.output_tokens',
      's.cache_read_input_tokens',
      's.cache_creation_input_tokens',
      's.reasoning_output_tokens',
      's.usage_details',
      's.usage_source',
      's.cost_nanousd',
    ])
    .$if(after !== undefined, query =>
      query.where(eb =>
        eb.or([
          eb('q.id', '>', after?.id ?? ''),
          eb.and([eb('q.id', '=', after?.id ?? ''), eb('q.user_id', '>', after?.userId ?? '')]),
        ]),
      ),
    )
    .orderBy('q.id')
    .orderBy('q.user_id')
    .limit(limit)
    .execute()
  return rows.map(row => ({
    id: row.id,
    userId: row.user_id,
    provider: row.provider,
    requestModel: row.request_model,
    responseModel: row.response_model ?? undefined,
    operation: row.operation,
    status: row.status,
    httpStatus: row.http_status ?? undefined,
    createdAt: row.begun_at,
    settledAt: row.created_at,
    account: accountOfRow(row),
  }))
}

/** One settled call by its id, of this user or of whoever it is. */
export async function costedCall(
  db: Db,
  id: string,
  userId: string | undefined,
): Promise<CostedCall | undefined> {
  const [call] = await costedCalls(db, { userId, id }, { limit: 1 })
  return call
}

export async function countCostedCalls(db: Db, filter: CostFilter): Promise<number> {
  const row = await settledCalls(db, filter)
    .select(eb => eb.fn.countAll<number>().as('count'))
    .executeTakeFirst()
  return Number(row?.count ?? 0)
}

/** The models of calls whose cost is unknown, those with the most calls first. */
export async function unpricedModels(db: Db, filter: CostFilter): Promise<UnpricedModel[]> {
  const model = sql<string>`COALESCE(s.response_model, q.request_model)`
  const lacksUsage = sql<number>`CASE WHEN s.input_tokens IS NULL AND s.output_tokens IS NULL THEN 1 ELSE 0 END`
  const rows = await settledCalls(db, filter)
    .select(eb => [
      'q.provider',
      model.as('model'),
      lacksUsage.as('lacks_usage'),
      eb.fn.countAll<number>().as('calls'),
      sql<number>`COALESCE(SUM(s.input_tokens), 0)`.as('input_tokens'),
      sql<number>`COALESCE(SUM(s.output_tokens), 0)`.as('output_tokens'),
      eb.fn.min('q.created_at').as('first_at'),
      eb.fn.max('q.created_at').as('last_at'),
    ])
    .where('s.cost_nanousd', 'is', null)
    .groupBy(['q.provider', model, lacksUsage])
    .orderBy('calls', 'desc')
    .orderBy('model')
    .execute()
  return rows.map(row => ({
    provider: row.provider,
    model: row.model,
    lacks: Number(row.lacks_usage) === 1 ? 'usage' : 'price',
    calls: Number(row.calls),
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    firstAt: Number(row.first_at),
    lastAt: Number(row.last_at),
  }))
}
