import type { Row } from '../db/tables.ts'
import { addPacked, note, packSketch, type Sketch } from './sketch.ts'

/** What is summed up of calls, by the columns that hold it. */
export const sumColumns = [
  'calls',
  'errors',
  'input_tokens',
  'output_tokens',
  'cache_read_input_tokens',
  'reasoning_output_tokens',
  'cost_nanousd',
  'unpriced_calls',
  'timed_calls',
  'latency_ms',
  'first_chunk_calls',
  'time_to_first_chunk_ms',
] as const

export type Sums = Record<(typeof sumColumns)[number], number>

/** Sums of calls, and how long they took. */
export interface Measures extends Sums {
  readonly latencies: Sketch
  readonly first_chunks: Sketch
}

/** A settled call, as far as it is counted. */
export interface CallFacts {
  readonly id: string
  readonly user_id: string
  /** The day on which it was settled, as YYYY-MM-DD in UTC. */
  readonly day: string
  /** The model that answered, or the one that was asked. */
  readonly model: string
  readonly provider: string
  readonly operation: string
  /** '' of a call that generated no document. */
  readonly document_type: string
  /** '' of a call that was made with none. */
  readonly api_key_id: string
  /** '' of a call that belongs to none. */
  readonly conversation_id: string
  readonly status: string
  readonly input_tokens: number | null
  readonly output_tokens: number | null
  readonly cache_read_input_tokens: number | null
  readonly reasoning_output_tokens: number | null
  readonly cost_nanousd: number | null
  readonly latency_ms: number | null
  readonly time_to_first_chunk_ms: number | null
}

export function noMeasures(): Measures {
  return {
    calls: 0,
    errors: 0,
    input_tokens: 0,
    output_tokens: 0,
    cache_read_input_tokens: 0,
    reasoning_output_tokens: 0,
    cost_nanousd: 0,
    unpriced_calls: 0,
    timed_calls: 0,
    latency_ms: 0,
    first_chunk_calls: 0,
    time_to_first_chunk_ms: 0,
    latencies: new Map(),
    first_chunks: new Map(),
  }
}

/** Counts a call, or with `times` -1 takes it back. */
export function addCall(to: Measures, call: CallFacts, times = 1): void {
  to.calls += times
  if (call.status === 'failed' || call.status === 'orphaned') to.errors += times
  to.input_tokens += (call.input_tokens ?? 0) * times
  to.output_tokens += (call.output_tokens ?? 0) * times
  to.cache_read_input_tokens += (call.cache_read_input_tokens ?? 0) * times
  to.reasoning_output_tokens += (call.reasoning_output_tokens ?? 0) * times
  to.cost_nanousd += (call.cost_nanousd ?? 0) * times
  if (call.cost_nanousd === null) to.unpriced_calls += times
  if (call.latency_ms !== null) {
    to.timed_calls += times
    to.latency_ms += call.latency_ms * times
    note(to.latencies, call.latency_ms, times)
  }
  if (call.time_to_first_chunk_ms !== null) {
    to.first_chunk_calls += times
    to.time_to_first_chunk_ms += call.time_to_first_chunk_ms * times
    note(to.first_chunks, call.time_to_first_chunk_ms, times)
  }
}

export function addSums(to: Sums, from: Sums, times = 1): void {
  for (const column of sumColumns) to[column] += from[column] * times
}

type StoredMeasures = Pick<Row<'usage_rollups'>, keyof Sums | 'latencies' | 'first_chunks'>

export function addStored(to: Measures, row: StoredMeasures, times = 1): void {
  addSums(to, row, times)
  addPacked(to.latencies, row.latencies, times)
  addPacked(to.first_chunks, row.first_chunks, times)
}

export function stored({ latencies, first_chunks, ...sums }: Measures): StoredMeasures {
  return { ...sums, latencies: packSketch(latencies), first_chunks: packSketch(first_chunks) }
}

const millisecondsPerDay = 86_400_000

/** The UTC day of a time in milliseconds since 1970, as YYYY-MM-DD. */
export function dayAt(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}

/** When a day begins, in milliseconds since 1970. */
export function startOfDay(day: string): number {
  return Date.parse(`${day}T00:00:00Z`)
}

/** When the day after begins. */
export function endOfDay(day: string): number {
  return startOfDay(day) + millisecondsPerDay
}
