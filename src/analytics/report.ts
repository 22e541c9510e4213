import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import {
  addCall,
  addStored,
  addSums,
  type CallFacts,
  endOfDay,
  type Measures,
  noMeasures,
  type Sums,
  startOfDay,
  sumColumns,
} from './measures.ts'
import type { Level } from './rollups.ts'
import { percentiles } from './sketch.ts'
import { readTail } from './tail.ts'

/** What a report can sum up by, with the column that tells it. */
const dimensions = {
  day: 'day',
  user: 'user_id',
  model: 'model',
  provider: 'provider',
  key: 'api_key_id',
  document_type: 'document_type',
  operation: 'operation',
} as const

export type Dimension = keyof typeof dimensions

export const dimensionNames = Object.keys(dimensions) as readonly Dimension[]

/** Which calls: those settled on these days (YYYY-MM-DD, UTC, both included), with these values. */
export interface UsageFilter {
  readonly since: string
  readonly until: string
  /** Of each dimension but the day. '' of key and document type: calls with none. */
  readonly only: { readonly [D in Exclude<Dimension, 'day'>]?: string | undefined }
}

export interface ReportQuery extends UsageFilter {
  readonly by: readonly Dimension[]
  /** Rows at most. */
  readonly limit: number
}

/** Durations in milliseconds. The percentiles are at most 2 % away; undefined each where no call was timed. */
export interface Durations {
  readonly average: number | undefined
  readonly p50: number | undefined
  readonly p95: number | undefined
  readonly p99: number | undefined
}

/** What some calls came to. */
export interface UsageTotals {
  readonly calls: number
  /** Of these, those that failed or whose end nobody knows. */
  readonly errors: number
  /** From 0 to 1; 0 of no calls. */
  readonly errorRate: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadInputTokens: number
  readonly reasoningOutputTokens: number
  /** Nano-US-dollars of the calls whose price is known. */
  readonly costNanousd: number
  /** Calls whose price is not known, which the cost leaves out. */
  readonly unpricedCalls: number
  readonly latency: Durations
  readonly timeToFirstChunk: Durations
}

export interface UsageGroup extends UsageTotals {
  /** The value of each dimension that was asked by; '' of a key or a document type is none. */
  readonly group: { readonly [D in Dimension]?: string }
}

export interface UsageReport {
  readonly since: string
  readonly until: string
  readonly by: readonly Dimension[]
  /** The latest day first, and of one day what cost most, then what took most tokens, then most calls. */
  readonly rows: readonly UsageGroup[]
  /** Of all calls, those of rows that are left out too. */
  readonly total: UsageTotals
  /** How many rows there are without a limit. */
  readonly rowCount: number
}

interface Group {
  readonly key: readonly string[]
  readonly measures: Measures
}

/**
 * Sums up calls: from the rows that sum them up already, and for those that are not in these yet from the calls themselves. What
 * it says is exact at the moment of `db`, a snapshot.
 */
export async function reportOn(db: Kysely<Tables>, query: ReportQuery): Promise<UsageReport> {
  const groups = new Map<string, Group>()
  const total = noMeasures()
  const { by } = query
  const isLarge = levelOf(query) !== 'all' && !namesOne(query)
  await (isLarge ? addGrouped(db, query, groups, total) : addRows(db, query, groups, total))
  for await (const calls of readTail(db, query.only.user))
    for (const call of calls) {
      if (!isMeant(call, query)) continue
      addCall(total, call)
      addCall(groupOf(groups, by, call).measures, call)
    }
  const all = [...groups.values()].filter(({ measures }) => measures.calls !== 0).sort(inOrder(by))
  const shown = all.slice(0, query.limit)
  if (isLarge) await addSketches(db, query, shown)
  return {
    since: query.since,
    until: query.until,
    by,
    rows: shown.map(({ key, measures }) => ({
      group: Object.fromEntries(by.map((dimension, index) => [dimension, key[index] ?? ''])),
      ...totalsOf(measures),
    })),
    total: totalsOf(total),
    rowCount: all.length,
  }
}

/** The rows that tell apart what is asked, and no more: the fewest. */
function levelOf({ by, only }: ReportQuery): Level {
  const asked = new Set<Dimension>([
    ...by,
    ...dimensionNames.filter(name => name !== 'day' && only[name] !== undefined),
  ])
  asked.delete('day')
  if (!asked.has('user') && !asked.has('key')) return 'all'
  return [...asked].every(name => name === 'user' || name === 'key') ? 'user' : 'each'
}

function namesOne({ only }: Pick<ReportQuery, 'only'>): boolean {
  return only.user !== undefined || only.key !== undefined
}

export function isMeant(call: CallFacts, { since, until, only }: UsageFilter): boolean {
  if (call.day < since || call.day > until) return false
  return Object.entries(only).every(
    ([dimension, value]) => value === undefined || call[dimensions[dimension as Dimension]] === value,
  )
}

type Keyed = Pick<CallFacts, (typeof dimensions)[Dimension]>

function groupOf(groups: Map<string, Group>, by: readonly Dimension[], row: Partial<Keyed>): Group {
  const key = by.map(dimension => row[dimensions[dimension]] ?? '')
  const text = JSON.stringify(key)
  let group = groups.get(text)
  if (group === undefined) {
    group = { key, measures: noMeasures() }
    groups.set(text, group)
  }
  return group
}

