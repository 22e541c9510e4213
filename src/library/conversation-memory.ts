import { SteleError } from '../errors.ts'
import { isId, newId } from '../ids.ts'
import { wholeNumber } from '../model/json-object.ts'
import type { MessageInput } from '../model/message-input.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { Store } from '../store/contents.ts'
import { type ConversationState, conversationStates } from '../store/conversation-states.ts'
import { type Message, messageStore } from '../store/messages.ts'
import { storeFailure } from '../store-failure.ts'
import type { conversationLibrary } from './conversations.ts'
import { type HeldConversation, HeldConversations } from './held-conversations.ts'
import { estimateTokens, isSystem, systemRoles, type TokenCounter, windowOf } from './message-window.ts'
import { appendMessages } from './messages.ts'
import { Turns } from './turns.ts'

export interface ConversationMemoryOptions {
  /** Conversations that are held at most; 1,000 when left out. */
  readonly maxConversations?: number | undefined
  /** Messages that are held at most; 100,000 when left out. */
  readonly maxMessages?: number | undefined
  /** Bytes that are held at most, as estimated; 64 MiB when left out. */
  readonly maxBytes?: number | undefined
  /** Of `tokens` of a window; a quarter of the bytes of a message's JSON text when left out. */
  readonly countTokens?: TokenCounter | undefined
}

interface Place {
  readonly userId: string
  readonly conversationId: string
}

export interface MemoryMessage extends MessageInput {
  readonly userId: string
  /** Made when there is none with this id; a new one when left out. */
  readonly conversationId?: string | undefined
  /**
   * Only when nobody else has added a message since this memory last read or wrote the conversation. One that it does not
   * hold is taken to be empty.
   */
  readonly exclusive?: boolean | undefined
}

export interface MemoryHistory extends Place {
  /** Only so many, the newest. */
  readonly last?: number | undefined
  /** Read it from the database whatever is held. */
  readonly fromDatabase?: boolean | undefined
}

export interface MemoryWindow extends Place {
  /** So many at most. */
  readonly messages?: number | undefined
  /** Together so many tokens at most. */
  readonly tokens?: number | undefined
  /** All system and developer messages first, whatever their age, as far as they fit; the newest others beside them. */
  readonly keepSystem?: boolean | undefined
}

export interface MemoryStats {
  readonly conversations: number
  readonly messages: number
  readonly bytes: number
  /** Reads that were answered from memory, and those for which messages were read from the database. */
  readonly hits: number
  readonly misses: number
}

/** What of a store it works on. */
interface Backing {
  readonly database: Store
  readonly recorder: Recorder
  readonly conversations: Pick<ReturnType<typeof conversationLibrary>, 'create'>
}

/** What a reading needs of a conversation. */
interface Need {
  /** Whether older messages than these change nothing. @param system the system messages, when they were asked for */
  isMet(newest: readonly Message[], system: readonly Message[] | undefined): boolean
  readonly system: boolean
  /** How many messages to read at first. */
  readonly count: number
}

const firstCount = 100

/**
 * The conversations in use, held in this process so that they need not be read again for every turn. It writes through: what
 * `addMessage` has returned is on record. What is held is served only after one short query has found the conversation as
 * it was, so it is never older than the database, whoever writes to it; when the database fails, reading raises.
 * @example
 * const memory = new ConversationMemory(stele)
 * const { conversationId } = await memory.addMessage({ userId: 'ada', message: { role: 'user', content: 'Hello' } })
 * const messages = await memory.getWindow({ userId: 'ada', conversationId, tokens: 4_000, keepSystem: true })
 */
export class ConversationMemory {
  readonly #stele: Backing
  readonly #countTokens: TokenCounter
  readonly #held: HeldConversations
  readonly #turns = new Turns()
  /** What began before it was cleared is not held. */
  #clearings = 0
  #hits = 0
  #misses = 0

