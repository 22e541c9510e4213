import { createHash } from 'node:crypto'
import type { LineOf, RecordLine } from '../export-format.ts'
import { problemOf } from './check.ts'
import type { MessageDraft } from './message.ts'
import type { Origin, SourceItem } from './source.ts'

export type ConversationLine = LineOf<'conversation'>

/** A conversation's own row, if there is one, and what is known of it. */
export interface ConversationDraft {
  readonly table: string
  /** 0 when it has no row. */
  readonly rows: number
  /** Its `next_seq` is where its own messages begin. */
  readonly line: ConversationLine
}

/** So many messages, or so many characters of them, are put in at once. */
const chunkMessages = 500
const chunkCharacters = 4 * 1024 * 1024

/** A conversation as the simplest source knows it. */
export function conversationLine(
  fields: Partial<ConversationLine> & Pick<ConversationLine, 'id' | 'user_id' | 'created_at'>,
): ConversationLine {
  return {
    type: 'conversation',
    title: null,
    status: 'active',
    metadata: null,
    next_seq: (fields.parent_seq ?? -1) + 1,
    parent_id: null,
    parent_seq: null,
    updated_at: fields.created_at,
    deleted_at: null,
    intent: null,
    preferences: null,
    session_id: null,
    ...fields,
  }
}

/**
 * A conversation with its messages, numbered in the order in which they come, as items to be written. A long one comes in
 * parts, each of which says how far it goes, so that memory does not grow with it.
 */
export async function* conversationItems(
  origin: Origin,
  { table, rows, line }: ConversationDraft,
  messages: AsyncIterable<MessageDraft> | Iterable<MessageDraft>,
): AsyncGenerator<SourceItem> {
  let seq = line.next_seq
  let time = line.created_at
  let chunk: SourceItem[] = []
  let size = 0
  let ownRows = rows
  const part = function* (): Generator<SourceItem> {
    const record = { ...line, next_seq: seq, updated_at: Math.max(line.updated_at, time) }
    yield { table, rows: ownRows, records: [record] }
    yield* chunk
    ownRows = 0
    chunk = []
    size = 0
  }
  for await (const draft of messages) {
    if (draft.skipped !== undefined) {
      yield { table: draft.table, rows: draft.rows ?? 1, records: [], skipped: draft.skipped }
      continue
    }
    if (draft.createdAt === undefined)
      origin.note('messages without a time have that of what stands before them')
    const record = messageLine(origin, line, draft, seq, draft.createdAt ?? time)
    const problem = problemOf(record)
    if (problem !== undefined) {
      // Not written and not counted: what follows must stand right behind what is written.
      yield { table: draft.table, rows: draft.rows ?? 1, records: [], skipped: problem }
      continue
    }
    seq++
    time = record.created_at
    chunk.push({ table: draft.table, rows: draft.rows ?? 1, records: [record] })
    size += draft.json.length
    if (chunk.length >= chunkMessages || size >= chunkCharacters) yield* part()
  }
  if (ownRows > 0 || chunk.length > 0) yield* part()
}

/** The records of a conversation that is told by one row. */
export async function conversationRecords(
  origin: Origin,
  line: ConversationLine,
  messages: Iterable<MessageDraft>,
): Promise<RecordLine[]> {
  const records: RecordLine[] = []
  for await (const item of conversationItems(origin, { table: '', rows: 1, line }, messages))
    records.push(...item.records)
  return records
}

function messageLine(
  origin: Origin,
  { id, user_id }: ConversationLine,
  draft: MessageDraft,
  seq: number,
  time: number,
): LineOf<'message'> {
  const { originalId, json, role } = draft
  // What it says is part of its identity: if that was changed in the source, what is here does not pass for it.
  const digest = createHash('sha256').update(json).digest('base64url')
  return {
    type: 'message',
    id: origin.id('message', time, id, originalId ?? seq, digest),
    user_id,
    conversation_id: id,
    seq,
    role,
    message: json,
    model: draft.model ?? null,
    call_id: draft.callId ?? null,
    created_at: time,
    intent: draft.intent ?? null,
    cost_nanousd: draft.costNanousd ?? null,
    metadata: origin.metadata(originalId, draft.facts),
    deleted_at: null,
    items: null,
    echo: null,
  }
}
