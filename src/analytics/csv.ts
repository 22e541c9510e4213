import type { ConversationUsage } from './conversations.ts'
import { conversationRecord, reportRecord } from './record.ts'
import type { UsageReport } from './report.ts'

/** A report as CSV (RFC 4180), its rows under the names that JSON has for them; without the total. */
export function reportCsv(report: UsageReport): string {
  const { rows, total } = reportRecord(report)
  const names = [...report.by, ...Object.keys(flat(total))]
  return csv(names, rows.map(flat))
}

export function conversationsCsv(found: readonly ConversationUsage[]): string {
  return csv(
    ['conversation', 'user', 'calls', 'tokens', 'cost_nanousd', 'unpriced_calls'],
    found.map(conversationRecord),
  )
}

type Cells = Readonly<Record<string, unknown>>

/** `{ latency_ms: { p50: 1 } }` as `{ latency_ms_p50: 1 }`. */
function flat(record: Cells): Cells {
  return Object.fromEntries(
    Object.entries(record).flatMap(([name, value]): [string, unknown][] =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).map(([part, of]) => [`${name}_${part}`, of])
        : [[name, value]],
    ),
  )
}

function csv(names: readonly string[], rows: readonly Cells[]): string {
  const lines = rows.map(row => names.map(name => cell(row[name])))
  return [names.map(cell), ...lines].map(line => `${line.join(',')}\r\n`).join('')
}

/**
 * Users and models are called as applications like: what a spreadsheet would take for a formula gets an apostrophe before it,
 * by which spreadsheets know text.
 */
function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number') return String(value)
  const text = String(value)
  const safe = /^\s*[=+\-@\t\r＝＋－＠]/.test(text) ? `'${text}` : text
  return /[",\r\n]|^\s|\s$/.test(safe) || safe !== text ? `"${safe.replaceAll('"', '""')}"` : safe
}
