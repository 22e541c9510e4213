import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { assembleRequest } from '../model/prepared-request.ts'
import { restoreContent } from '../model/reply.ts'
import { decodeContent, decodeText } from '../privacy/content.ts'
import { conversationStore } from './conversations.ts'
import { rawMessages } from './raw-messages.ts'

/** A call's facts, without what was said. */
export interface Call {
  readonly id: string
  readonly userId: string
  readonly apiKeyId: string | undefined
  readonly conversationId: string
  readonly provider: string
  readonly requestModel: string
  readonly operation: string
  /** `pending` until it is settled. */
  readonly status: string
  readonly httpStatus: number | undefined
  readonly contentType: string | undefined
  readonly responseModel: string | undefined
  readonly providerResponseId: string | undefined
  readonly finishReasons: readonly string[]
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  readonly cacheReadInputTokens: number | undefined
  readonly reasoningOutputTokens: number | undefined
  /** Nano-US-dollars; undefined when unpriced. */
  readonly costNanousd: number | undefined
  readonly latencyMs: number | undefined
  readonly timeToFirstChunkMs: number | undefined
  readonly errorCode: string | undefined
  readonly errorMessage: string | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
  readonly settledAt: number | undefined
}

export interface CallFilter {
  readonly userId?: string | undefined
  readonly limit?: number
  /** Only calls with a lower id (older). */
  readonly before?: string | undefined
  /** Only calls with a higher id (newer), oldest first. */
  readonly after?: string | undefined
}

export function callStore(database: Database) {
  const { kysely } = database
  const conversations = conversationStore(database)

  const facts = () =>
    kysely
      .selectFrom('llm_requests as q')
      .leftJoin('llm_responses as s', join => join.onRef('s.user_id', '=', 'q.user_id').onRef('s.request_id', '=', 'q.id'))
      .select([
        'q.id', 'q.user_id', 'q.api_key_id', 'q.conversation_id', 'q.provider', 'q.request_model', 'q.operation', 'q.created_at',
        's.status', 's.http_status', 's.content_type', 's.conversation_id as reply_conversation_id', 's.response_model',
        's.provider_response_id', 's.finish_reasons', 's.input_tokens', 's.output_tokens', 's.cache_read_input_tokens',
        's.reasoning_output_tokens', 's.cost_nanousd', 's.latency_ms', 's.time_to_first_chunk_ms', 's.error_code',
        's.error_message', 's.created_at as settled_at',
      ])

  const requestRow = async (userId: string, id: string): Promise<Row<'llm_requests'>> => {
    const row = await kysely.selectFrom('llm_requests').selectAll().where('user_id', '=', userId).where('id', '=', id).executeTakeFirst()
    if (row === undefined) throw new SteleError('call_not_found', { call: id })
    return row
  }

  const responseRow = (userId: string, id: string): Promise<Row<'llm_responses'> | undefined> =>
    kysely.selectFrom('llm_responses').selectAll().where('user_id', '=', userId).where('request_id', '=', id).executeTakeFirst()

  return {
    async get(userId: string, id: string): Promise<Call | undefined> {
      const row = await facts().where('q.user_id', '=', userId).where('q.id', '=', id).executeTakeFirst()
      return row && fromRow(row)
    },
    /** A call by its id alone, for operators. */
    async find(id: string): Promise<Call | undefined> {
      const row = await facts().where('q.id', '=', id).executeTakeFirst()
      return row && fromRow(row)
    },
    /** The newest calls first; with `after`, the oldest of the newer ones first. */
    async list(filter: CallFilter = {}): Promise<Call[]> {
      const rows = await facts()
        .$if(filter.userId !== undefined, query => query.where('q.user_id', '=', filter.userId ?? ''))
        .$if(filter.before !== undefined, query => query.where('q.id', '<', filter.before ?? ''))
        .$if(filter.after !== undefined, query => query.where('q.id', '>', filter.after ?? ''))
        .orderBy('q.id', filter.after === undefined ? 'desc' : 'asc')
        .limit(filter.limit ?? 50)
        .execute()
      return rows.map(fromRow)
    },
    /** The reply's message as JSON text, as the conversation has it; undefined when the call added none. */
    async replyMessage(userId: string, id: string): Promise<string | undefined> {
      const row = await kysely
        .selectFrom('llm_responses as s')
        .innerJoin('messages as m', join =>
          join.onRef('m.user_id', '=', 's.user_id').onRef('m.conversation_id', '=', 's.conversation_id').onRef('m.seq', '=', 's.seq'),
        )
        .select('m.content')
        .where('s.user_id', '=', userId)
        .where('s.request_id', '=', id)
        .executeTakeFirst()
      return row && decodeText(row.content)
    },
    /** The request exactly as it was received. @throws SteleError call_not_found, content_unreadable */
    async exactRequest(userId: string, id: string): Promise<Buffer> {
      const row = await requestRow(userId, id)
      if (row.body !== null) return decodeContent(row.body)
      if (row.params === null) throw new SteleError('content_unreadable', { reason: `call ${id} has no request` })
      const history = await conversations.history(userId, row.conversation_id, row.up_to_seq)
      const parts = {
        frame: decodeText(row.params),
        messagesAt: row.messages_at ?? undefined,
        separator: row.separator ?? ',',
      }
      return Buffer.from(assembleRequest(parts, rawMessages(history, row.up_to_seq)))
    },
    /**
     * The reply exactly as the provider sent it; undefined while there is none.
     * @throws SteleError call_not_found, content_unreadable
     */
    async exactResponse(userId: string, id: string): Promise<Buffer | undefined> {
      const row = await responseRow(userId, id)
      if (row === undefined) await requestRow(userId, id)
      if (row == null || row.body === null) return undefined
      if (row.content_at === null) return decodeContent(row.body)
      const message = await kysely
        .selectFrom('messages')
        .select('content')
        .where('user_id', '=', userId)
        .where('conversation_id', '=', row.conversation_id ?? '')
        .where('seq', '=', row.seq ?? -1)
        .executeTakeFirst()
      if (message === undefined) throw new SteleError('content_unreadable', { reason: `the message of call ${id} is gone` })
      const { content } = JSON.parse(decodeText(message.content)) as { content: string }
      return Buffer.from(restoreContent(decodeText(row.body), row.content_at, content))
    },
  }
}

