import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId, newId } from '../ids.ts'
import type { AskedWith } from '../model/asked-with.ts'
import type { IdempotencyClaim } from '../model/call.ts'
import {
  columnText,
  givenList,
  givenObject,
  type JsonObject,
  keyText,
  objectText,
} from '../model/json-object.ts'
import { checkedMessage, type MessageInput } from '../model/message-input.ts'
import { readGivenItems } from '../model/responses/given-items.ts'
import type { Edit } from '../recorder/operations.ts'
import { erasedStatus } from '../recorder/purge.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { Reading } from '../store/contents.ts'
import { conversationTotals } from '../store/conversation-totals.ts'
import { type Conversation, conversationStore } from '../store/conversations.ts'
import { newConversationRow } from '../store/new-rows.ts'
import { checkUserId } from '../store/users.ts'
import { appendedItems } from './conversation-items.ts'
import { appendedMessages } from './messages.ts'

/** What an application may say of a conversation. */
export interface ConversationFields {
  readonly title?: string | undefined
  readonly intent?: string | undefined
  /** Any word; 'active' unless set. */
  readonly status?: string | undefined
  readonly metadata?: JsonObject | undefined
  readonly preferences?: JsonObject | undefined
  /** The application's own name for it, which no other living conversation of the user may have. */
  readonly sessionId?: string | undefined
}

export interface NewConversation extends ConversationFields {
  /** Made when there is no such user yet. */
  readonly userId: string
  /** A TypeID with the prefix conv; made when left out. */
  readonly id?: string | undefined
  /** Its first messages, committed with it. */
  readonly messages?: readonly MessageInput[] | undefined
  /** Items behind them, as OpenAI's Conversations API takes them. */
  readonly items?: readonly unknown[] | undefined
  /** The API key with which they are said. */
  readonly apiKeyId?: string | undefined
}

/** What to change: null clears, and what is left out stays. */
export type ConversationChange = {
  readonly [K in keyof ConversationFields]: K extends 'status'
    ? string | undefined
    : ConversationFields[K] | null
}

