import type { Dimension, UsageReport } from '../analytics/report.ts'
import { isFields } from '../model/reply.ts'
import type { UsageSums } from './backend.ts'

/** What a day is told apart by. */
export const dayDimensions = [
  'model',
  'provider',
  'key',
  'document_type',
  'operation',
] as const satisfies Dimension[]

export type DayDimension = (typeof dayDimensions)[number]

/** What a user's calls of a day came to. */
export interface DayUsage {
  readonly total: UsageSums
  /** By what they are told apart by; '' is none. What cost most first. */
  readonly rows: readonly (UsageSums & { readonly name: string })[]
  /** False when there are more rows. */
  readonly isWhole: boolean
}

/** Rows at most: they are to be looked at. */
export const dayRows = 50

export function dayUsageOf({ total, rows, rowCount }: UsageReport, by: DayDimension): DayUsage {
  return {
    total: sumsOf(total),
    rows: rows.map(row => ({ name: row.group[by] ?? '', ...sumsOf(row) })),
    isWhole: rowCount <= rows.length,
  }
}

function sumsOf(sums: UsageSums): UsageSums {
  const { calls, errors, inputTokens, outputTokens, costNanousd, unpricedCalls } = sums
  return { calls, errors, inputTokens, outputTokens, costNanousd, unpricedCalls }
}

/** The same of what a gateway says (`GET /v1/usage`). */
export function dayUsageFrom(value: Readonly<Record<string, unknown>>, by: DayDimension): DayUsage {
  const rows = Array.isArray(value['data']) ? value['data'].filter(isFields) : []
  return {
    total: sumsFrom(isFields(value['total']) ? value['total'] : {}),
    rows: rows.map(row => ({ name: typeof row[by] === 'string' ? row[by] : '', ...sumsFrom(row) })),
    isWhole: value['has_more'] !== true,
  }
}

function sumsFrom(record: Readonly<Record<string, unknown>>): UsageSums {
  const count = (name: string): number => (typeof record[name] === 'number' ? record[name] : 0)
  return {
    calls: count('calls'),
    errors: count('errors'),
    inputTokens: count('input_tokens'),
    outputTokens: count('output_tokens'),
    costNanousd: count('cost_nanousd'),
    unpricedCalls: count('unpriced_calls'),
  }
}
