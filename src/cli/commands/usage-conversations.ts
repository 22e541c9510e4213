import type { ConversationOrder, ConversationUsage } from '../../analytics/conversations.ts'
import { conversationsCsv } from '../../analytics/csv.ts'
import { conversationRecord } from '../../analytics/record.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { printableCsv } from '../printable.ts'
import { type Column, formatTable } from '../table.ts'
import { sumUpFirst } from '../usage-progress.ts'
import { costText, none } from '../values.ts'

export interface UsageConversationsOptions extends GlobalOptions {
  readonly order: ConversationOrder
  readonly since?: string
  readonly until?: string
  readonly user?: string
  readonly limit: number
  readonly format: 'table' | 'csv' | 'json'
  readonly json?: boolean
}

const columns: readonly Column<ConversationUsage>[] = [
  { title: 'CONVERSATION', text: ({ conversationId }) => conversationId },
  { title: 'USER', text: ({ userId }) => userId, elastic: true },
  { title: 'CALLS', text: ({ calls }) => String(calls), align: 'right' },
  { title: 'TOKENS', text: ({ tokens }) => String(tokens), align: 'right' },
  {
    title: 'COST',
    text: ({ calls, costNanousd, unpricedCalls }) => (unpricedCalls === calls ? none : costText(costNanousd)),
    align: 'right',
  },
  { title: 'UNPRICED', text: ({ unpricedCalls }) => String(unpricedCalls), align: 'right' },
]

/** Prints the conversations that took most. */
export async function showConversationUsage(options: UsageConversationsOptions): Promise<void> {
  const { order, since, until, user, limit, format, json } = options
  const found = await withStele(options, async stele => {
    await sumUpFirst(stele)
    return stele.usage.conversations({ order, since, until, user, limit })
  })
  if (json === true || format === 'json') return writeJson(found.map(conversationRecord))
  if (format === 'csv') return write(printableCsv(conversationsCsv(found)))
  if (found.length === 0) return say('No calls in any conversation.')
  await write(formatTable(columns, found, outputWidth()))
}
