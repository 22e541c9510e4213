import type { Row } from '../db/tables.ts'
import type { PlacedCall } from '../model/call.ts'
import type { Settlement } from './operations.ts'

interface UsedCall {
  readonly call: PlacedCall
  readonly settlement: Settlement
}

export const usageSums = [
  'calls',
  'errors',
  'input_tokens',
  'output_tokens',
  'cost_nanousd',
  'unpriced_calls',
] as const

/** One row per user, day and model, in key order: every writer locks them in the same order and none deadlocks. */
export function sumUsage(wave: readonly UsedCall[]): Row<'usage_daily'>[] {
  const sums = new Map<string, Row<'usage_daily'>>()
  for (const { call, settlement: s } of wave) {
    const day = dayOf(s.createdAt)
    const model = s.responseModel ?? call.requestModel
    const key = `${day} ${call.userId.length} ${call.userId} ${model}`
    const row = sums.get(key) ?? {
      user_id: call.userId,
      day,
      model,
      calls: 0,
      errors: 0,
      input_tokens: 0,
      output_tokens: 0,
      cost_nanousd: 0,
      unpriced_calls: 0,
    }
    row.calls += 1
    row.errors += s.status === 'failed' || s.status === 'orphaned' ? 1 : 0
    row.input_tokens += s.usage.inputTokens ?? 0
    row.output_tokens += s.usage.outputTokens ?? 0
    row.cost_nanousd += s.costNanousd ?? 0
    row.unpriced_calls += s.costNanousd === undefined ? 1 : 0
    sums.set(key, row)
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

const millisecondsPerDay = 86_400_000
let lastDay = { number: 0, text: '1970-01-01' }

/** The UTC day of a time, as YYYY-MM-DD. Calls that end one after another nearly always end on the same day. */
export function dayOf(time: number): string {
  const number = Math.floor(time / millisecondsPerDay)
  if (number !== lastDay.number) lastDay = { number, text: new Date(time).toISOString().slice(0, 10) }
  return lastDay.text
}
