import type { Batch, Kept } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { encodeContent } from '../privacy/content.ts'
import { accountColumns } from '../store/account-columns.ts'
import { type EventRow, eventRow } from '../store/audit-events.ts'
import { addUsage, type CallUsage } from '../store/usage.ts'
import { endDocuments } from './apply-documents.ts'
import { endResponses } from './apply-responses.ts'
import { addListed } from './listed.ts'
import type { OperationResult, Settlement } from './operations.ts'
import { type Placing, placeReplies } from './place-replies.ts'
import { type Orphaned, supersede } from './supersede.ts'
import { splitIntoWaves } from './waves.ts'

export interface Ending extends Placing {
  readonly settlement: Settlement
  readonly isAcknowledged: true | undefined
}

interface Options {
  readonly hashes: ConversationHashes
  readonly careful: boolean
}

/**
 * Writes how calls ended: response, reply message, usage and audit event. Without `careful` it assumes that no call was
 * settled before and that each reply's place is free; where that fails the batch is rolled back and each call is
 * applied again on its own, carefully.
 */
export async function applySettles(
  batch: Batch,
  endings: readonly Ending[],
  options: Options,
): Promise<Map<string, OperationResult>> {
  const settled = new Map<string, OperationResult>()
  for (const wave of splitIntoWaves(endings, placeKey)) {
    const { fresh, orphaned } = options.careful
      ? await withoutRepeats(batch, wave, settled)
      : { fresh: wave, orphaned: [] }
    await supersede(batch, orphaned)
    if (fresh.length > 0) await applyWave(batch, fresh, options, settled)
  }
  return settled
}

/** Calls that belong to no conversation do not stand in each other's way. */
function placeKey({ call }: Ending): string {
  return call.conversationId === '' ? call.callId : `${call.conversationId} ${call.userId}`
}

async function applyWave(
  batch: Batch,
  wave: readonly Ending[],
  { hashes, careful }: Options,
  settled: Map<string, OperationResult>,
): Promise<void> {
  const replies = wave.filter(({ settlement }) => settlement.message !== undefined)
  const { forks, messages, placeOf } = await placeReplies(batch, replies, { hashes, careful })

  await Promise.all([
    batch.insert('conversations', forks),
    batch.insert(
      'llm_responses',
      wave.map(ending => responseRow(ending, placeOf(ending))),
    ),
    batch.insert('messages', messages),
    endResponses(batch, wave, placeOf),
    endDocuments(batch, wave),
    addUsage(batch, wave.map(usageOf)),
    batch.insert('audit_events', wave.flatMap(eventsOf)),
    addListed(batch, wave),
  ])
  for (const ending of wave) {
    const { callId } = ending.call
    settled.set(callId, { conversationId: placeOf(ending), isRepeat: false })
  }
}

function responseRow({ call, settlement: s }: Ending, conversationId: string): Row<'llm_responses'> & Kept {
  const hasMessage = s.message !== undefined
  return {
    user_id: call.userId,
    request_id: call.callId,
    status: s.status,
    http_status: s.httpStatus ?? null,
    content_type: s.contentType ?? null,
    body: typeof s.body === 'string' ? encodeContent(s.body) : (s.body ?? null),
    content_at: s.contentAt ?? null,
    conversation_id: hasMessage ? conversationId : null,
    seq: hasMessage ? call.upToSeq + 1 : null,
    response_model: s.responseModel ?? null,
    provider_response_id: s.providerResponseId ?? null,
    finish_reasons: s.finishReasons.length === 0 ? null : JSON.stringify(s.finishReasons),
    input_tokens: s.usage.inputTokens ?? null,
    output_tokens: s.usage.outputTokens ?? null,
    cache_read_input_tokens: s.usage.cacheReadInputTokens ?? null,
    reasoning_output_tokens: s.usage.reasoningOutputTokens ?? null,
    ...accountColumns(s),
    cost_nanousd: s.costNanousd ?? null,
    latency_ms: s.latencyMs ?? null,
    time_to_first_chunk_ms: s.timeToFirstChunkMs ?? null,
    error_code: s.errorCode ?? null,
    error_message: s.errorMessage ?? null,
    created_at: s.createdAt,
    cache_hit: s.saved?.hit ?? null,
    saved_input_tokens: s.saved?.inputTokens ?? null,
    saved_output_tokens: s.saved?.outputTokens ?? null,
    saved_nanousd: s.saved?.nanousd ?? null,
    writtenWith: call.apiKeyId,
  }
}

function usageOf({ call, settlement: s }: Ending): CallUsage {
  return {
    userId: call.userId,
    model: s.responseModel ?? call.requestModel,
    status: s.status,
    inputTokens: s.usage.inputTokens,
    outputTokens: s.usage.outputTokens,
    costNanousd: s.costNanousd,
    settledAt: s.createdAt,
  }
}

function eventsOf({ call, settlement: s }: Ending): EventRow[] {
  const isGood = s.status === 'completed' || s.status === 'cached'
  const { userId, callId: target, apiKeyId: by = 'library' } = call
  const severity = isGood ? 'info' : 'warning'
  const settled = eventRow(
    { userId, by, action: 'call.settled', target, outcome: s.status, severity },
    s.createdAt,
  )
  if (s.masked === undefined) return [settled]
  const details = { ...s.masked }
  return [eventRow({ userId, by, action: 'masking.applied', target, details }, s.createdAt), settled]
}

async function withoutRepeats(
  batch: Batch,
  wave: readonly Ending[],
  settled: Map<string, OperationResult>,
): Promise<{ fresh: Ending[]; orphaned: Orphaned[] }> {
  const keys = wave.map(({ call }) => ({ user_id: call.userId, request_id: call.callId }))
  const rows = await batch.find('llm_responses', ['user_id', 'request_id'], keys, [
    'request_id',
    'conversation_id',
    'status',
    'created_at',
  ])
  const known = new Map(rows.map(row => [row.request_id, row]))
  const orphaned: Orphaned[] = []
  const fresh = wave.filter(({ call, settlement, isAcknowledged }) => {
    const row = known.get(call.callId)
    if (row === undefined) return true
    if (row.status === 'orphaned' && settlement.status !== 'orphaned') {
      // Another process took this one for dead (it stood still too long). The reply is not on record and must not end
      // well, unless it has already.
      if (isAcknowledged !== true) throw new SteleError('call_orphaned', { call: call.callId })
      orphaned.push({ call, orphanedAt: row.created_at })
      return true
    }
    const conversationId = row.conversation_id ?? call.conversationId
    const isOwn = row.status === settlement.status && row.created_at === settlement.createdAt
    settled.set(call.callId, { conversationId, isRepeat: true, isOwn })
    return false
  })
  return { fresh, orphaned }
}
