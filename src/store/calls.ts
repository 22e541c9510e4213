import { sentBytes } from '../compression/sent.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { SentRecord } from '../model/call.ts'
import type { SettledFacts } from '../model/call-record.ts'
import { keyText, pageLimit } from '../model/json-object.ts'
import { assembleRequest } from '../model/prepared-request.ts'
import { restoreContent } from '../model/reply.ts'
import { markedSeq, toldHistory } from '../model/responses/told-history.ts'
import { decodeContent, decodeText, isAbsent } from '../privacy/content.ts'
import type { Reading } from './contents.ts'
import { conversationStore, requireNamed } from './conversations.ts'
import { rawMessages } from './raw-messages.ts'

/** A call's facts, without what was said. */
export interface Call {
  readonly id: string
  readonly userId: string
  readonly apiKeyId: string | undefined
  /** '' when it belongs to none, being no chat. */
  readonly conversationId: string
  readonly provider: string
  readonly requestModel: string
  readonly operation: string
  /** The type of the document that it was made for, in which version. */
  readonly documentType: string | undefined
  readonly documentVersion: string | undefined
  /** The first of the calls made for the same request; its own id when it is that one or the only one. */
  readonly groupId: string
  /** What made it a further call of its group, as in `retry`. */
  readonly routeMode: string | undefined
  /** Its number among the calls of its group, from 1. */
  readonly attempt: number
  /** The level at which its prompts were compressed, and the version of that, as `high/1`. */
  readonly compression: string | undefined
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
  readonly cacheCreationInputTokens: number | undefined
  /** Who counted the tokens: the provider (`reported`), or a tokenizer in its place (`estimated`); undefined of none. */
  readonly usageSource: string | undefined
  /** Nano-US-dollars; undefined when unknown. */
  readonly costNanousd: number | undefined
  /** Of a call that was answered from the cache: how its answer was found, and what that saved as far as it is known. */
  readonly cacheHit: string | undefined
  readonly savedInputTokens: number | undefined
  readonly savedOutputTokens: number | undefined
  readonly savedNanousd: number | undefined
  readonly latencyMs: number | undefined
  readonly timeToFirstChunkMs: number | undefined
  readonly errorCode: string | undefined
  readonly errorMessage: string | undefined
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
  readonly settledAt: number | undefined
}

export interface CallFilter {
  /** Of everyone when left out, which is not to say `undefined`: that is refused. */
  readonly userId?: string
  readonly limit?: number
  /** Only calls with a lower id (older). */
  readonly before?: string | undefined
  /** Only calls with a higher id (newer), oldest first. */
  readonly after?: string | undefined
}