type FactsRow = Pick<
  Row<'llm_requests'>,
  'id' | 'user_id' | 'api_key_id' | 'conversation_id' | 'provider' | 'request_model' | 'operation' | 'created_at'
> & { [C in Exclude<keyof Row<'llm_responses'>, 'user_id' | 'request_id' | 'conversation_id' | 'created_at' | 'body' | 'content_at' | 'seq'>]: Row<'llm_responses'>[C] | null } & {
  reply_conversation_id: string | null
  settled_at: number | null
}

function fromRow(row: FactsRow): Call {
  return {
    id: row.id,
    userId: row.user_id,
    apiKeyId: row.api_key_id ?? undefined,
    conversationId: row.reply_conversation_id ?? row.conversation_id,
    provider: row.provider,
    requestModel: row.request_model,
    operation: row.operation,
    status: row.status ?? 'pending',
    httpStatus: row.http_status ?? undefined,
    contentType: row.content_type ?? undefined,
    responseModel: row.response_model ?? undefined,
    providerResponseId: row.provider_response_id ?? undefined,
    finishReasons: row.finish_reasons === null ? [] : (JSON.parse(row.finish_reasons) as string[]),
    inputTokens: row.input_tokens ?? undefined,
    outputTokens: row.output_tokens ?? undefined,
    cacheReadInputTokens: row.cache_read_input_tokens ?? undefined,
    reasoningOutputTokens: row.reasoning_output_tokens ?? undefined,
    costNanousd: row.cost_nanousd ?? undefined,
    latencyMs: row.latency_ms ?? undefined,
    timeToFirstChunkMs: row.time_to_first_chunk_ms ?? undefined,
    errorCode: row.error_code ?? undefined,
    errorMessage: row.error_message ?? undefined,
    createdAt: row.created_at,
    settledAt: row.settled_at ?? undefined,
  }
}
