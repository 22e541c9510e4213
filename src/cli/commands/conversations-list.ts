import type { Conversation } from '../../store/conversations.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { none, timeText } from '../values.ts'

export interface ListConversationsOptions extends GlobalOptions {
  readonly user?: string
  readonly limit: number
  readonly before?: string
  readonly json?: boolean
}

const columns: readonly Column<Conversation>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'USER', text: ({ userId }) => userId, elastic: true },
  { title: 'MESSAGES', text: ({ nextSeq }) => String(nextSeq), align: 'right' },
  { title: 'UPDATED', text: ({ updatedAt }) => timeText(updatedAt) },
  { title: 'FORKED FROM', text: ({ parentId }) => parentId ?? none },
  { title: 'TITLE', text: ({ displayTitle }) => displayTitle ?? none, elastic: true },
]

/** Lists conversations, newest first. */
export async function listConversations(options: ListConversationsOptions): Promise<void> {
  const { user: userId, limit, before, json } = options
  const conversations = await withStele(options, async stele => {
    // Titles are often the first words.
    await noteReading(stele, { userId, command: 'conversations list' }, options)
    return stele.conversations.list({ ...(userId === undefined ? {} : { userId }), limit, before })
  })
  if (json === true) return writeJson(conversations.map(toRecord))
  if (conversations.length === 0) return say('No conversations.')
  await write(formatTable(columns, conversations, outputWidth()))
  if (conversations.length === limit) say(`There may be more: --before ${conversations.at(-1)?.id}`)
}
