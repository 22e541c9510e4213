import { reportCsv } from '../../analytics/csv.ts'
import { reportRecord } from '../../analytics/record.ts'
import type { Dimension, UsageGroup, UsageReport, UsageTotals } from '../../analytics/report.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { bar, sparkline } from '../plots.ts'
import { printableCsv } from '../printable.ts'
import { type Column, formatTable } from '../table.ts'
import { sumUpFirst } from '../usage-progress.ts'
import { costText, none } from '../values.ts'

type UsageFormat = 'table' | 'csv' | 'json'

export interface UsageOptions extends GlobalOptions {
  readonly by: readonly Dimension[]
  readonly since?: string
  readonly until?: string
  readonly user?: string
  readonly model?: string
  readonly provider?: string
  readonly key?: string
  readonly documentType?: string
  readonly operation?: string
  readonly limit: number
  readonly format: UsageFormat
  readonly json?: boolean
}

/** Prints what calls took and cost, summed up as asked. */
export async function showUsage(options: UsageOptions): Promise<void> {
  const { format, json, database: _, ...input } = options
  const report = await withStele(options, async stele => {
    await sumUpFirst(stele)
    return stele.usage.report(input)
  })
  if (json === true || format === 'json') return writeJson(reportRecord(report))
  if (format === 'csv') return write(printableCsv(reportCsv(report)))
  await write(usageTable(report, outputWidth()))
  const left = report.rowCount - report.rows.length
  if (left > 0) say(`${left} more rows: --limit shows them; the total is of all.`)
}

const barWidth = 16

/** As a table, and for a terminal with bars and the course of the days. */
export function usageTable(report: UsageReport, width?: number): string {
  const { by, rows, total, since, until } = report
  if (total.calls === 0) return `No calls from ${since} to ${until} (UTC).\n`
  const sum: UsageGroup = { ...total, group: {} }
  const shown = by.length === 0 ? [sum] : [...rows, sum]
  const dimensions = by.map((dimension, index): Column<UsageGroup> => {
    const last = index === 0 ? 'in all' : ''
    return {
      title: dimension.toUpperCase().replace('_', ' '),
      text: row => (row === sum ? last : row.group[dimension] || none),
      elastic: dimension === 'user' || dimension === 'model',
    }
  })
  const table = formatTable([...dimensions, ...columns, ...bars(report, sum, width)], shown, width)
  return `${table}${width === undefined ? '' : course(report)}`
}

const number = (title: string, text: (row: UsageTotals) => string): Column<UsageGroup> => ({
  title,
  text,
  align: 'right',
})

const columns: readonly Column<UsageGroup>[] = [
  number('CALLS', ({ calls }) => String(calls)),
  number('ERRORS', ({ errors, errorRate }) =>
    errors === 0 ? '0' : `${errors} (${(errorRate * 100).toFixed(1)} %)`,
  ),
  number('IN', ({ inputTokens }) => String(inputTokens)),
  number('CACHED', ({ cacheReadInputTokens }) => String(cacheReadInputTokens)),
  number('OUT', ({ outputTokens }) => String(outputTokens)),
  number('COST', ({ calls, costNanousd, unpricedCalls }) =>
    unpricedCalls === calls ? none : costText(costNanousd),
  ),
  number('UNPRICED', ({ unpricedCalls }) => String(unpricedCalls)),
  number('AVG MS', ({ latency }) => millisecondsText(latency.average)),
  number('P50', ({ latency }) => millisecondsText(latency.p50)),
  number('P95', ({ latency }) => millisecondsText(latency.p95)),
  number('P99', ({ latency }) => millisecondsText(latency.p99)),
  number('FIRST P50', ({ timeToFirstChunk }) => millisecondsText(timeToFirstChunk.p50)),
]

function millisecondsText(value: number | undefined): string {
  return value === undefined ? none : String(Math.round(value))
}

/** What the rows are compared by: the cost, where any is known. */
function weightOf({ total }: UsageReport): (row: UsageTotals) => number {
  return total.costNanousd > 0 ? row => row.costNanousd : row => row.calls
}

function bars(report: UsageReport, sum: UsageGroup, width: number | undefined): Column<UsageGroup>[] {
  if (width === undefined || report.by.length === 0) return []
  const weight = weightOf(report)
  const most = Math.max(...report.rows.map(weight))
  return [
    {
      title: report.total.costNanousd > 0 ? 'OF COST' : 'OF CALLS',
      text: row => (row === sum ? '' : bar(weight(row), most, barWidth)),
    },
  ]
}

/** How it went from day to day, where rows are days. */
function course(report: UsageReport): string {
  if (!report.by.includes('day')) return ''
  const weight = weightOf(report)
  const days = new Map<string, number>()
  for (const row of report.rows.toReversed()) {
    const day = row.group.day ?? ''
    days.set(day, (days.get(day) ?? 0) + weight(row))
  }
  if (days.size < 2) return ''
  const [first] = days.keys()
  const last = [...days.keys()].at(-1)
  return `\n${first} ${sparkline([...days.values()])} ${last}\n`
}
