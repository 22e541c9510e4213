import type { ForeignRow } from '../../db/foreign.ts'
import type { LineOf, RecordLine } from '../export-format.ts'
import { callEvent, callLine, responseLine } from './call.ts'
import { type ConversationLine, conversationLine, conversationRecords } from './conversation.ts'
import type { UsageCheck } from './cortexai-usage.ts'
import type { Origin, SourceItem } from './source.ts'
import { columnText, countOf, isTrue, microsecondsOf, millisecondsOf, nanousdOf, wordOf } from './values.ts'

/** A request with its response, before it has its place in a conversation. */
export interface CallDraft {
  readonly id: string
  readonly originalId: string
  readonly userId: string
  /** Microseconds since 1970: a turn is often over within one millisecond. */
  readonly micros: number
  readonly row: ForeignRow
  readonly hasResponse: boolean
  /** What was answered. */
  readonly text: string | undefined
  readonly promptText: string | undefined
  /** The last message before the answer; -1 when there is none. */
  upToSeq: number
  /** The place of the answer, if a message of the conversation is it. */
  reply: { readonly conversationId: string; readonly seq: number } | undefined
}

const requestTables = (hasResponse: boolean): Pick<SourceItem, 'table' | 'also'> => ({
  table: 'llm_requests',
  also: hasResponse ? ['llm_responses'] : [],
})

/** Calls of rows that join requests with their responses; what is no call comes as the reason why. */
export async function* callDrafts(
  origin: Origin,
  rows: AsyncIterable<ForeignRow>,
  usage: UsageCheck,
): AsyncGenerator<CallDraft | SourceItem> {
  let last: string | undefined
  for await (const row of rows) {
    const { id, user_id: userId } = row
    const hasResponse = typeof row['llm_responses.llm_request_id'] === 'string'
    if (typeof id === 'string' && id === last) {
      yield { table: 'llm_responses', records: [], skipped: 'its request has another response' }
      continue
    }
    const micros = microsecondsOf(row['created_at'] ?? row['llm_responses.created_at'])
    if (typeof id !== 'string' || typeof userId !== 'string' || micros === undefined) {
      yield { ...requestTables(hasResponse), records: [], skipped: 'it has no id, no user or no time' }
      continue
    }
    last = id
    const text = row['llm_responses.text']
    const promptText = row['prompt_text']
    if (hasResponse) usage.add(userId, Math.floor(micros / 1000), tokensOf(row), costOf(row))
    yield {
      id: origin.id('call', Math.floor(micros / 1000), id, userId),
      originalId: id,
      userId,
      micros,
      row,
      hasResponse,
      text: typeof text === 'string' && text !== '' ? text : undefined,
      promptText: typeof promptText === 'string' && promptText !== '' ? promptText : undefined,
      upToSeq: -1,
      reply: undefined,
    }
  }
}

/** A call in its place. An answer that no message of the conversation is becomes a fork of it. */
export async function callItem(
  origin: Origin,
  draft: CallDraft,
  conversation: ConversationLine,
): Promise<SourceItem> {
  const tables = requestTables(draft.hasResponse)
  if (draft.userId !== conversation.user_id)
    return { ...tables, records: [], skipped: 'its session is of another user' }
  const fork =
    draft.text === undefined || draft.reply !== undefined ? [] : await forkOf(origin, draft, conversation)
  const [forked] = fork
  const reply =
    forked?.type === 'conversation' ? { conversationId: forked.id, seq: draft.upToSeq + 1 } : draft.reply
  const call = lineOf(origin, draft, conversation.id, reply)
  return { ...tables, records: [...fork, call, eventOf(origin, call, draft)] }
}

/** A call that names no session: a conversation of its own, with what was kept of it. */
export async function sessionlessCall(origin: Origin, draft: CallDraft): Promise<SourceItem> {
  const createdAt = Math.floor(draft.micros / 1000)
  const line = conversationLine({
    id: origin.id('conversation', createdAt, draft.originalId, draft.userId),
    user_id: draft.userId,
    metadata: origin.metadata(draft.originalId),
    created_at: createdAt,
  })
  const { promptText, text } = draft
  const spoken = [
    ...(promptText === undefined ? [] : [message(draft, 'user', promptText)]),
    ...(text === undefined ? [] : [message(draft, 'assistant', text)]),
  ]
  draft.upToSeq = promptText === undefined ? -1 : 0
  const reply = text === undefined ? undefined : { conversationId: line.id, seq: draft.upToSeq + 1 }
  const said = await conversationRecords(origin, line, spoken)
  const call = lineOf(origin, draft, line.id, reply)
  return { ...requestTables(draft.hasResponse), records: [...said, call, eventOf(origin, call, draft)] }
}

