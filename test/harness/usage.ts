import { randomBytes } from 'node:crypto'
import { doUsageStep } from '../../src/analytics/do-step.ts'
import { settlingTime } from '../../src/analytics/late-calls.ts'
import type { UsageTotals } from '../../src/analytics/report.ts'
import { derivedId } from '../../src/ids.ts'
import type { Outcome } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import { rowsOf } from './rows.ts'

/** An id of a call as one has it that was made at `time`. */
export function callIdAt(time: number): string {
  return derivedId('call', time, randomBytes(10))
}

/** Has the summing not wait for the clocks of processes, which say what time it is only now and then. */
export async function letClocksRun({ database }: Pick<Stele, 'database'>): Promise<void> {
  await database.kysely
    .updateTable('instances')
    .set({ heartbeat_at: Date.now() + 3_600_000 })
    .execute()
}

/** The time at which the summing comes to the calls that are made now. Nothing may be under way that was made before. */
export function settled(): number {
  return Date.now() + settlingTime
}

/** Sums up what there is, as if it had settled long ago, in steps of `limit`. Returns how many steps that took. */
export async function rollUpAll({ database }: Pick<Stele, 'database'>, limit = 3): Promise<number> {
  for (let steps = 1; ; steps++) {
    const { isDone } = await doUsageStep(database, { kind: 'roll-up', limit, now: settled() })
    if (isDone) return steps
  }
}

/** A call as the tests recount it, straight from its rows. */
export interface Recounted {
  readonly user: string
  readonly day: string
  readonly model: string
  readonly provider: string
  readonly key: string
  readonly operation: string
  readonly document_type: string
  readonly conversation: string
  readonly failed: boolean
  readonly tokens: readonly [input: number, output: number, cached: number, reasoning: number]
  readonly cost: number | null
  readonly latency: number | null
  readonly firstChunk: number | null
}

export async function recount(stele: Pick<Stele, 'database'>): Promise<Recounted[]> {
  const responses = await rowsOf(stele, 'llm_responses')
  const requests = await rowsOf(stele, 'llm_requests')
  return responses.map(response => {
    const request = requests.find(
      ({ id, user_id }) => id === response.request_id && user_id === response.user_id,
    )
    if (request === undefined) throw new Error('a response without a request')
    return {
      user: response.user_id,
      day: new Date(response.created_at).toISOString().slice(0, 10),
      model: response.response_model ?? request.request_model,
      provider: request.provider,
      key: request.api_key_id ?? '',
      operation: request.operation,
      document_type: '',
      conversation: response.conversation_id ?? request.conversation_id,
      failed: response.status === 'failed' || response.status === 'orphaned',
      tokens: [
        response.input_tokens ?? 0,
        response.output_tokens ?? 0,
        response.cache_read_input_tokens ?? 0,
        response.reasoning_output_tokens ?? 0,
      ],
      cost: response.cost_nanousd,
      latency: response.latency_ms,
      firstChunk: response.time_to_first_chunk_ms,
    }
  })
}

/** What a report should say of these calls; durations exactly. */
export function totalsOf(calls: readonly Recounted[]): UsageTotals {
  const sum = (of: (call: Recounted) => number): number => calls.reduce((total, call) => total + of(call), 0)
  const errors = sum(call => (call.failed ? 1 : 0))
  return {
    calls: calls.length,
    errors,
    errorRate: calls.length === 0 ? 0 : errors / calls.length,
    inputTokens: sum(call => call.tokens[0]),
    outputTokens: sum(call => call.tokens[1]),
    cacheReadInputTokens: sum(call => call.tokens[2]),
    reasoningOutputTokens: sum(call => call.tokens[3]),
    costNanousd: sum(call => call.cost ?? 0),
    unpricedCalls: sum(call => (call.cost === null ? 1 : 0)),
    latency: durationsOf(calls.map(call => call.latency)),
    timeToFirstChunk: durationsOf(calls.map(call => call.firstChunk)),
  }
}

function durationsOf(values: readonly (number | null)[]): UsageTotals['latency'] {
  const known = values.filter(value => value !== null).sort((a, b) => a - b)
  const at = (share: number): number | undefined => known[Math.max(1, Math.ceil(share * known.length)) - 1]
  return {
    average: known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0) / known.length,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
  }
}

/** How a call ended that took this, in the terms of the recorder. */
export function outcomeOf(more: Partial<Outcome> & { readonly model?: string }): Outcome {
  const { model, ...outcome } = more
  return {
    status: 'completed',
    reply: {
      responseModel: model,
      finishReasons: ['stop'],
      usage: { inputTokens: 10, outputTokens: 5 },
      message: { content: 'said' },
    },
    ...outcome,
  }
}
