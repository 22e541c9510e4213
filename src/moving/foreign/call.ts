import type { LineOf } from '../export-format.ts'
import type { Origin } from './source.ts'

type CallLine = LineOf<'call'>
type ResponseLine = NonNullable<CallLine['response']>

/** A call of a source, which kept neither its request nor its reply as they were sent. */
export function callLine(
  fields: Pick<
    CallLine,
    | 'id'
    | 'user_id'
    | 'conversation_id'
    | 'up_to_seq'
    | 'provider'
    | 'request_model'
    | 'created_at'
    | 'response'
  > &
    Partial<CallLine>,
): CallLine {
  return {
    type: 'call',
    api_key_id: null,
    operation: 'chat',
    group_id: null,
    route_mode: null,
    document_type: null,
    document_version: null,
    request: null,
    compression: null,
    sent: null,
    ...fields,
  }
}

export function responseLine(
  fields: Partial<ResponseLine> & Pick<ResponseLine, 'status' | 'created_at'>,
): ResponseLine {
  return {
    http_status: null,
    content_type: null,
    body: null,
    conversation_id: null,
    seq: null,
    response_model: null,
    provider_response_id: null,
    finish_reasons: [],
    input_tokens: null,
    output_tokens: null,
    cache_read_input_tokens: null,
    reasoning_output_tokens: null,
    cache_creation_input_tokens: null,
    usage_details: null,
    usage_source: null,
    cost_nanousd: null,
    latency_ms: null,
    time_to_first_chunk_ms: null,
    error_code: null,
    error_message: null,
    cache_hit: null,
    saved_input_tokens: null,
    saved_output_tokens: null,
    saved_nanousd: null,
    ...fields,
  }
}

/** Says of a call where it came from, and what is known of it that a call has no place for. */
export function callEvent(
  origin: Origin,
  call: CallLine,
  originalId: string,
  facts: Readonly<Record<string, unknown>>,
  action = 'call.imported',
): LineOf<'audit_event'> {
  return {
    type: 'audit_event',
    id: origin.id('audit', call.created_at, call.id),
    user_id: call.user_id,
    actor: call.user_id,
    action,
    category: 'access',
    severity: call.response?.status === 'failed' ? 'warning' : 'info',
    target: call.id,
    outcome: call.response?.status ?? 'pending',
    details: origin.metadata(originalId, facts),
    created_at: call.created_at,
  }
}