  /** @throws SteleError invalid_value for a limit below 1 */
  constructor(stele: Backing, options: ConversationMemoryOptions = {}) {
    const { maxConversations = 1_000, maxMessages = 100_000, maxBytes = 64 * 1024 ** 2 } = options
    this.#stele = stele
    this.#countTokens = options.countTokens ?? estimateTokens
    this.#held = new HeldConversations({
      maxConversations: wholeNumber('maxConversations', maxConversations, 1),
      maxMessages: wholeNumber('maxMessages', maxMessages, 1),
      maxBytes: wholeNumber('maxBytes', maxBytes, 1),
    })
  }

  /**
   * Adds a message to the end of a conversation, wherever that is by now, and makes the conversation when there is none.
   * @throws SteleError sequence_conflict with `exclusive` when another writer was first: read the conversation again;
   * conversation_not_found when it has been deleted, invalid_value, store_unavailable
   */
  async addMessage(added: MemoryMessage): Promise<Message> {
    const { userId, conversationId = newId('conversation'), exclusive = false, ...message } = added
    const place = { userId, conversationId }
    return this.#turns.take(keyOf(place), () => this.#add(place, message, exclusive))
  }

  /**
   * The messages of a conversation, oldest first.
   * @throws SteleError conversation_not_found, invalid_value
   */
  async getHistory({ userId, conversationId, last, fromDatabase }: MemoryHistory): Promise<Message[]> {
    const most = last === undefined ? Number.MAX_SAFE_INTEGER : wholeNumber('last', last, 1)
    const need: Need = { isMet: newest => newest.length >= most, system: false, count: most }
    const { messages } = await this.#read({ userId, conversationId }, need, fromDatabase === true)
    return messages.slice(-most)
  }

  /**
   * The newest messages that fit into a context, oldest first. There is none when even the newest does not fit.
   * @throws SteleError conversation_not_found, invalid_value
   */
  async getWindow(window: MemoryWindow): Promise<Message[]> {
    const { userId, conversationId, messages, tokens, keepSystem = false } = window
    if (messages === undefined && tokens === undefined)
      throw new SteleError(
        'invalid_value',
        { name: 'messages', reason: 'a window is limited by messages, tokens or both' },
        { param: 'messages' },
      )
    const limits = {
      messages: messages === undefined ? Number.POSITIVE_INFINITY : wholeNumber('messages', messages, 1),
      tokens: tokens === undefined ? Number.POSITIVE_INFINITY : wholeNumber('tokens', tokens, 1),
      countTokens: this.#countTokens,
    }
    const need: Need = {
      isMet: (newest, system) => windowOf(newest, system, limits).isFull,
      system: keepSystem,
      count: Math.min(limits.messages, firstCount),
    }
    const held = await this.#read({ userId, conversationId }, need, false)
    return windowOf(held.messages, keepSystem ? systemOf(held) : undefined, limits).messages
  }

  /** Forgets what is held of one conversation, or of all. The database keeps what it has. */
  clear(place?: { readonly userId: string; readonly conversationId: string }): void {
    this.#clearings++
    if (place === undefined) this.#held.clear()
    else this.#held.delete(keyOf(place))
  }

  stats(): MemoryStats {
    return { ...this.#held.size, hits: this.#hits, misses: this.#misses }
  }

  async #add(place: Place, message: MessageInput, exclusive: boolean): Promise<Message> {
    const key = keyOf(place)
    let held = this.#held.get(key)
    for (let isMade = false; ; ) {
      const expectedSeq = held?.states[0]?.nextSeq ?? (exclusive ? 0 : undefined)
      try {
        return await this.#append(place, message, held, expectedSeq)
      } catch (error) {
        const code = error instanceof SteleError ? error.code : undefined
        if (code !== 'sequence_conflict' && code !== 'conversation_not_found') throw error
        const wasHeld = held !== undefined
        this.#held.delete(key)
        held = undefined
        if (exclusive && (wasHeld || code === 'sequence_conflict')) throw error
        if (code === 'sequence_conflict') continue
        if (isMade) throw error
        await this.#make(place)
        isMade = true
      }
    }
  }

  async #append(
    place: Place,
    message: MessageInput,
    held: HeldConversation | undefined,
    expectedSeq: number | undefined,
  ): Promise<Message> {
    const clearings = this.#clearings
    const append = { ...place, messages: [message], expectedSeq }
    const { messages, updatedAt } = await appendMessages(this.#stele.recorder, append)
    const [added] = messages
    if (added === undefined) throw new Error('nothing was appended')
    frozen(added)
    const state = held?.states[0]
    if (state === undefined) return added
    // Another writer may have changed a message that is held without moving the end.
    const isNext = updatedAt?.before === state.updatedAt && added.seq === state.nextSeq
    if (!isNext) this.#held.delete(keyOf(place))
    else if (clearings === this.#clearings)
      this.#held.append(keyOf(place), { ...state, nextSeq: added.seq + 1, updatedAt: updatedAt.after }, added)
    return added
  }

  /** Another writer may make it at the same moment, which is as good. */
  async #make({ userId, conversationId }: Place): Promise<void> {
    try {
      await this.#stele.conversations.create({ userId, id: conversationId })
    } catch (error) {
      if (!(error instanceof SteleError) || error.code !== 'already_exists') throw error
    }
  }

  async #read(place: Place, need: Need, fromDatabase: boolean): Promise<HeldConversation> {
    if (!isId('conversation', place.conversationId))
      throw new SteleError(
        'conversation_not_found',
        { conversation: place.conversationId },
        { param: 'conversation' },
      )
    const read = async (): Promise<HeldConversation> => {
      const clearings = this.#clearings
      const held = this.#held.get(keyOf(place))
      const isCurrent = await this.#isCurrent(place, held)
      if (held !== undefined && isCurrent && !fromDatabase && hasEnough(held, need)) {
        this.#hits++
        return held
      }
      this.#misses++
      const loaded = await this.#load(place, need)
      this.#keep(place, clearings, loaded)
      return loaded
    }
    return this.#turns.take(keyOf(place), read).catch(error => {
      throw storeFailure(this.#stele.database, error)
    })
  }

  /** Whether what is held is what the database has now. @throws SteleError conversation_not_found */
  async #isCurrent({ userId, conversationId }: Place, held: HeldConversation | undefined): Promise<boolean> {
    const [, ...others] = held?.states ?? []
    try {
      const { of } = conversationStates(this.#stele.database.prompt)
      const now = await of(
        userId,
        conversationId,
        others.map(({ id }) => id),
      )
      return held?.states.every(state => now.some(each => isSame(state, each))) === true
    } catch (error) {
      if (error instanceof SteleError) this.#held.delete(keyOf({ userId, conversationId }))
      throw error
    }
  }

  /** Reads the newest messages that a reading needs, or all, and the states that they belong to, as of one moment. */
  async #load({ userId, conversationId }: Place, need: Need): Promise<HeldConversation> {
    const { contents, snapshot } = this.#stele.database
    return snapshot(async kysely => {
      const states = await conversationStates(kysely).lineage(userId, conversationId)
      const { list } = messageStore({ kysely, contents })
      const all = Number.MAX_SAFE_INTEGER
      const system = need.system
        ? (await list({ userId, conversationId, roles: systemRoles, limit: all })).map(frozen)
        : undefined
      let messages: Message[] = []
      let isWhole = false
      for (
        let limit = need.count;
        !isWhole && !need.isMet(messages, system);
        limit = Math.min(2 * limit, all)
      ) {
        const page = await list({ userId, conversationId, before: messages[0]?.seq, limit })
        messages = [...page.map(frozen), ...messages]
        isWhole = page.length < limit
      }
      const oldest = messages[0]?.seq ?? all
      const olderSystem = isWhole ? [] : system?.filter(({ seq }) => seq < oldest)
      return { states, messages, isWhole, olderSystem }
    })
  }

  #keep(place: Place, clearings: number, held: HeldConversation): void {
    if (clearings === this.#clearings) this.#held.set(keyOf(place), held)
  }
}

function keyOf({ userId, conversationId }: Place): string {
  return `${conversationId} ${userId}`
}

function isSame(one: ConversationState, other: ConversationState): boolean {
  return (
    one.id === other.id &&
    one.nextSeq === other.nextSeq &&
    one.updatedAt === other.updatedAt &&
    one.createdAt === other.createdAt
  )
}

function hasEnough(held: HeldConversation, need: Need): boolean {
  if (held.isWhole) return true
  if (need.system && held.olderSystem === undefined) return false
  return need.isMet(held.messages, need.system ? systemOf(held) : undefined)
}

function systemOf({ olderSystem = [], messages }: HeldConversation): Message[] {
  return [...olderSystem, ...messages.filter(isSystem)]
}

/** What is held is given to everyone who reads it, so nobody may change it. */
function frozen(message: Message): Message {
  const objects: object[] = [message]
  for (let value = objects.pop(); value !== undefined; value = objects.pop()) {
    Object.freeze(value)
    for (const member of Object.values(value))
      if (typeof member === 'object' && member !== null) objects.push(member)
  }
  return message
}
