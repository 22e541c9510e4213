import { isFields, type Usage } from '../reply.ts'
import type { Item } from './input-items.ts'
import type { ResponseRequest } from './request.ts'

type Fields = Readonly<Record<string, unknown>>

export type ResponseStatus = 'completed' | 'incomplete' | 'failed' | 'cancelled' | 'in_progress'

/** OpenAI's `Response` object, as far as Stele looks into it. */
export interface ResponseObject extends Fields {
  readonly id: string
  readonly object: 'response'
  readonly status: ResponseStatus
  /** Seconds since 1970. */
  readonly created_at: number
  readonly model: string
  readonly output: readonly Item[]
}

/** The response to a request before anything has come of it. @param createdAt milliseconds since 1970 */
export function responseInProgress(
  id: string,
  { fields, conversationId, previousResponseId, background, store }: ResponseRequest,
  createdAt: number,
): ResponseObject {
  const { text, reasoning } = fields
  return {
    id,
    object: 'response',
    created_at: Math.floor(createdAt / 1000),
    status: 'in_progress',
    background,
    completed_at: null,
    conversation: conversationId === undefined ? null : { id: conversationId },
    error: null,
    incomplete_details: null,
    instructions: fields.instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    max_tool_calls: fields.max_tool_calls ?? null,
    model: fields.model,
    output: [],
    parallel_tool_calls: fields.parallel_tool_calls ?? true,
    previous_response_id: previousResponseId ?? null,
    prompt_cache_key: fields.prompt_cache_key ?? null,
    reasoning: { effort: reasoning?.effort ?? null, summary: reasoning?.summary ?? null },
    safety_identifier: fields.safety_identifier ?? null,
    service_tier: fields.service_tier ?? 'auto',
    store,
    temperature: fields.temperature ?? null,
    text: {
      format: text?.format ?? { type: 'text' },
      ...(text?.verbosity == null ? {} : { verbosity: text.verbosity }),
    },
    tool_choice: fields.tool_choice ?? 'auto',
    tools: (fields.tools ?? []).map(listedTool),
    top_logprobs: fields.top_logprobs ?? 0,
    top_p: fields.top_p ?? null,
    // Nothing is ever cut off the beginning of a conversation, whatever was allowed.
    truncation: 'disabled',
    ...(fields.user == null ? {} : { user: fields.user }),
    metadata: fields.metadata ?? {},
  }
}

/** Functions say of themselves what their request may leave out. */
function listedTool(tool: Fields): Fields {
  if (tool['type'] !== 'function') return tool
  return { ...tool, parameters: tool['parameters'] ?? null, strict: tool['strict'] ?? null }
}

/** A response that has ended as it began, as far as its end tells. */
export function unended({ usage: _, ...response }: ResponseObject): ResponseObject {
  return {
    ...response,
    status: 'in_progress',
    completed_at: null,
    error: null,
    incomplete_details: null,
    output: [],
  } as unknown as ResponseObject
}

/** Why a response is no `completed` one. */
export interface Shortfall {
  readonly status: Exclude<ResponseStatus, 'completed' | 'in_progress'>
  /** OpenAI's code and words of what went wrong. */
  readonly error?: { readonly code: string; readonly message: string } | undefined
  readonly reason?: 'max_output_tokens' | 'content_filter' | undefined
}

/** OpenAI's codes of what may go wrong with a response; it knows no others. */
const errorCodes: ReadonlySet<unknown> = new Set([
  'server_error',
  'rate_limit_exceeded',
  'invalid_prompt',
  'data_residency_mismatch',
  'bio_policy',
  'vector_store_timeout',
  'invalid_image',
  'invalid_image_format',
  'invalid_base64_image',
  'invalid_image_url',
  'image_too_large',
  'image_too_small',
  'image_parse_error',
  'image_content_policy_violation',
  'invalid_image_mode',
  'image_file_too_large',
  'unsupported_image_media_type',
  'empty_image_file',
  'failed_to_download_image',
  'image_file_not_found',
])

/**
 * What a provider said of its failure, in OpenAI's terms: in the body of an error, in an event of a stream, or in a response
 * that failed. A code that OpenAI does not know is left out.
 */
export function saidOfFailure(said: unknown): { readonly code?: string; readonly message?: string } {
  if (!isFields(said)) return {}
  const { response, error, type } = said
  if (isFields(response)) return saidOfFailure(response)
  if (typeof error === 'string') return { message: error }
  const told = isFields(error) ? error : type === 'error' ? said : {}
  const { code, message } = told
  return {
    ...(typeof code === 'string' && errorCodes.has(code) ? { code } : {}),
    ...(typeof message === 'string' && message !== '' ? { message } : {}),
  }
}

/** What has come of a response when it ended. */
export interface ResponseResult {
  readonly output: readonly Item[]
  readonly usage: Usage
  readonly responseModel?: string | undefined
  readonly serviceTier?: string | undefined
  /** Undefined when it is complete. */
  readonly shortfall?: Shortfall | undefined
  /** Milliseconds since 1970. */
  readonly endedAt: number
}

/** A response that has ended. */
export function endedResponse(begun: ResponseObject, result: ResponseResult): ResponseObject {
  const { output, usage, shortfall, responseModel, serviceTier } = result
  const { status = 'completed', error, reason } = shortfall ?? {}
  return {
    ...begun,
    status,
    completed_at: shortfall === undefined ? Math.floor(result.endedAt / 1000) : null,
    error: error ?? null,
    incomplete_details: reason === undefined ? null : { reason },
    model: responseModel ?? begun.model,
    output,
    ...(serviceTier === undefined ? {} : { service_tier: serviceTier }),
    ...usageOf(usage),
  }
}

/** No usage at all where the provider told none: a zero would be a lie. */
function usageOf({ inputTokens, outputTokens, cacheReadInputTokens, reasoningOutputTokens }: Usage): Fields {
  if (inputTokens === undefined || outputTokens === undefined) return {}
  return {
    usage: {
      input_tokens: inputTokens,
      input_tokens_details: { cached_tokens: cacheReadInputTokens ?? 0, cache_write_tokens: 0 },
      output_tokens: outputTokens,
      output_tokens_details: { reasoning_tokens: reasoningOutputTokens ?? 0 },
      total_tokens: inputTokens + outputTokens,
    },
  }
}

/** How a reply that ended for this reason falls short; undefined when it does not. */
export function shortfallOf(finishReason: string | undefined): Shortfall | undefined {
  if (finishReason === 'length') return { status: 'incomplete', reason: 'max_output_tokens' }
  if (finishReason === 'content_filter') return { status: 'incomplete', reason: 'content_filter' }
  return undefined
}