export function callStore(reading: Reading) {
  const { kysely, contents } = reading
  const conversations = conversationStore(reading)

  const requests = () => kysely.selectFrom('llm_requests').select(requestFacts)

  /** The ids of each group's calls, oldest first. Asked only for groups that are known to have several. */
  const groupMembers = async (rows: readonly RequestFacts[]): Promise<Map<string, string[]>> => {
    const groupIds = [...new Set(rows.flatMap(row => (row.route_mode === null ? [] : (row.group_id ?? []))))]
    if (groupIds.length === 0) return new Map()
    const further = await kysely
      .selectFrom('llm_requests')
      .select(['id', 'user_id', 'group_id'])
      .where('group_id', 'in', groupIds)
      .where('user_id', 'in', [...new Set(rows.map(row => row.user_id))])
      .where('route_mode', 'is not', null)
      .execute()
    const groups = Map.groupBy(further, row => `${row.group_id} ${row.user_id}`)
    return new Map(
      [...groups].map(([key, members]) => {
        const ids = new Set([members[0]?.group_id ?? '', ...members.map(row => row.id)])
        return [key, [...ids].sort()]
      }),
    )
  }

  /**
   * Adds what is known of their replies. A query of its own, not a join: the planner of a server that has no statistics
   * yet would read every reply of the user to show a page of them.
   */
  const withReplies = async (rows: readonly RequestFacts[]): Promise<Call[]> => {
    if (rows.length === 0) return []
    const groups = await groupMembers(rows)
    const stored = await kysely
      .selectFrom('llm_responses')
      .select(responseFacts)
      .where(
        'request_id',
        'in',
        rows.map(row => row.id),
      )
      .where('user_id', 'in', [...new Set(rows.map(row => row.user_id))])
      .execute()
    const replies = await contents.open(kysely, 'llm_responses', stored)
    const byCall = new Map(replies.map(reply => [`${reply.request_id} ${reply.user_id}`, reply]))
    return rows.map(row => {
      const members = groups.get(`${row.group_id} ${row.user_id}`)
      return callFrom(row, byCall.get(`${row.id} ${row.user_id}`), (members?.indexOf(row.id) ?? 0) + 1)
    })
  }

  const requestRow = async (userId: string, id: string): Promise<Row<'llm_requests'>> => {
    const row = await kysely
      .selectFrom('llm_requests')
      .selectAll()
      .where('user_id', '=', keyText('userId', userId))
      .where('id', '=', keyText('id', id))
      .executeTakeFirst()
    const opened = await contents.openOne(kysely, 'llm_requests', row)
    if (opened === undefined) throw new SteleError('call_not_found', { call: id })
    return opened
  }

  const requestText = async (row: Row<'llm_requests'>): Promise<Buffer> => {
    const { id, user_id: userId } = row
    if (row.body !== null) return decodeContent(row.body)
    if (row.params === null)
      throw new SteleError('content_unreadable', { reason: `call ${id} has no request` })
    const toldSeq = markedSeq(row.separator)
    const lastSeq = toldSeq ?? row.up_to_seq
    const history = await conversations.history(userId, row.conversation_id, lastSeq)
    const raws = rawMessages(history, lastSeq)
    const parts = {
      frame: decodeText(row.params),
      messagesAt: row.messages_at ?? undefined,
      separator: row.separator ?? ',',
    }
    return Buffer.from(assembleRequest(parts, toldSeq === undefined ? raws : [toldHistory(raws)]))
  }

  const responseRow = async (userId: string, id: string): Promise<Row<'llm_responses'> | undefined> =>
    contents.openOne(
      kysely,
      'llm_responses',
      await kysely
        .selectFrom('llm_responses')
        .selectAll()
        .where('user_id', '=', keyText('userId', userId))
        .where('request_id', '=', keyText('id', id))
        .executeTakeFirst(),
    )

  /** The reply's message as JSON text; undefined when there is none. */
  const replyText = async (userId: string, row: Row<'llm_responses'> | undefined) => {
    const stored = await kysely
      .selectFrom('messages')
      .select(['user_id', 'conversation_id', 'seq', 'content'])
      .where('user_id', '=', userId)
      .where('conversation_id', '=', row?.conversation_id ?? '')
      .where('seq', '=', row?.seq ?? -1)
      .executeTakeFirst()
    const message = await contents.openOne(kysely, 'messages', stored)
    return message && decodeText(message.content)
  }

  return {
    async get(userId: string, id: string): Promise<Call | undefined> {
      const rows = await requests()
        .where('user_id', '=', keyText('userId', userId))
        .where('id', '=', keyText('id', id))
        .execute()
      return (await withReplies(rows))[0]
    },
    /** What of a call's end never changes; undefined where it has none. @throws SteleError call_not_found */
    async settledFacts(userId: string, id: string): Promise<SettledFacts | undefined> {
      const row = await responseRow(userId, id)
      if (row === undefined) await requestRow(userId, id)
      return row
    },
    /** The keys that calls of a user were made with. */
    async keysOf(userId: string, ids: readonly string[]): Promise<(string | null)[]> {
      const rows = await kysely
        .selectFrom('llm_requests')
        .select('api_key_id')
        .where('user_id', '=', userId)
        .where('id', 'in', ids)
        .execute()
      return rows.map(row => row.api_key_id)
    },
    /** A call by its id alone, for operators. */
    async find(id: string): Promise<Call | undefined> {
      const rows = await requests().where('id', '=', keyText('id', id)).execute()
      return (await withReplies(rows))[0]
    },
    /** Every call that was made for the same request as this one, oldest first. Empty when the call is unknown. */
    async group(userId: string, id: string): Promise<Call[]> {
      const call = await requests()
        .where('user_id', '=', keyText('userId', userId))
        .where('id', '=', keyText('id', id))
        .executeTakeFirst()
      if (call === undefined) return []
      const groupId = call.group_id ?? call.id
      const first = await requests()
        .where('user_id', '=', keyText('userId', userId))
        .where('id', '=', groupId)
        .execute()
      const further = await requests()
        .where('user_id', '=', keyText('userId', userId))
        .where('group_id', '=', groupId)
        .where('route_mode', 'is not', null)
        .where('id', '<>', groupId)
        .orderBy('id')
        .execute()
      return withReplies([...first, ...further])
    },
    /** These calls of these users, oldest first. */
    async named(users: readonly string[], ids: readonly string[]): Promise<Call[]> {
      if (users.length === 0 || ids.length === 0) return []
      const rows = await requests()
        .where('user_id', 'in', users)
        .where('id', 'in', ids)
        .orderBy('id')
        .execute()
      return withReplies(rows)
    },
    /** The newest calls first; with `after`, the oldest of the newer ones first. */
    async list(filter: CallFilter = {}): Promise<Call[]> {
      requireNamed(filter)
      const rows = await requests()
        .$if(filter.userId !== undefined, query =>
          query.where('user_id', '=', keyText('userId', filter.userId)),
        )
        .$if(filter.before !== undefined, query => query.where('id', '<', keyText('before', filter.before)))
        .$if(filter.after !== undefined, query => query.where('id', '>', keyText('after', filter.after)))
        .orderBy('id', filter.after === undefined ? 'desc' : 'asc')
        .limit(pageLimit(filter.limit, 50))
        .execute()
      return withReplies(rows)
    },
    /** The reply's message as JSON text, as the conversation has it; undefined when the call added none. */
    async replyMessage(userId: string, id: string): Promise<string | undefined> {
      return replyText(userId, await responseRow(userId, id))
    },
    /** The request exactly as it was received. @throws SteleError call_not_found, content_not_kept, content_unreadable */
    async exactRequest(userId: string, id: string): Promise<Buffer> {
      return requestText(await requestRow(userId, id))
    },
    /** What is recorded of how a request was compressed; undefined when it was sent as it is. @throws SteleError call_not_found */
    async sentRecord(userId: string, id: string): Promise<SentRecord | undefined> {
      return sentOf(await requestRow(userId, id))
    },
    /**
     * The request exactly as its provider got it, when it was compressed; undefined when it was not.
     * @throws SteleError call_not_found, content_not_kept, content_unreadable
     */
    async sentRequest(userId: string, id: string): Promise<Buffer | undefined> {
      const row = await requestRow(userId, id)
      const sent = sentOf(row)
      if (sent === undefined) return undefined
      const recorded = (await requestText(row)).toString('utf8')
      return sentBytes(recorded, sent, { model: row.request_model, isChat: row.operation !== 'responses' })
    },
    /**
     * The reply exactly as the provider sent it; undefined while there is none.
     * @throws SteleError call_not_found, content_not_kept, content_unreadable
     */
    async exactResponse(userId: string, id: string): Promise<Buffer | undefined> {
      const row = await responseRow(userId, id)
      if (row === undefined) await requestRow(userId, id)
      if (row == null || row.body === null) return undefined
      if (row.content_at === null) return decodeContent(row.body)
      const message = await replyText(userId, row)
      if (message === undefined)
        throw new SteleError('content_unreadable', { reason: `the message of call ${id} is gone` })
      const { content } = JSON.parse(message) as { content: string }
      return Buffer.from(restoreContent(decodeText(row.body), row.content_at, content))
    },
  }
}

