import type { Batch, StoredBatch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'

/** What one settled call adds to the sums of its day. */
export interface CallUsage {
  readonly userId: string
  /** The model that answered, or the one that was asked. */
  readonly model: string
  readonly status: string
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  /** Nano-US-dollars; undefined when unpriced. */
  readonly costNanousd: number | undefined
  /** Milliseconds since 1970, UTC. */
  readonly settledAt: number
}

const sums = ['calls', 'errors', 'input_tokens', 'output_tokens', 'cost_nanousd', 'unpriced_calls'] as const

/** Adds settled calls to the sums of their users, days and models. */
export function addUsage(batch: Batch, calls: readonly CallUsage[]): Promise<void> {
  return batch.insertOrAdd('usage_daily', ['user_id', 'day', 'model'], sums, sumUsage(calls))
}

/** Takes back what calls added that were given up as orphaned, and had not been lost. */
export function subtractOrphans(
  batch: Batch,
  orphans: readonly Pick<CallUsage, 'userId' | 'model' | 'settledAt'>[],
): Promise<void> {
  const added = sumUsage(
    orphans.map(orphan => ({
      ...orphan,
      status: 'orphaned',
      inputTokens: undefined,
      outputTokens: undefined,
      costNanousd: undefined,
    })),
  )
  const negative = added.map(row => ({
    ...row,
    calls: -row.calls,
    errors: -row.errors,
    unpriced_calls: -row.unpriced_calls,
  }))
  return batch.insertOrAdd('usage_daily', ['user_id', 'day', 'model'], sums, negative)
}

/** Calls whose cost is another than their days were told. Costs in nano-US-dollars, null for unknown. */
export interface CostCorrection extends Pick<CallUsage, 'userId' | 'model' | 'settledAt'> {
  readonly before: number | null
  readonly after: number | null
}

/** Puts right by how much calls count in the sums of their days. */
export function correctUsage(batch: StoredBatch, corrections: readonly CostCorrection[]): Promise<void> {
  const sumsOf = (side: 'before' | 'after') =>
    sumUsage(
      corrections.map(correction => ({
        ...correction,
        status: 'completed',
        inputTokens: undefined,
        outputTokens: undefined,
        costNanousd: correction[side] ?? undefined,
      })),
    )
  const before = sumsOf('before')
  const differences = sumsOf('after').map((row, index) => ({
    ...row,
    calls: 0,
    cost_nanousd: row.cost_nanousd - (before[index]?.cost_nanousd ?? 0),
    unpriced_calls: row.unpriced_calls - (before[index]?.unpriced_calls ?? 0),
  }))
  return batch.insertOrAdd('usage_daily', ['user_id', 'day', 'model'], sums, differences)
}

/** The sums of a user's day and model before anything is counted. */
export function emptyDay(key: Pick<Row<'usage_daily'>, 'user_id' | 'day' | 'model'>): Row<'usage_daily'> {
  return {
    ...key,
    calls: 0,
    errors: 0,
    input_tokens: 0,
    output_tokens: 0,
    cost_nanousd: 0,
    unpriced_calls: 0,
  }
}

/** One row per user, day and model, in key order: every writer locks them in the same order and none deadlocks. */
function sumUsage(calls: readonly CallUsage[]): Row<'usage_daily'>[] {
  const rows = new Map<string, Row<'usage_daily'>>()
  for (const { userId, model, status, inputTokens, outputTokens, costNanousd, settledAt } of calls) {
    const day = dayOf(settledAt)
    const key = `${day} ${userId.length} ${userId} ${model}`
    const row = rows.get(key) ?? emptyDay({ user_id: userId, day, model })
    row.calls += 1
    row.errors += status === 'failed' || status === 'orphaned' ? 1 : 0
    row.input_tokens += inputTokens ?? 0
    row.output_tokens += outputTokens ?? 0
    row.cost_nanousd += costNanousd ?? 0
    row.unpriced_calls += costNanousd === undefined ? 1 : 0
    rows.set(key, row)
  }
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

const millisecondsPerDay = 86_400_000
let lastDay = { number: 0, text: '1970-01-01' }

/** The UTC day of a time, as YYYY-MM-DD. Calls that end one after another nearly always end on the same day. */
function dayOf(time: number): string {
  const number = Math.floor(time / millisecondsPerDay)
  if (number !== lastDay.number) lastDay = { number, text: new Date(time).toISOString().slice(0, 10) }
  return lastDay.text
}
