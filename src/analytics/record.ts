import type { ConversationUsage } from './conversations.ts'
import type { Durations, UsageGroup, UsageReport, UsageTotals } from './report.ts'

/** Reports as they are written down: JSON over HTTP and on the command line. */

export function reportRecord({ since, until, by, rows, total }: UsageReport) {
  return { since, until, by, rows: rows.map(groupRecord), total: totalsRecord(total) }
}

function groupRecord({ group, ...totals }: UsageGroup) {
  return { ...group, ...totalsRecord(totals) }
}

function totalsRecord(totals: UsageTotals) {
  return {
    calls: totals.calls,
    errors: totals.errors,
    error_rate: totals.errorRate,
    input_tokens: totals.inputTokens,
    output_tokens: totals.outputTokens,
    cache_read_input_tokens: totals.cacheReadInputTokens,
    reasoning_output_tokens: totals.reasoningOutputTokens,
    cost_nanousd: totals.costNanousd,
    unpriced_calls: totals.unpricedCalls,
    latency_ms: durationsRecord(totals.latency),
    time_to_first_chunk_ms: durationsRecord(totals.timeToFirstChunk),
  }
}

function durationsRecord({ average, p50, p95, p99 }: Durations) {
  return { average: average ?? null, p50: p50 ?? null, p95: p95 ?? null, p99: p99 ?? null }
}

export function conversationRecord(usage: ConversationUsage) {
  return {
    conversation: usage.conversationId,
    user: usage.userId,
    calls: usage.calls,
    tokens: usage.tokens,
    cost_nanousd: usage.costNanousd,
    unpriced_calls: usage.unpricedCalls,
  }
}
