import type { SettledFacts } from '../model/call-record.ts'
import type { Settlement } from './operations.ts'

/** What is stored of how a call ended that nothing changes any more. */
export function settlementFacts(s: Settlement): SettledFacts {
  return {
    status: s.status,
    http_status: s.httpStatus ?? null,
    response_model: s.responseModel ?? null,
    finish_reasons: s.finishReasons.length === 0 ? null : JSON.stringify(s.finishReasons),
    input_tokens: s.usage.inputTokens ?? null,
    output_tokens: s.usage.outputTokens ?? null,
    cache_read_input_tokens: s.usage.cacheReadInputTokens ?? null,
    reasoning_output_tokens: s.usage.reasoningOutputTokens ?? null,
  }
}
