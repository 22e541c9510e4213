import { isFields } from '../../model/reply.ts'
import type { Conversation } from '../../store/conversations.ts'
import type { Message } from '../../store/messages.ts'
import { Failure } from '../failure.ts'
import { messageText, speakerOf } from '../message-text.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { formatFacts } from '../table.ts'
import { none, notKept, timeText } from '../values.ts'

export interface ShowConversationOptions extends GlobalOptions {
  readonly user?: string
  readonly limit: number
  readonly json?: boolean
}

/** Shows a conversation: facts, forks and messages, those it shares with its parents included. */
export async function showConversation(id: string, options: ShowConversationOptions): Promise<void> {
  const { user, limit, json } = options
  await withStele(options, async stele => {
    const { conversations, messages } = stele
    const conversation = await (user === undefined ? conversations.find(id) : conversations.get(user, id))
    if (conversation === undefined) {
      throw new Failure(`There is no conversation '${id}'${user === undefined ? '' : ` of '${user}'`}.`)
    }
    const { userId } = conversation
    await noteReading(stele, { userId, target: id, command: 'conversations show' }, options)
    const forks = await conversations.forks(userId, id)
    const shown = await messages.list({ userId, conversationId: id, limit })
    if (json === true) return writeJson(recordOf(conversation, forks, shown))
    await write(textOf(conversation, forks, shown))
    const first = shown[0]?.seq ?? 0
    if (first > 0) say(`${first} earlier messages are not shown; raise --limit.`)
  })
}

function recordOf(
  conversation: Conversation,
  forks: readonly Conversation[],
  messages: readonly Message[],
): object {
  return {
    ...toRecord(conversation),
    forks: forks.map(({ id, parentSeq }) => ({ id, parent_seq: parentSeq ?? null })),
    messages: messages.map(({ raw, ...message }) => ({
      ...toRecord(message),
      message: JSON.parse(raw) as unknown,
    })),
  }
}

function textOf(
  conversation: Conversation,
  forks: readonly Conversation[],
  messages: readonly Message[],
): string {
  const { id, userId, displayTitle, status, nextSeq, createdAt, updatedAt } = conversation
  const facts: [string, string][] = [
    ['conversation', id],
    ['user', userId],
    ['title', displayTitle ?? none],
    ['status', status],
    ['messages', String(nextSeq)],
    ['created', timeText(createdAt)],
    ['updated', timeText(updatedAt)],
    ['forked from', originOf(conversation)],
    ...forks.map((fork): [string, string] => ['fork', `${fork.id} ${sharedOf(fork)}`]),
  ]
  return [`${formatFacts(facts)}\n`, ...messages.map(message => textOfMessage(conversation, message))].join(
    '\n',
  )
}

function originOf(conversation: Conversation): string {
  return conversation.parentId === undefined ? none : `${conversation.parentId} ${sharedOf(conversation)}`
}

function sharedOf({ parentSeq }: Conversation): string {
  return parentSeq === undefined || parentSeq < 0
    ? '(no message shared)'
    : `(messages 0 to ${parentSeq} are shared)`
}

function textOfMessage(
  conversation: Conversation,
  { seq, raw, isKept, createdAt, callId, conversationId }: Message,
): string {
  const value: unknown = JSON.parse(raw)
  const message = isKept
    ? isFields(value)
      ? value
      : { content: value }
    : { ...(value as object), content: notKept }
  const shared = conversationId === conversation.id ? '' : ' · shared'
  const call = callId === undefined ? '' : ` · ${callId}`
  return messageText(`${seq} ${speakerOf(message)} · ${timeText(createdAt)}${call}${shared}`, message)
}
