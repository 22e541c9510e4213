import type { Call } from '../store/calls.ts'
import { type Column, formatTable } from './table.ts'
import { attemptText, countText, none, timeText } from './values.ts'

const columns: readonly Column<Call>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'TIME', text: ({ createdAt }) => timeText(createdAt) },
  { title: 'ATTEMPT', text: attemptText },
  { title: 'PROVIDER', text: ({ provider }) => provider, elastic: true },
  { title: 'MODEL', text: ({ requestModel }) => requestModel, elastic: true },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'HTTP', text: ({ httpStatus }) => countText(httpStatus), align: 'right' },
  { title: 'MS', text: ({ latencyMs }) => countText(latencyMs), align: 'right' },
  { title: 'ERROR', text: ({ errorCode }) => errorCode ?? none },
]

/** The calls made for one request: who was asked, and what came of it. */
export function attemptTable(calls: readonly Call[], width: number | undefined): string {
  return formatTable(columns, calls, width)
}