function sentOf({ compression, sent }: Row<'llm_requests'>): SentRecord | undefined {
  if (compression === null) return undefined
  return { compression, facts: sent === null || isAbsent(sent) ? undefined : decodeText(sent) }
}

const requestFacts = [
  'id',
  'user_id',
  'api_key_id',
  'conversation_id',
  'provider',
  'request_model',
  'operation',
  'group_id',
  'route_mode',
  'document_type',
  'document_version',
  'compression',
  'created_at',
] as const

const responseFacts = [
  'request_id',
  'user_id',
  'conversation_id',
  'status',
  'http_status',
  'content_type',
  'response_model',
  'provider_response_id',
  'finish_reasons',
  'input_tokens',
  'output_tokens',
  'cache_read_input_tokens',
  'reasoning_output_tokens',
  'cache_creation_input_tokens',
  'usage_source',
  'cost_nanousd',
  'latency_ms',
  'time_to_first_chunk_ms',
  'error_code',
  'error_message',
  'created_at',
  'cache_hit',
  'saved_input_tokens',
  'saved_output_tokens',
  'saved_nanousd',
] as const

type RequestFacts = Pick<Row<'llm_requests'>, (typeof requestFacts)[number]>
type ResponseFacts = Pick<Row<'llm_responses'>, (typeof responseFacts)[number]>

function callFrom(request: RequestFacts, reply: ResponseFacts | undefined, attempt: number): Call {
  return {
    id: request.id,
    userId: request.user_id,
    apiKeyId: request.api_key_id ?? undefined,
    conversationId: reply?.conversation_id ?? request.conversation_id,
    provider: request.provider,
    requestModel: request.request_model,
    operation: request.operation,
    documentType: request.document_type ?? undefined,
    documentVersion: request.document_version ?? undefined,
    groupId: request.group_id ?? request.id,
    routeMode: request.route_mode ?? undefined,
    attempt,
    compression: request.compression ?? undefined,
    status: reply?.status ?? 'pending',
    httpStatus: reply?.http_status ?? undefined,
    contentType: reply?.content_type ?? undefined,
    responseModel: reply?.response_model ?? undefined,
    providerResponseId: reply?.provider_response_id ?? undefined,
    finishReasons: reply?.finish_reasons == null ? [] : (JSON.parse(reply.finish_reasons) as string[]),
    inputTokens: reply?.input_tokens ?? undefined,
    outputTokens: reply?.output_tokens ?? undefined,
    cacheReadInputTokens: reply?.cache_read_input_tokens ?? undefined,
    reasoningOutputTokens: reply?.reasoning_output_tokens ?? undefined,
    cacheCreationInputTokens: reply?.cache_creation_input_tokens ?? undefined,
    usageSource: reply?.usage_source ?? undefined,
    costNanousd: reply?.cost_nanousd ?? undefined,
    cacheHit: reply?.cache_hit ?? undefined,
    savedInputTokens: reply?.saved_input_tokens ?? undefined,
    savedOutputTokens: reply?.saved_output_tokens ?? undefined,
    savedNanousd: reply?.saved_nanousd ?? undefined,
    latencyMs: reply?.latency_ms ?? undefined,
    timeToFirstChunkMs: reply?.time_to_first_chunk_ms ?? undefined,
    errorCode: reply?.error_code ?? undefined,
    errorMessage: reply?.error_message ?? undefined,
    createdAt: request.created_at,
    settledAt: reply?.created_at,
  }
}
