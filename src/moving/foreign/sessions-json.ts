import { z } from 'zod'
import { conversationItems, conversationLine } from './conversation.ts'
import type { JsonEntry } from './json-file.ts'
import { type MessageDraft, roleOf } from './message.ts'
import type { Origin, SourceItem } from './source.ts'
import { millisecondsOf, wordOf } from './values.ts'

const time = z.union([z.string(), z.number()]).nullish()
const name = z.union([z.string(), z.number()]).nullish()

const session = z.looseObject({
  user_id: name,
  session_id: name,
  title: z.string().nullish(),
  created_at: time,
  updated_at: time,
  messages: z.array(z.unknown()),
})

const message = z.looseObject({
  id: name,
  role: z.string(),
  content: z.union([z.string(), z.array(z.unknown())]).nullish(),
  created_at: time,
  timestamp: time,
  model: z.string().nullish(),
})

/** What OpenAI's messages have beside a role and content. */
const openAiMembers = [
  'name',
  'tool_calls',
  'tool_call_id',
  'function_call',
  'refusal',
  'audio',
  'annotations',
]

/** Whether a value looks like a session. */
export function isSession(value: unknown): boolean {
  return Array.isArray(value) || session.safeParse(value).success
}

/** A session of a plain file: an object with messages, or only those under the session's name. */
export async function* sessionItems(origin: Origin, { key, value }: JsonEntry): AsyncGenerator<SourceItem> {
  const checked = session.safeParse(Array.isArray(value) ? { messages: value } : value)
  const skipped = (reason: string): SourceItem => ({ table: 'sessions', records: [], skipped: reason })
  if (!checked.success) return yield skipped('it is no session: it has no list of messages')
  const { messages, title, user_id: user } = checked.data
  const sessionId = String(checked.data.session_id ?? (typeof key === 'string' ? key : ''))
  const userId = String(user ?? origin.options.owner ?? '')
  const missing =
    sessionId === ''
      ? 'it has no session_id'
      : userId === ''
        ? 'it names no user, and --user names none'
        : undefined
  if (missing !== undefined) {
    yield skipped(missing)
    for (const _message of messages)
      yield { table: 'messages', records: [], skipped: `its session: ${missing}` }
    return
  }
  const drafts = messages.map(each => draftOf(origin, each))
  const createdAt =
    millisecondsOf(checked.data.created_at) ?? drafts.find(draft => draft.createdAt)?.createdAt ?? 0
  const line = conversationLine({
    id: origin.id('conversation', createdAt, userId, sessionId),
    user_id: userId,
    session_id: sessionId,
    title: origin.text(title, 'sessions.title'),
    metadata: origin.metadata(sessionId),
    created_at: createdAt,
    updated_at: Math.max(createdAt, millisecondsOf(checked.data.updated_at) ?? 0),
  })
  yield* conversationItems(origin, { table: 'sessions', rows: 1, line }, drafts)
}

function draftOf(origin: Origin, value: unknown): MessageDraft {
  const table = 'messages'
  const none = { table, originalId: null, json: '', role: '', createdAt: undefined }
  const checked = message.safeParse(value)
  if (!checked.success) return { ...none, skipped: 'it is no message: it needs a role and content' }
  const { id, content, created_at, timestamp, model, ...more } = checked.data
  const role = roleOf(more.role)
  if (role === undefined) return { ...none, skipped: 'its role is none that is known' }
  const kept = openAiMembers.flatMap(member =>
    more[member] == null ? [] : [[member, more[member]] as const],
  )
  if (content == null && kept.length === 0) return { ...none, skipped: 'it has no content' }
  for (const member of Object.keys(more))
    if (member !== 'role' && !openAiMembers.includes(member)) origin.note(`messages.${member}: not imported`)
  return {
    table,
    originalId: id == null ? null : String(id),
    role,
    json: JSON.stringify({ role, content: content ?? null, ...Object.fromEntries(kept) }),
    createdAt: millisecondsOf(created_at ?? timestamp),
    model: wordOf(model),
  }
}
