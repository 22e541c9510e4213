import type { ForeignDatabase, ForeignRow } from '../../db/foreign.ts'
import { documentIdOf } from '../../ids.ts'
import { maybeJson } from '../../model/maybe-json.ts'
import type { LineOf } from '../export-format.ts'
import { callEvent, callLine, responseLine } from './call.ts'
import { conversationLine, conversationRecords } from './conversation.ts'
import type { Origin, SourceItem, TableReader } from './source.ts'
import { rowsOf } from './tables.ts'
import { columnText, countOf, millisecondsOf, wordOf } from './values.ts'

const known = {
  audit_logs: [
    'id',
    'user_id',
    'document_type',
    'document_version',
    'input_data',
    'generated_text',
    'model_used',
    'tokens_used',
    'generation_time_ms',
    'created_at',
    'status',
    'error_message',
  ],
}

/** An audit log of generated documents: each row is a request for one and what came of it, a call and a document here. */
export const bitesoft: TableReader = {
  format: 'bitesoft',
  required: { audit_logs: ['id', 'user_id', 'document_type', 'input_data', 'generated_text'] },
  known,
  async *read(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
    const order = [{ value: 'created_at' }, { bytes: 'id' }]
    for await (const row of rowsOf(database, 'audit_logs', known.audit_logs, order))
      yield await document(origin, row)
  },
}

async function document(origin: Origin, row: ForeignRow): Promise<SourceItem> {
  const table = 'audit_logs'
  const { id, user_id: userId, input_data: input, generated_text: text } = row
  const createdAt = millisecondsOf(row['created_at'])
  const why = whyNot(row, createdAt)
  if (why !== undefined || typeof id !== 'string' || typeof userId !== 'string' || createdAt === undefined)
    return { table, records: [], skipped: why ?? 'it has no id, or no user' }
  const isFailed = row['status'] === 'error'
  // A failure has no document; the source writes an empty one.
  const hasDocument = typeof text === 'string' && !(isFailed && ['{}', ''].includes(text.trim()))
  const documentType = columnText(row['document_type'])
  const conversationId = origin.id('conversation', createdAt, id, userId)
  const callId = origin.id('call', createdAt, id, userId)
  const model = wordOf(row['model_used'])
  const type = wordOf(row['document_type']) ?? 'unknown'
  const version = wordOf(row['document_version']) ?? '1.0'
  const took = countOf(row['generation_time_ms'])
  const errorMessage = origin.text(row['error_message'], 'audit_logs.error_message')
  const facts = {
    document_type: documentType,
    document_version: columnText(row['document_version']),
    total_tokens: countOf(row['tokens_used']),
  }
  const line = conversationLine({
    id: conversationId,
    user_id: userId,
    title: documentType,
    metadata: origin.metadata(id, facts),
    created_at: createdAt,
  })
  const spoken = [
    ...(typeof input === 'string' ? [{ role: 'user', content: input }] : []),
    ...(hasDocument ? [{ role: 'assistant', content: text }] : []),
  ]
  const messages = spoken.map(({ role, content }) => ({
    table,
    originalId: `${id} ${role}`,
    role,
    json: JSON.stringify({ role, content }),
    createdAt,
    model: role === 'assistant' ? model : null,
    callId,
  }))
  const replySeq = hasDocument ? spoken.length - 1 : null
  const call = callLine({
    id: callId,
    user_id: userId,
    conversation_id: conversationId,
    up_to_seq: 0,
    provider: 'bitesoft',
    request_model: model ?? 'unknown',
    operation: 'document',
    document_type: type,
    document_version: version,
    created_at: createdAt,
    response: responseLine({
      status: isFailed ? 'failed' : 'completed',
      conversation_id: hasDocument ? conversationId : null,
      seq: replySeq,
      response_model: model,
      latency_ms: took,
      error_code: isFailed ? 'external' : null,
      error_message: errorMessage,
      created_at: createdAt,
    }),
  })
  if (facts.total_tokens !== null)
    origin.note('audit_logs.tokens_used: is a total, not split into input and output; kept in the metadata')
  const said = await conversationRecords(origin, line, messages)
  const made: LineOf<'document'> = {
    type: 'document',
    user_id: userId,
    id: documentIdOf(callId),
    call_id: callId,
    document_type: type,
    document_version: version,
    root_id: documentIdOf(callId),
    previous_id: null,
    number: 1,
    status: isFailed ? 'failed' : 'completed',
    api_key_id: null,
    input: typeof input === 'string' ? asJson(input) : null,
    output: hasDocument ? asJson(text) : null,
    error_code: isFailed ? 'external' : null,
    error_message: errorMessage,
    total_tokens: facts.total_tokens,
    created_at: createdAt,
    ended_at: createdAt + (took ?? 0),
    deleted_at: null,
  }
  const event = callEvent(origin, call, id, facts, 'document.generate')
  return { table, records: [...said, call, made, event] }
}

/** The text as it is when it is JSON, which the source does not make sure; else as a JSON string. */
function asJson(text: string): string {
  return maybeJson(text) === undefined ? JSON.stringify(text) : text
}

function whyNot(row: ForeignRow, createdAt: number | undefined): string | undefined {
  if (createdAt === undefined) return 'it has no time'
  const { input_data: input, generated_text: text } = row
  if (input instanceof Uint8Array || text instanceof Uint8Array) return 'its content is not valid UTF-8'
  if (input === null && text === null) return 'it has no content'
  return undefined
}
