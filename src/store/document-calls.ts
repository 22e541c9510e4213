import type { Row } from '../db/tables.ts'
import { callIdOfDocument } from '../ids.ts'
import { type Call, callStore } from './calls.ts'
import type { Reading } from './contents.ts'

/** What the calls of a document took, all of them together. */
export interface DocumentCosts {
  /** The first one first. */
  readonly callIds: readonly string[]
  /** The model that answered last. */
  readonly model: string | undefined
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  readonly totalTokens: number | undefined
  /** Nano-US-dollars; undefined when any of its calls is unpriced. */
  readonly costNanousd: number | undefined
}

type Named = Pick<Row<'documents'>, 'user_id' | 'id'>

/** The calls of documents, by whose and which they are: in few queries for all of them. */
export async function documentCalls(
  reading: Reading,
  documents: readonly Named[],
): Promise<ReadonlyMap<string, readonly Call[]>> {
  if (documents.length === 0) return new Map()
  const firsts = documents.map(({ id }) => callIdOfDocument(id))
  const users = [...new Set(documents.map(row => row.user_id))]
  const further = await reading.kysely
    .selectFrom('llm_requests')
    .select(['id', 'user_id'])
    .where('group_id', 'in', firsts)
    .where('user_id', 'in', users)
    .where('route_mode', 'is not', null)
    .where('route_mode', '<>', 'replay')
    .execute()
  const ids = [...new Set([...firsts, ...further.map(row => row.id)])]
  const calls = await callStore(reading).named(users, ids)
  return Map.groupBy(calls, call => nameOf(call.userId, call.groupId))
}

/** What of that is one document's. */
export function ofDocument(
  { user_id, id }: Named,
  calls: ReadonlyMap<string, readonly Call[]>,
): DocumentCosts {
  const own = calls.get(nameOf(user_id, callIdOfDocument(id))) ?? []
  const inputTokens = sum(own.map(call => call.inputTokens))
  const outputTokens = sum(own.map(call => call.outputTokens))
  const last = own.at(-1)
  const isPriced = own.length > 0 && own.every(isPricedOrFree)
  return {
    callIds: own.map(call => call.id),
    model: last?.responseModel ?? last?.requestModel,
    inputTokens,
    outputTokens,
    totalTokens: sum([inputTokens, outputTokens]),
    costNanousd: isPriced ? sum(own.map(call => call.costNanousd)) : undefined,
  }
}

/** A call that came to nothing and used nothing has no price to know. */
function isPricedOrFree({ status, costNanousd, inputTokens, outputTokens }: Call): boolean {
  return (
    costNanousd !== undefined ||
    (status === 'failed' && inputTokens === undefined && outputTokens === undefined)
  )
}

function sum(counts: readonly (number | undefined)[]): number | undefined {
  const known = counts.filter(count => count !== undefined)
  return known.length === 0 ? undefined : known.reduce((total, count) => total + count, 0)
}

function nameOf(userId: string, groupId: string): string {
  return `${groupId} ${userId}`
}
