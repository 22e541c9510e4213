import type { Database } from '../../db/database.ts'
import type { ConversationHashes } from '../../model/hashes.ts'
import type { Store } from '../../store/contents.ts'
import type { LineOf, RecordLine } from '../export-format.ts'
import { ImportRows, type PreparedLine } from '../import-rows.ts'
import { writeLines } from '../import-write.ts'

export interface Flushed {
  /** The numbers of the records that are new here. */
  readonly written: readonly number[]
  readonly problems: readonly { readonly line: number; readonly reason: string }[]
}

/** Where records go, some at a time. */
export interface Sink {
  /** @throws SteleError import_invalid, and others of a record that cannot be kept */
  add(line: number, record: RecordLine): Promise<void>
  flush(): Promise<Flushed>
}

/** Writes records, all that wait in one transaction. */
export function writingSink(database: Store, hashes: ConversationHashes): Sink {
  const rows = new ImportRows(database, hashes)
  let pending: PreparedLine[] = []
  return {
    async add(line, record) {
      pending.push(await rows.prepare(line, record))
    },
    async flush() {
      const lines = pending
      pending = []
      rows.forget()
      return writeLines(database, lines, true)
    },
  }
}

/** Writes nothing, and tells what writing would do. */
export function dryingSink({ kysely }: Database): Sink {
  let pending: { readonly line: number; readonly record: RecordLine }[] = []
  const here = async (records: readonly RecordLine[]): Promise<Set<string>> => {
    const found = new Set<string>()
    for (const [type, table] of Object.entries(tableOf)) {
      const ids = records.flatMap(record => (record.type === type && 'id' in record ? [record.id] : []))
      if (ids.length === 0) continue
      const rows = await kysely.selectFrom(table).select('id').where('id', 'in', ids).execute()
      for (const { id } of rows) found.add(`${type} ${id}`)
    }
    return found
  }
  const places = async (messages: readonly LineOf<'message'>[]): Promise<Map<string, string>> => {
    const found = new Map<string, string>()
    for (const [conversationId, own] of Map.groupBy(messages, message => message.conversation_id)) {
      const rows = await kysely
        .selectFrom('messages')
        .select(['seq', 'id'])
        .where('conversation_id', '=', conversationId)
        .where(
          'seq',
          'in',
          own.map(({ seq }) => seq),
        )
        .execute()
      for (const { seq, id } of rows) found.set(`${conversationId} ${seq}`, id)
    }
    return found
  }
  return {
    async add(line, record) {
      pending.push({ line, record })
    },
    async flush() {
      const all = pending
      pending = []
      const records = all.map(({ record }) => record)
      const known = await here(records)
      const taken = await places(records.filter(record => record.type === 'message'))
      const written: number[] = []
      const problems: { line: number; reason: string }[] = []
      for (const { line, record } of all) {
        if (record.type === 'message') {
          const id = taken.get(`${record.conversation_id} ${record.seq}`)
          if (id === undefined) written.push(line)
          else if (id !== record.id)
            problems.push({
              line,
              reason: 'another message stands in its place: the conversation went on differently here',
            })
        } else if ('id' in record && !known.has(`${record.type} ${record.id}`)) written.push(line)
      }
      return { written, problems }
    },
  }
}

const tableOf = {
  user: 'users',
  conversation: 'conversations',
  call: 'llm_requests',
  audit_event: 'audit_events',
  context_snapshot: 'context_snapshots',
} as const