function selectRollups(db: Kysely<Tables>, { since, until, only }: UsageFilter, level: Level) {
  const days = daysBetween(since, until)
  let query = db.selectFrom('usage_rollups')
  // Days one by one: of each only the rows of this level, and of a user that is named, are looked at.
  if (days.length <= mostDays) query = query.where('day', 'in', days)
  else query = query.where('day', '>=', since).where('day', '<=', until)
  query = query.where('level', '=', level)
  for (const [dimension, value] of Object.entries(only))
    if (value !== undefined) query = query.where(dimensions[dimension as Dimension], '=', value)
  return query
}

/** Some years: a database takes so many parameters, and more. */
const mostDays = 2_000

function daysBetween(since: string, until: string): string[] {
  const days: string[] = []
  const end = endOfDay(until)
  for (let time = startOfDay(since); time < end && days.length <= mostDays; time += 86_400_000)
    days.push(new Date(time).toISOString().slice(0, 10))
  return days
}

/** Where the rows are few: all of them. */
async function addRows(
  db: Kysely<Tables>,
  query: ReportQuery,
  groups: Map<string, Group>,
  total: Measures,
): Promise<void> {
  const rows = await selectRollups(db, query, levelOf(query)).selectAll().execute()
  for (const row of rows) {
    addStored(total, row)
    addStored(groupOf(groups, query.by, row).measures, row)
  }
}

/** Where they are many the database sums up; how long calls took is read of those groups that are shown. */
async function addGrouped(
  db: Kysely<Tables>,
  query: ReportQuery,
  groups: Map<string, Group>,
  total: Measures,
): Promise<void> {
  const columns = query.by.map(dimension => dimensions[dimension])
  const rows = (await selectRollups(db, query, levelOf(query))
    .select(columns)
    .select(sumColumns.map(column => sumOf(column)))
    .groupBy(columns)
    .execute()) as (Keyed & Sums)[]
  for (const row of rows) addSums(groupOf(groups, query.by, row).measures, row)
  const all = await selectRollups(db, query, 'all').selectAll().execute()
  for (const row of all) addStored(total, row)
}

/**
 * A sum of whole numbers. Floating-point numbers hold it exactly as far as JavaScript does, and no further; some databases add
 * them twice as fast as their widest whole numbers, of which they make decimals.
 */
export function sumOf<C extends string>(column: C) {
  return sql<number>`sum(CAST(${sql.ref(column)} AS double precision))`.as(column)
}

/** How many groups are named to the database one by one. */
const mostNamed = 1_000

async function addSketches(db: Kysely<Tables>, query: ReportQuery, shown: readonly Group[]): Promise<void> {
  if (shown.length === 0) return
  const { by } = query
  const wanted = new Map(shown.map(group => [JSON.stringify(group.key), group]))
  // The dimension that leaves out most.
  const chosen = by.includes('user') ? 'user' : 'key'
  const values = [...new Set(shown.map(({ key }) => key[by.indexOf(chosen)] ?? ''))]
  let select = selectRollups(db, query, levelOf(query))
  if (values.length <= mostNamed) select = select.where(dimensions[chosen], 'in', values)
  const rows = await select
    .select(by.map(dimension => dimensions[dimension]))
    .select(['latencies', 'first_chunks'])
    .execute()
  for (const row of rows as (Keyed & Pick<Row<'usage_rollups'>, 'latencies' | 'first_chunks'>)[]) {
    const group = wanted.get(JSON.stringify(by.map(dimension => row[dimensions[dimension]])))
    if (group !== undefined) addStored(group.measures, { ...noSums, ...row })
  }
}

const noSums = Object.fromEntries(sumColumns.map(column => [column, 0])) as Sums

function inOrder(by: readonly Dimension[]): (a: Group, b: Group) => number {
  const day = by.indexOf('day')
  return (a, b) => {
    const [one, other] = [a.key[day] ?? '', b.key[day] ?? '']
    if (one !== other) return one < other ? 1 : -1
    return (
      b.measures.cost_nanousd - a.measures.cost_nanousd ||
      tokensOf(b.measures) - tokensOf(a.measures) ||
      b.measures.calls - a.measures.calls ||
      (JSON.stringify(a.key) < JSON.stringify(b.key) ? -1 : 1)
    )
  }
}

function tokensOf({ input_tokens, output_tokens }: Sums): number {
  return input_tokens + output_tokens
}

function totalsOf(measures: Measures): UsageTotals {
  const { calls, errors } = measures
  return {
    calls,
    errors,
    errorRate: calls === 0 ? 0 : errors / calls,
    inputTokens: measures.input_tokens,
    outputTokens: measures.output_tokens,
    cacheReadInputTokens: measures.cache_read_input_tokens,
    reasoningOutputTokens: measures.reasoning_output_tokens,
    costNanousd: measures.cost_nanousd,
    unpricedCalls: measures.unpriced_calls,
    latency: durationsOf(measures.latencies, measures.latency_ms, measures.timed_calls),
    timeToFirstChunk: durationsOf(
      measures.first_chunks,
      measures.time_to_first_chunk_ms,
      measures.first_chunk_calls,
    ),
  }
}

function durationsOf(sketch: Measures['latencies'], sum: number, count: number): Durations {
  const [p50, p95, p99] = percentiles(sketch, [0.5, 0.95, 0.99])
  return { average: count === 0 ? undefined : sum / count, p50, p95, p99 }
}
