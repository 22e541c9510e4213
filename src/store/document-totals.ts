import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { lowestIdAt } from '../ids.ts'
import { keyText } from '../model/json-object.ts'

/** The documents of one type that were made for one user. */
export interface DocumentTotals {
  readonly userId: string
  readonly type: string
  readonly documents: number
  readonly completed: number
  readonly failed: number
  readonly invalid: number
  /** Of those that are completed, in milliseconds; undefined when none is. */
  readonly averageMs: number | undefined
}

export interface DocumentTotalsFilter {
  /** Of everyone when left out. */
  readonly userId?: string | undefined
  readonly type?: string | undefined
  /** Milliseconds since 1970, UTC: not before, and before. */
  readonly from?: number | undefined
  readonly to?: number | undefined
}

/** By user and type. Deleted documents count: they were made. */
export async function documentTotals(
  { kysely }: Pick<Database, 'kysely'>,
  { userId, type, from, to }: DocumentTotalsFilter,
): Promise<DocumentTotals[]> {
  const rows = await kysely
    .selectFrom('documents')
    .select(['user_id', 'document_type', 'status'])
    .select(eb => eb.fn.countAll<number>().as('documents'))
    .select(sql<number>`CAST(coalesce(sum(ended_at - created_at), 0) AS bigint)`.as('took'))
    .$if(userId !== undefined, query => query.where('user_id', '=', keyText('userId', userId)))
    .$if(type !== undefined, query => query.where('document_type', '=', keyText('type', type)))
    .$if(from !== undefined, query => query.where('id', '>=', lowestIdAt('document', from ?? 0)))
    .$if(to !== undefined, query => query.where('id', '<', lowestIdAt('document', to ?? 0)))
    .groupBy(['user_id', 'document_type', 'status'])
    .orderBy('user_id')
    .orderBy('document_type')
    .execute()
  const groups = Map.groupBy(rows, row => JSON.stringify([row.user_id, row.document_type]))
  return [...groups.values()].map(group => {
    const of = (status: string) => group.find(row => row.status === status)
    const completed = of('completed')
    return {
      userId: group[0]?.user_id ?? '',
      type: group[0]?.document_type ?? '',
      documents: group.reduce((sum, row) => sum + Number(row.documents), 0),
      completed: Number(completed?.documents ?? 0),
      failed: Number(of('failed')?.documents ?? 0),
      invalid: Number(of('invalid')?.documents ?? 0),
      averageMs: completed && Math.round(Number(completed.took) / Number(completed.documents)),
    }
  })
}
