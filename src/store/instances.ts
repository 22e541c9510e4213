import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import type { Reservation } from '../model/call.ts'

/** Calls that are looked for at a time. */
export const openCallsPage = 500

/** Stands for the process that made an imported call: none that this database knows. */
export const importingInstance = 'import'

export type OpenCall = Pick<
  Row<'llm_requests'>,
  | 'user_id'
  | 'id'
  | 'conversation_id'
  | 'up_to_seq'
  | 'api_key_id'
  | 'provider'
  | 'request_model'
  | 'operation'
  | 'created_at'
  | 'reserved_tokens'
  | 'reserved_nanousd'
>

/** What is held back for a call. */
export function reservedIn({
  reserved_tokens: tokens,
  reserved_nanousd: nanousd,
}: Pick<OpenCall, 'reserved_tokens' | 'reserved_nanousd'>): Reservation | undefined {
  return tokens === null ? undefined : { tokens, nanousd: nanousd ?? undefined }
}

/** Processes that record, so that what a dead one left open can be found. None of its questions waits long for an answer. */
export function promptInstances({ prompt: kysely }: Pick<Database, 'prompt'>) {
  const openCallsOf = (instanceId: string) =>
    kysely
      .selectFrom('llm_requests as q')
      .leftJoin('llm_responses as s', join =>
        join.onRef('s.user_id', '=', 'q.user_id').onRef('s.request_id', '=', 'q.id'),
      )
      .select([
        'q.user_id',
        'q.provider',
        'q.operation',
        'q.id',
        'q.conversation_id',
        'q.up_to_seq',
        'q.api_key_id',
        'q.request_model',
        'q.created_at',
        'q.reserved_tokens',
        'q.reserved_nanousd',
      ])
      .where('q.instance_id', '=', instanceId)
      .where('s.request_id', 'is', null)
      .orderBy('q.id')
      .limit(openCallsPage)
  return {
    others(id: string): Promise<Row<'instances'>[]> {
      return kysely.selectFrom('instances').selectAll().where('id', '<>', id).execute()
    },
    async forget(id: string): Promise<void> {
      await kysely.deleteFrom('instances').where('id', '=', id).execute()
    },
    /** Some of the calls that an instance began from `open_since` on and nobody settled, oldest first; none when there are none left. */
    openCalls(instance: Pick<Row<'instances'>, 'id' | 'open_since'>): Promise<OpenCall[]> {
      return openCallsOf(instance.id).where('q.id', '>=', instance.open_since).execute()
    },
  }
}