async function forkOf(
  origin: Origin,
  draft: CallDraft,
  { id, user_id, created_at }: ConversationLine,
): Promise<RecordLine[]> {
  const createdAt = Math.max(created_at, Math.floor(draft.micros / 1000))
  const line = conversationLine({
    id: origin.id('conversation', createdAt, 'answer', draft.originalId, user_id),
    user_id,
    metadata: origin.metadata(draft.originalId),
    created_at: createdAt,
    parent_id: id,
    parent_seq: draft.upToSeq,
  })
  return conversationRecords(origin, line, [message(draft, 'assistant', draft.text ?? '')])
}

function message({ id, originalId, row }: CallDraft, role: string, content: string) {
  return {
    table: '',
    originalId: `${originalId} ${role}`,
    role,
    json: JSON.stringify({ role, content }),
    createdAt: millisecondsOf(role === 'user' ? row['created_at'] : row['llm_responses.created_at']),
    model: role === 'user' ? null : wordOf(row['llm_responses.served_model'] ?? row['model']),
    callId: id,
  }
}

function lineOf(
  origin: Origin,
  { id, userId, micros, row, hasResponse, upToSeq }: CallDraft,
  conversationId: string,
  reply: CallDraft['reply'],
): LineOf<'call'> {
  const createdAt = Math.floor(micros / 1000)
  return callLine({
    id,
    user_id: userId,
    conversation_id: conversationId,
    up_to_seq: Math.max(0, upToSeq),
    provider: columnText(row['provider']) ?? 'unknown',
    request_model: columnText(row['model']) ?? 'unknown',
    created_at: createdAt,
    response: hasResponse
      ? replyLine(origin, row, createdAt, reply)
      : responseLine({
          status: 'orphaned',
          error_message: 'The source has no response to it.',
          created_at: createdAt,
        }),
  })
}

function replyLine(
  origin: Origin,
  row: ForeignRow,
  requestedAt: number,
  reply: CallDraft['reply'],
): NonNullable<LineOf<'call'>['response']> {
  const of = (column: string) => row[`llm_responses.${column}`]
  const isFailed = isError(row)
  const reason = columnText(of('finish_reason'))
  return responseLine({
    status: isFailed ? 'failed' : 'completed',
    conversation_id: reply?.conversationId ?? null,
    seq: reply?.seq ?? null,
    response_model: wordOf(of('served_model')) ?? wordOf(row['model']),
    finish_reasons: reason === null ? [] : [reason],
    input_tokens: countOf(of('prompt_tokens')),
    output_tokens: countOf(of('completion_tokens')),
    cache_read_input_tokens: countOf(of('cached_input_tokens')),
    reasoning_output_tokens: countOf(of('reasoning_tokens')),
    cost_nanousd: costOf(row),
    latency_ms: countOf(of('latency_ms')),
    error_code: origin.text(of('error_type') ?? null, 'llm_responses.error_type'),
    error_message: origin.text(of('error_message') ?? null, 'llm_responses.error_message'),
    created_at: millisecondsOf(of('created_at')) ?? requestedAt,
  })
}

export function isError(row: ForeignRow): boolean {
  const failures = [row['llm_responses.error_type'], row['llm_responses.error_message']]
  return failures.some(value => typeof value === 'string' && value !== '')
}

/** A source that says it did not know the price stores a zero. */
function costOf(row: ForeignRow): number | null {
  return isTrue(row['llm_responses.pricing_unknown']) ? null : nanousdOf(row['llm_responses.estimated_cost'])
}

function tokensOf(row: ForeignRow): number | null {
  const total = countOf(row['llm_responses.total_tokens'])
  if (total !== null) return total
  const [input, output] = [row['llm_responses.prompt_tokens'], row['llm_responses.completion_tokens']].map(
    countOf,
  )
  return (input ?? 0) + (output ?? 0)
}

function eventOf(origin: Origin, call: LineOf<'call'>, { originalId, row }: CallDraft): RecordLine {
  return callEvent(origin, call, originalId, {
    request_id: columnText(row['request_id']),
    request_group_id: columnText(row['request_group_id']),
    response_id: columnText(row['llm_responses.id']),
    route_mode: columnText(row['route_mode']),
    prompt_sha256: columnText(row['prompt_sha256']),
    api_key_id: columnText(row['api_key_id']),
    total_tokens: countOf(row['llm_responses.total_tokens']),
  })
}
