import type { Row } from '../db/tables.ts'
import { isFields } from '../model/reply.ts'
import type { ListedItem } from '../model/responses/message-items.ts'
import { decodeText } from '../privacy/content.ts'
import type { Reading } from './contents.ts'
import { importingInstance } from './instances.ts'

/** A response of the Responses API as it is on record. */
export interface StoredResponse {
  readonly id: string
  readonly userId: string
  /** The call that answered it; the first one that was made for it until one has. */
  readonly callId: string
  readonly conversationId: string
  /** Where its reply stands in that conversation; undefined while there is none. */
  readonly seq: number | undefined
  readonly status: string
  /** The `Response` object as JSON text: as it ended, or as it began. */
  readonly body: string
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

/** Statuses under which a response may still change. */
export const openStatuses: readonly string[] = ['in_progress', 'cancelling']

export function isOpenStatus(status: string): boolean {
  return openStatuses.includes(status)
}

/** What is on record of responses. They are written by the recorder, with the calls that they are made of. */
export function responseStore({ kysely, contents }: Reading) {
  const visible = (userId: string, id: string) =>
    kysely
      .selectFrom('responses')
      .where('user_id', '=', userId)
      .where('id', '=', id)
      .where('deleted_at', 'is', null)

  return {
    async get(userId: string, id: string): Promise<StoredResponse | undefined> {
      const stored = await visible(userId, id)
        .select(['id', 'user_id', 'call_id', 'conversation_id', 'seq', 'status', 'body', 'created_at'])
        .executeTakeFirst()
      const row = await contents.openOne(kysely, 'responses', stored)
      return row && fromRow(row)
    },
    /** The JSON text of its input items. */
    async input(userId: string, id: string): Promise<string | undefined> {
      const stored = await visible(userId, id).select(['id', 'user_id', 'input']).executeTakeFirst()
      const row = await contents.openOne(kysely, 'responses', stored)
      return row && decodeText(row.input)
    },
    /** All that was said to these responses and by them, item by item. Those that are not there are left out. */
    async itemsOf(userId: string, ids: readonly string[]): Promise<ListedItem[]> {
      if (ids.length === 0) return []
      const stored = await kysely
        .selectFrom('responses')
        .select(['id', 'user_id', 'input', 'body'])
        .where('user_id', '=', userId)
        .where('id', 'in', ids)
        .where('deleted_at', 'is', null)
        .execute()
      const rows = await contents.open(kysely, 'responses', stored)
      return rows.flatMap(({ input, body }) => {
        const { output } = JSON.parse(decodeText(body)) as { output: unknown[] }
        const items = [...(JSON.parse(decodeText(input)) as unknown[]), ...output]
        // A provider's own items may have no ids: nobody names them.
        return items.filter((item): item is ListedItem => isFields(item) && typeof item['id'] === 'string')
      })
    },
    /** Of these responses, those that were asked to stop. */
    async cancelling(ids: readonly string[]): Promise<string[]> {
      const rows = await kysely
        .selectFrom('responses')
        .select('id')
        .where('id', 'in', ids)
        .where('status', '=', 'cancelling')
        .execute()
      return rows.map(row => row.id)
    },
    /**
     * Whether somebody still makes the calls of the group that began with this one: one of them is under way, or whoever
     * made the last one lives and may make another.
     */
    async isUnderWay(userId: string, callId: string): Promise<boolean> {
      const calls = await kysely
        .selectFrom('llm_requests')
        .select(['id', 'instance_id'])
        .where('user_id', '=', userId)
        .where(eb =>
          eb.or([
            eb('id', '=', callId),
            eb.and([eb('group_id', '=', callId), eb('route_mode', 'is not', null)]),
          ]),
        )
        .orderBy('id')
        .execute()
      if (calls.length === 0) return false
      const settled = await kysely
        .selectFrom('llm_responses')
        .select('request_id')
        .where('user_id', '=', userId)
        .where(
          'request_id',
          'in',
          calls.map(call => call.id),
        )
        .execute()
      // Nobody here makes a call that was under way when it was imported.
      if (settled.length < calls.length) return calls.at(-1)?.instance_id !== importingInstance
      const maker = await kysely
        .selectFrom('instances')
        .select('id')
        .where('id', '=', calls.at(-1)?.instance_id ?? '')
        .executeTakeFirst()
      return maker !== undefined
    },
  }
}

type Selected = Pick<
  Row<'responses'>,
  'id' | 'user_id' | 'call_id' | 'conversation_id' | 'seq' | 'status' | 'body' | 'created_at'
>

function fromRow(row: Selected): StoredResponse {
  return {
    id: row.id,
    userId: row.user_id,
    callId: row.call_id,
    conversationId: row.conversation_id,
    seq: row.seq ?? undefined,
    status: row.status,
    body: decodeText(row.body),
    createdAt: row.created_at,
  }
}