/** Conversations as an application keeps them: reading from the store, writing through the recorder. */
export function conversationLibrary(reading: Reading, recorder: Recorder) {
  const store = conversationStore(reading)

  const required = async (userId: string, id: string): Promise<Conversation> => {
    const conversation = await store.get(userId, id)
    if (conversation === undefined) throw notFound(id)
    return conversation
  }
  const edit = async (change: Edit): Promise<void> => {
    keyText('userId', change.userId)
    if ('id' in change && !isId('conversation', change.id)) throw notFound(change.id)
    await recorder.change({ kind: 'edit', edit: change })
  }

  return {
    ...store,
    totals: conversationTotals(reading),
    /**
     * Makes a conversation, with its first messages in the same transaction.
     * @param claim an idempotency key that is to stand for it
     * @throws SteleError already_exists when the id or the session is taken, idempotency_key_in_use, invalid_value,
     * store_unavailable
     */
    async create(
      { userId, id, messages = [], items = [], apiKeyId, ...fields }: NewConversation,
      claim?: IdempotencyClaim,
    ): Promise<Conversation> {
      const createdAt = Date.now()
      const conversationId = id ?? newId('conversation')
      if (!isId('conversation', conversationId))
        throw new SteleError(
          'invalid_value',
          { name: 'id', reason: 'it must be a TypeID with the prefix conv' },
          { param: 'id' },
        )
      const { status, ...set } = columnsOf(fields)
      await recorder.change({
        kind: 'append',
        userId: checkUserId(userId, 'userId'),
        conversationId,
        creation: newConversationRow({
          user_id: userId,
          id: conversationId,
          next_seq: 0,
          created_at: createdAt,
          ...(status == null ? {} : { status }),
          ...set,
        }),
        messages: [
          ...appendedMessages(givenList('messages', messages).map(checkedMessage), createdAt),
          ...appendedItems(readGivenItems(items), createdAt).map(({ message }) => message),
        ],
        claim,
        apiKeyId,
        createdAt,
      })
      return required(userId, conversationId)
    },
    /**
     * Changes what is said of a conversation.
     * @throws SteleError conversation_not_found, already_exists when the session is taken, invalid_value
     */
    async update(
      userId: string,
      id: string,
      change: ConversationChange,
      { apiKeyId }: AskedWith = {},
    ): Promise<Conversation> {
      const set = columnsOf(change)
      await edit({ action: 'update-conversation', userId, id, at: Date.now(), set, apiKeyId })
      return required(userId, id)
    },
    /**
     * Begins a conversation anew under the same session: an empty one takes it, and what was said so far stays on record
     * without it. With `keepsParent` the new one says which it followed, as a fork that shares no message.
     * @throws SteleError conversation_not_found
     */
    async restart(
      userId: string,
      id: string,
      { keepsParent = true }: { readonly keepsParent?: boolean } = {},
    ): Promise<Conversation> {
      const at = Date.now()
      const row = newConversationRow({
        user_id: userId,
        id: newId('conversation'),
        next_seq: 0,
        created_at: at,
        ...(keepsParent ? { parent_id: id, parent_seq: -1 } : {}),
      })
      await edit({ action: 'restart-conversation', userId, id, at, row })
      return required(userId, row.id)
    },
    /** Hides a conversation until it is restored. @throws SteleError conversation_not_found */
    delete(userId: string, id: string, { apiKeyId }: AskedWith = {}): Promise<void> {
      return edit({ action: 'delete-conversation', userId, id, at: Date.now(), apiKeyId })
    },
    /**
     * Shows a deleted conversation again.
     * @throws SteleError conversation_not_found, already_exists when another one has its session now
     */
    async restore(userId: string, id: string): Promise<Conversation> {
      await edit({ action: 'restore-conversation', userId, id, at: Date.now() })
      return required(userId, id)
    },
    /**
     * Removes for good what was said in a conversation, deleted or not; what its calls cost and took stays on record.
     * Messages that a fork shares stay readable through the fork.
     * @throws SteleError conversation_not_found, conversation_in_use while a call is under way
     */
    purge(userId: string, id: string): Promise<void> {
      return edit({ action: 'purge-conversation', userId, id, at: Date.now() })
    },
  }
}

type Columns = Pick<
  Row<'conversations'>,
  'title' | 'intent' | 'status' | 'metadata' | 'preferences' | 'session_id'
>

/** As an index can hold it. */
const longestSession = 256
const longestWord = 512

/** The columns that are named, checked. */
function columnsOf(fields: ConversationChange): Partial<Columns> {
  const { title, intent, status, metadata, preferences, sessionId } = givenObject('change', fields)
  const text = (name: string, value: string | null, most: number): string | null =>
    value === null ? null : columnText(name, value, { least: 1, most })
  const object = (name: string, value: JsonObject | null): string | null =>
    value === null ? null : objectText(name, value)
  return {
    ...(title === undefined ? {} : { title: text('title', title, longestTitle) }),
    ...(intent === undefined ? {} : { intent: text('intent', intent, longestWord) }),
    ...(status === undefined ? {} : { status: checkedStatus(status) }),
    ...(metadata === undefined ? {} : { metadata: object('metadata', metadata) }),
    ...(preferences === undefined ? {} : { preferences: object('preferences', preferences) }),
    ...(sessionId === undefined ? {} : { session_id: text('sessionId', sessionId, longestSession) }),
  }
}

const longestTitle = 10_000

function checkedStatus(status: string): string {
  if (status === erasedStatus)
    throw new SteleError(
      'invalid_value',
      { name: 'status', reason: `'${erasedStatus}' is what purging makes of a conversation` },
      { param: 'status' },
    )
  return columnText('status', status, { least: 1, most: longestWord })
}

function notFound(id: string): SteleError {
  return new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
}
