import { SteleError } from '../errors.ts'
import { isId, newId } from '../ids.ts'
import {
  columnText,
  givenList,
  givenObject,
  type JsonObject,
  keyText,
  objectFrom,
  objectText,
  wholeNumber,
} from '../model/json-object.ts'
import { type CheckedMessage, checkedMessage, type MessageInput } from '../model/message-input.ts'
import type { AppendedMessage, Edit, OperationResult } from '../recorder/operations.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { Store } from '../store/contents.ts'
import { type Message, messageStore } from '../store/messages.ts'

export interface MessageAppend {
  readonly userId: string
  readonly conversationId: string
  readonly messages: readonly MessageInput[]
  /** The seq that the first of them must get; left out, they go to the end, wherever that is. */
  readonly expectedSeq?: number | undefined
}

/** What to change: null clears, and what is left out stays. */
export interface MessageChange {
  readonly metadata?: JsonObject | null | undefined
  readonly intent?: string | null | undefined
}

/** Messages as an application keeps them: reading from the store, writing through the recorder. */
export function messageLibrary(database: Store, recorder: Recorder) {
  const store = messageStore(database)

  const change = async (
    userId: string,
    conversationId: string,
    messageId: string,
    set: Extract<Edit, { action: 'update-message' }>['set'],
    at: number,
  ): Promise<Message> => {
    const message = await store.get(userId, conversationId, messageId)
    if (message === undefined) throw new SteleError('message_not_found', { message: messageId })
    const place = { conversationId: message.conversationId, seq: message.seq, id: message.id }
    await recorder.change({ kind: 'edit', edit: { action: 'update-message', userId, at, place, set } })
    return message
  }

  return {
    list: store.list,
    get: store.get,
    /**
     * Adds messages to the end of a conversation, all of them or none, in one transaction. When nobody knows whether they
     * were committed the error is store_unavailable; with `expectedSeq` they can then be sent again without doubling.
     * @throws SteleError conversation_not_found, sequence_conflict when another writer was first, invalid_value,
     * store_unavailable
     */
    async append(append: MessageAppend): Promise<Message[]> {
      return (await appendMessages(recorder, append)).messages
    },
    /**
     * Changes what is said of a message; the message itself stays as it was sent. A message that a fork shares is one
     * and the same in both.
     * @throws SteleError conversation_not_found, message_not_found, invalid_value
     */
    async update(
      userId: string,
      conversationId: string,
      messageId: string,
      given: MessageChange,
    ): Promise<Message> {
      const { metadata, intent } = givenObject('change', given)
      const message = await change(
        userId,
        conversationId,
        messageId,
        {
          ...(metadata === undefined
            ? {}
            : { metadata: metadata === null ? null : objectText('metadata', metadata) }),
          ...(intent === undefined
            ? {}
            : { intent: intent === null ? null : columnText('intent', intent, { least: 1, most: 512 }) }),
        },
        Date.now(),
      )
      return {
        ...message,
        ...(metadata === undefined ? {} : { metadata: metadata ?? undefined }),
        ...(intent === undefined ? {} : { intent: intent ?? undefined }),
      }
    },
    /**
     * Hides a message wherever it is shown, in forks too. It stays in the exact requests of calls already made, and the
     * conversation still goes on from it.
     * @throws SteleError conversation_not_found, message_not_found
     */
    async delete(userId: string, conversationId: string, messageId: string): Promise<void> {
      const at = Date.now()
      await change(userId, conversationId, messageId, { deleted_at: at }, at)
    },
  }
}

/** Messages that are on record, and the `updatedAt` of their conversation right before and after, as far as it is known. */
export interface Appended {
  readonly messages: Message[]
  readonly updatedAt: OperationResult['updatedAt']
}

/** Adds messages to the end of a conversation, as `messages.append` does. */
export async function appendMessages(
  recorder: Recorder,
  { userId, conversationId, messages, expectedSeq }: MessageAppend,
): Promise<Appended> {
  keyText('userId', userId)
  if (!isId('conversation', conversationId))
    throw new SteleError(
      'conversation_not_found',
      { conversation: conversationId },
      { param: 'conversation' },
    )
  if (givenList('messages', messages).length === 0)
    throw new SteleError(
      'invalid_value',
      { name: 'messages', reason: 'there is none' },
      { param: 'messages' },
    )
  if (expectedSeq !== undefined) wholeNumber('expectedSeq', expectedSeq, 0)
  const createdAt = Date.now()
  const added = appendedMessages(messages.map(checkedMessage), createdAt)
  const { seq = 0, updatedAt } = await recorder.change({
    kind: 'append',
    userId,
    conversationId,
    expectedSeq,
    messages: added,
    createdAt,
  })
  return {
    messages: added.map(({ canonical: _, metadata, ...message }, index) => ({
      ...message,
      isKept: true,
      conversationId,
      seq: seq + index,
      callId: undefined,
      metadata: objectFrom(metadata ?? null),
      deletedAt: undefined,
    })),
    updatedAt,
  }
}

/** With the ids by which a message is known again when it is written twice. */
export function appendedMessages(messages: readonly CheckedMessage[], now: number): AppendedMessage[] {
  return messages.map(message => ({
    ...message,
    id: newId('message'),
    createdAt: message.createdAt ?? now,
  }))
}
