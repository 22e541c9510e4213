import type { ForeignRow } from '../../db/foreign.ts'
import { type ConversationLine, conversationItems } from './conversation.ts'
import { type CallDraft, callItem, isError } from './cortexai-calls.ts'
import { type MessageDraft, rowMessage } from './message.ts'
import type { Origin, SourceItem } from './source.ts'
import { columnText, isTrue, microsecondsOf, millisecondsOf } from './values.ts'

/** A context that was kept of a session, and how far it reaches. */
interface SnapshotDraft {
  readonly row: ForeignRow
  readonly micros: number
  upToSeq: number | undefined
}

/**
 * A session with its calls and contexts. The source does not say which message a call brought, so that follows from the
 * times: an answer is that of the calls that were made since the message before it. Calls of one session, not its
 * messages, are held in memory.
 */
export async function* sessionItems(
  origin: Origin,
  line: ConversationLine,
  calls: AsyncIterable<CallDraft | SourceItem>,
  messages: AsyncIterable<ForeignRow>,
  snapshots: AsyncIterable<ForeignRow>,
): AsyncGenerator<SourceItem> {
  const drafts: CallDraft[] = []
  for await (const call of calls)
    if ('table' in call) yield call
    else drafts.push(call)
  const contexts: SnapshotDraft[] = []
  for await (const row of snapshots)
    contexts.push({ row, micros: microsecondsOf(row['created_at']) ?? 0, upToSeq: undefined })
  const place = { table: 'sessions', rows: 1, line }
  yield* conversationItems(origin, place, placed(origin, line, drafts, contexts, messages))
  for (const draft of drafts) yield await callItem(origin, draft, line)
  for (const context of contexts) yield snapshotItem(origin, context, line)
}

async function* placed(
  origin: Origin,
  { id: conversationId }: ConversationLine,
  calls: readonly CallDraft[],
  contexts: readonly SnapshotDraft[],
  rows: AsyncIterable<ForeignRow>,
): AsyncGenerator<MessageDraft> {
  let seq = 0
  let micros = 0
  let asked: string | undefined
  let placedCalls = 0
  /** Puts calls up to a time behind the messages so far. */
  const placeCalls = (isDue: (call: CallDraft) => boolean): CallDraft[] => {
    const due: CallDraft[] = []
    for (let call = calls[placedCalls]; call !== undefined && isDue(call); call = calls[placedCalls]) {
      call.upToSeq = seq - 1
      if (call.promptText !== undefined && call.promptText !== asked)
        origin.note('llm_requests.prompt_text: is not what the message before it says, and was left out')
      due.push(call)
      placedCalls++
    }
    return due
  }
  for await (const row of rows) {
    const said = rowMessage(row['role'], row['content'])
    const originalId = typeof row['id'] === 'string' ? row['id'] : null
    if (said.skipped !== undefined) {
      yield { ...said, table: 'messages', originalId, createdAt: undefined }
      continue
    }
    const time = microsecondsOf(row['created_at'])
    micros = Math.max(micros, time ?? 0)
    const isAnswer = said.role === 'assistant'
    const due = placeCalls(call => (isAnswer ? call.micros <= micros : call.micros < micros))
    const content = row['content']
    const answering = isAnswer ? answerOf(due, content) : undefined
    if (answering !== undefined) answering.reply = { conversationId, seq }
    for (const context of contexts) {
      if (context.row['base_message_id'] === originalId && originalId !== null) context.upToSeq = seq
      else if (context.row['base_message_id'] == null && context.micros >= micros) context.upToSeq = seq
    }
    yield {
      ...said,
      table: 'messages',
      originalId,
      createdAt: time === undefined ? undefined : Math.floor(time / 1000),
      callId: answering?.id ?? null,
      facts: isTrue(row['is_edited']) ? { edited_at: columnText(row['edited_at']) ?? 'unknown' } : {},
    }
    if (said.role === 'user' && typeof content === 'string') asked = content
    seq++
  }
  placeCalls(() => true)
}

/** The call that a message is the answer of, when only one can be meant. */
function answerOf(
  calls: readonly CallDraft[],
  content: ForeignRow[string] | undefined,
): CallDraft | undefined {
  const good = calls.filter(({ hasResponse, row }) => hasResponse && !isError(row))
  const same = good.filter(({ text }) => text === content)
  if (same.length === 1) return same[0]
  return good.length === 1 && good[0]?.text === undefined ? good[0] : undefined
}

function snapshotItem(
  origin: Origin,
  { row, upToSeq }: SnapshotDraft,
  { id, user_id }: ConversationLine,
): SourceItem {
  const table = 'context_snapshots'
  const { id: originalId, context_text: text } = row
  const createdAt = millisecondsOf(row['created_at'])
  if (typeof originalId !== 'string' || typeof text !== 'string' || createdAt === undefined)
    return { table, records: [], skipped: 'it has no id, no text or no time' }
  if (row['user_id'] !== undefined && row['user_id'] !== user_id)
    return { table, records: [], skipped: 'its session is of another user' }
  return {
    table,
    records: [
      {
        type: 'context_snapshot',
        id: origin.id('snapshot', createdAt, originalId, user_id),
        user_id,
        conversation_id: id,
        up_to_seq: upToSeq ?? 0,
        content: text.toWellFormed(),
        created_at: createdAt,
      },
    ],
  }
}
