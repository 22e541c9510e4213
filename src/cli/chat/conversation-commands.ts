import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { SearchHit, SessionSummary } from '../../chat/backend.ts'
import { transcriptText } from '../../chat/transcript.ts'
import { reasonOf, SteleError } from '../../errors.ts'
import { printableLine } from '../printable.ts'
import { fitText } from '../text-width.ts'
import { ageText } from './answer-notes.ts'
import type { ChatSession } from './chat-session.ts'
import type { ChatCommand } from './commands.ts'
import type { Line, Span } from './styled.ts'

/** Commands about what was said and where it is kept. */
export const conversationCommands: readonly ChatCommand[] = [
  { name: 'new', help: 'begin a new conversation', run: startAnew },
  {
    name: 'resume',
    takes: '[ID]',
    help: 'go on with another conversation; without an id, choose from a list',
    run: (session, id) => resume(session, id),
  },
  { name: 'sessions', help: 'list your conversations, the latest first', run: listSessions },
  {
    name: 'history',
    takes: '[N]',
    help: 'show the last N messages of this conversation (10)',
    run: showHistory,
  },
  { name: 'search', takes: 'WORDS', help: 'find what was said in your conversations', run: search },
  {
    name: 'reset',
    help: 'forget what was said when asking on; the conversation stays on record and goes on',
    run: reset,
  },
  {
    name: 'export',
    takes: '[FILE]',
    help: 'write this conversation to a new file: Markdown, or JSON if its name ends in .json',
    run: exportTo,
  },
]

const listed = 20
const usualHistory = 10
const longestOpening = 60

async function startAnew({ chat, screen }: ChatSession): Promise<void> {
  chat.startAnew()
  await screen.show([note('A new conversation.'), []])
}

/** Goes on with a conversation and shows how it ended. */
export async function resume(session: ChatSession, id: string): Promise<void> {
  const { chat, screen } = session
  const chosen = id === '' ? await chooseSession(session) : id
  if (chosen === undefined) return
  chat.goOn(await session.wait(chat.backend.open(chosen)))
  const { transcript } = chat
  const lastAsked = transcript.findLastIndex(({ role }) => role === 'user')
  const shown = transcript.slice(Math.max(0, lastAsked))
  const left = transcript.length - shown.length
  if (left > 0)
    await screen.show([note(`${left} earlier ${messagesText(left)}: /history ${transcript.length}`), []])
  await showMessages(session, shown)
}

async function chooseSession(session: ChatSession): Promise<string | undefined> {
  const { chat, screen } = session
  const sessions = await session.wait(chat.backend.sessions(listed))
  await showSessions(session, sessions)
  if (sessions.length === 0) return undefined
  for (;;) {
    const typed = await screen.choose('Number of the conversation, Enter for none:')
    if (typed === undefined || typed === '') return undefined
    const found = sessions[Number(typed) - 1]?.id ?? sessions.find(({ id }) => id === typed)?.id
    if (found !== undefined) return found
  }
}

async function listSessions(session: ChatSession): Promise<void> {
  await showSessions(session, await session.wait(session.chat.backend.sessions(listed)))
}

async function showSessions(
  { chat, screen }: ChatSession,
  sessions: readonly SessionSummary[],
): Promise<void> {
  const lines = sessions.map((summary, index): Line => {
    const isCurrent = summary.id === chat.thread.sessionId
    return [
      { text: `${String(index + 1).padStart(2)}${isCurrent ? ' → ' : '   '}`, style: { color: 'cyan' } },
      { text: summaryText(summary), ...(isCurrent ? { style: { bold: true } } : {}) },
      { text: `  ${summary.id}`, style: { dim: true } },
    ]
  })
  await screen.show([...(lines.length === 0 ? [note('There are no conversations yet.')] : lines), []])
}

/** A conversation in a few words. */
export function summaryText({ opening, messages, lastUsedAt, id }: SessionSummary, now = Date.now()): string {
  const words = opening?.trim().split('\n', 1)[0] ?? id
  return [
    fitText(printableLine(words), longestOpening),
    ...(messages === undefined ? [] : [`${messages} ${messagesText(messages)}`]),
    ...(lastUsedAt === undefined ? [] : [ageText(now - lastUsedAt)]),
  ].join(' · ')
}

function messagesText(count: number): string {
  return count === 1 ? 'message' : 'messages'
}

async function showHistory(session: ChatSession, rest: string): Promise<void> {
  const count = rest === '' ? usualHistory : Number(rest)
  if (!Number.isSafeInteger(count) || count < 1)
    throw new SteleError('usage', { reason: 'Say how many messages: /history 20' })
  const { transcript } = session.chat
  if (transcript.length === 0) return session.screen.show([note('Nothing was said yet.'), []])
  await showMessages(session, transcript.slice(-count))
}

async function showMessages(
  { screen }: ChatSession,
  messages: readonly { readonly role: string; readonly text: string }[],
): Promise<void> {
  for (const { role, text } of messages) {
    const style = { bold: true, color: role === 'user' ? 'green' : 'cyan' } as const
    await screen.show([[{ text: printableLine(role), style }]])
    await screen.showMarkdown(text)
    await screen.show([[]])
  }
}

async function search(session: ChatSession, words: string): Promise<void> {
  if (words === '') throw new SteleError('usage', { reason: 'Say what to search for: /search WORDS' })
  const { chat, screen } = session
  const hits = await session.wait(chat.backend.search(words, listed))
  const lines = hits.flatMap((hit): Line[] => [
    [{ text: `${hit.conversationId} · ${hit.seq} ${printableLine(hit.role)}`, style: { dim: true } }],
    [{ text: '  ' }, ...marked(hit)],
  ])
  await screen.show([...(lines.length === 0 ? [note('Nothing was found.')] : lines), []])
}

/** A snippet with the words that were found standing out. */
function marked({ text, ranges }: SearchHit): Span[] {
  const spans: Span[] = []
  let at = 0
  for (const [from, to] of ranges) {
    spans.push({ text: printableLine(text.slice(at, from)) })
    spans.push({ text: printableLine(text.slice(from, to)), style: { bold: true, color: 'yellow' } })
    at = to
  }
  return [...spans, { text: printableLine(text.slice(at)) }]
}

async function reset({ chat, screen }: ChatSession): Promise<void> {
  chat.clear()
  await screen.show([note('What was said is not sent any more. The conversation goes on.'), []])
}

async function exportTo({ chat, screen }: ChatSession, given: string): Promise<void> {
  if (chat.transcript.length === 0) throw new SteleError('usage', { reason: 'Nothing was said yet.' })
  const path = resolve(given === '' ? usualFile(chat.thread.sessionId) : given)
  try {
    await writeFile(path, transcriptText(chat, path), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST'
    const reason = isThere ? 'it is there already and is kept' : reasonOf(error)
    throw new SteleError('file_not_writable', { path, reason }, { cause: error })
  }
  await screen.show([note(`Written to ${printableLine(path)}`), []])
}

/** A file of this folder, whatever an application called the session. */
function usualFile(sessionId = 'conversation'): string {
  return `${sessionId
    .replace(/[^\p{L}\p{N}._-]/gu, '_')
    .replace(/^\.+/, '_')
    .slice(0, longestName)}.md`
}

/** In UTF-16 units: file systems take 255 bytes. */
const longestName = 60

function note(text: string): Line {
  return [{ text, style: { dim: true } }]
}
