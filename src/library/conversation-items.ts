import { SteleError } from '../errors.ts'
import { isId, newId } from '../ids.ts'
import type { AskedWith } from '../model/asked-with.ts'
import type { IdempotencyClaim } from '../model/call.ts'
import { checkedMessage } from '../model/message-input.ts'
import { givenIds, messagesOfItems, readGivenItems } from '../model/responses/given-items.ts'
import type { ListedItem } from '../model/responses/message-items.ts'
import type { AppendedMessage } from '../recorder/operations.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { Reading } from '../store/contents.ts'
import { conversationItemStore } from '../store/conversation-items.ts'
import { conversationStore } from '../store/conversations.ts'

export interface NewItems {
  readonly userId: string
  readonly conversationId: string
  /** As OpenAI's Conversations API takes them. */
  readonly items: readonly unknown[]
  /** The API key with which they are said. */
  readonly apiKeyId?: string | undefined
}

/** The items of conversations, as OpenAI's Conversations API has them: reading from the store, writing through the recorder. */
export function conversationItemLibrary(reading: Reading, recorder: Recorder) {
  const store = conversationItemStore(reading)
  const conversations = conversationStore(reading)

  /** The end of a conversation, once it is known that it has no items of these ids. */
  const endWithout = async (
    userId: string,
    conversationId: string,
    ids: readonly string[],
  ): Promise<number | undefined> => {
    if (ids.length === 0) return undefined
    const conversation = await conversations.get(userId, conversationId)
    const [taken] = (await store.findAll(userId, conversationId, ids)).keys()
    if (taken !== undefined)
      throw new SteleError(
        'invalid_value',
        { name: 'items', reason: `this conversation has an item '${taken}' already` },
        { param: 'items' },
      )
    return conversation?.nextSeq
  }

  return {
    list: store.list,
    get: store.get,
    /**
     * Adds items to the end of a conversation, all of them or none. Those that come without an id get one.
     * @param claim an idempotency key that is to stand for them
     * @throws SteleError conversation_not_found, invalid_value, missing_required_parameter, sequence_conflict when others
     * write as fast as this looks whether its ids are free, idempotency_key_in_use, store_unavailable
     */
    async create(
      { userId, conversationId, items, apiKeyId }: NewItems,
      claim?: IdempotencyClaim,
    ): Promise<ListedItem[]> {
      if (!isId('conversation', conversationId))
        throw new SteleError(
          'conversation_not_found',
          { conversation: conversationId },
          { param: 'conversation' },
        )
      const createdAt = Date.now()
      const given = readGivenItems(items)
      const added = appendedItems(given, createdAt)
      for (let tries = 1; ; tries++) {
        const expectedSeq = await endWithout(userId, conversationId, givenIds(given))
        try {
          const messages = added.map(({ message }) => message)
          const place = { userId, conversationId, expectedSeq, apiKeyId }
          await recorder.change({ kind: 'append', ...place, messages, claim, createdAt })
          return added.flatMap(message => message.items)
        } catch (error) {
          const isBeaten = error instanceof SteleError && error.code === 'sequence_conflict'
          if (!isBeaten || tries >= mostTries) throw error
        }
      }
    },
    /**
     * What is left of items that were added before, by the message that the first of them became.
     * @throws SteleError conversation_not_found, content_not_kept when the message is gone
     */
    added({ userId, conversationId, items }: NewItems, messageId: string): Promise<ListedItem[]> {
      const { length } = messagesOfItems(readGivenItems(items), () => messageId)
      return store.ofMessages({ userId, conversationId, messageId, count: length })
    },
    /**
     * Deletes an item: the message that stands for it is from now on without it, in forks too.
     * @throws SteleError conversation_not_found, item_not_found
     */
    async delete(
      userId: string,
      conversationId: string,
      itemId: string,
      { apiKeyId }: AskedWith = {},
    ): Promise<void> {
      const found = await store.find(userId, conversationId, itemId)
      if (found === undefined) throw new SteleError('item_not_found', { item: itemId })
      const { row, items } = found
      const place = { conversationId: row.conversation_id, seq: row.seq, id: row.id }
      const edit = { action: 'delete-item', userId, place, itemId, apiKeyId } as const
      await recorder.change({
        kind: 'edit',
        edit: { ...edit, at: Date.now(), items: JSON.stringify(items) },
      })
    },
  }
}

const mostTries = 5

/** Items as the messages that they are kept as. */
export function appendedItems(
  given: ReturnType<typeof readGivenItems>,
  createdAt: number,
): { readonly message: AppendedMessage; readonly items: readonly ListedItem[] }[] {
  return messagesOfItems(given, () => newId('message')).map(({ id, message, items, mustBeKept }, index) => ({
    items,
    message: {
      ...checkedMessage({ message }, index),
      id,
      createdAt,
      items: mustBeKept ? JSON.stringify(items) : undefined,
    },
  }))
}
