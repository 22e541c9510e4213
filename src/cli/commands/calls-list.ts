import type { Call } from '../../store/calls.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { attemptText, callCostText, countText, inputText, outputText, timeText } from '../values.ts'

export interface ListCallsOptions extends GlobalOptions {
  readonly user?: string
  readonly limit: number
  readonly before?: string
  readonly json?: boolean
}

const columns: readonly Column<Call>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'TIME', text: ({ createdAt }) => timeText(createdAt) },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'USER', text: ({ userId }) => userId, elastic: true },
  { title: 'MODEL', text: ({ responseModel, requestModel }) => responseModel ?? requestModel, elastic: true },
  { title: 'IN', text: inputText, align: 'right' },
  { title: 'OUT', text: outputText, align: 'right' },
  { title: 'COST', text: callCostText, align: 'right' },
  { title: 'MS', text: ({ latencyMs }) => countText(latencyMs), align: 'right' },
]

/** Shown where a request took more than one call, which few do. */
const groupColumns: readonly Column<Call>[] = [
  { title: 'ATTEMPT', text: attemptText },
  { title: 'GROUP', text: ({ groupId }) => groupId },
]

/** Lists calls, newest first. */
export async function listCalls(options: ListCallsOptions): Promise<void> {
  const { user: userId, limit, before, json } = options
  const calls = await withStele(options, stele =>
    stele.calls.list({ ...(userId === undefined ? {} : { userId }), limit, before }),
  )
  if (json === true) return writeJson(calls.map(toRecord))
  if (calls.length === 0) return say('No calls.')
  const isGrouped = calls.some(({ attempt }) => attempt > 1)
  await write(formatTable([...columns, ...(isGrouped ? groupColumns : [])], calls, outputWidth()))
  if (calls.length === limit) say(`There may be more: --before ${calls.at(-1)?.id}`)
}
