import type { ConversationState } from '../store/conversation-states.ts'
import type { Message } from '../store/messages.ts'

/** What is held of a conversation as it was in one state. */
export interface HeldConversation {
  /** Its state and those of the conversations that it shares messages with, itself first. */
  readonly states: readonly ConversationState[]
  /** The newest messages, oldest first, without a gap. */
  readonly messages: readonly Message[]
  /** Whether these are all. */
  readonly isWhole: boolean
  /** System messages that are older than these, oldest first; undefined when nobody has asked for them. */
  readonly olderSystem: readonly Message[] | undefined
}

export interface HeldLimits {
  readonly maxConversations: number
  readonly maxMessages: number
  readonly maxBytes: number
}

interface Entry {
  readonly held: HeldConversation
  /** The same list as that of `held`, which the next message is added to. */
  readonly list: Message[]
  readonly messages: number
  readonly bytes: number
}

/** What is held of a conversation that has become too large, as a share of what may be: so that it is not cut at every message. */
const shareKept = 0.75

/**
 * Conversations in memory, those used last. None of the limits is ever exceeded: what was used longest ago goes first, and of
 * a conversation that alone is too large the newest part is held.
 */
export class HeldConversations {
  readonly #limits: HeldLimits
  /** The one used last is the last. */
  readonly #entries = new Map<string, Entry>()
  #messages = 0
  #bytes = 0

  constructor(limits: HeldLimits) {
    this.#limits = limits
  }

  get size(): { conversations: number; messages: number; bytes: number } {
    return { conversations: this.#entries.size, messages: this.#messages, bytes: this.#bytes }
  }

  get(key: string): HeldConversation | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.held
  }

  set(key: string, held: HeldConversation): void {
    this.delete(key)
    const entry = this.#newestPart(held)
    if (entry !== undefined) this.#add(key, entry)
  }

  /**
   * Adds the next message to what is held of a conversation, at a cost that does not grow with it; nothing when none of it is
   * held. What was read of it before has grown, too: whoever keeps that has made a copy.
   * @param state that of the conversation with the message
   */
  append(key: string, state: ConversationState, message: Message): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    const { list, held } = entry
    const messages = entry.messages + 1
    const bytes = entry.bytes + sizeOf(message)
    list.push(message)
    const states = [state, ...held.states.slice(1)]
    this.delete(key)
    const { maxMessages, maxBytes } = this.#limits
    if (this.#fits({ messages, bytes }))
      this.#add(key, { held: { ...held, states, messages: list }, list, messages, bytes })
    else {
      const limits = { maxMessages: shareKept * maxMessages, maxBytes: shareKept * maxBytes }
      const part = newestPart({ ...held, states }, limits) ?? this.#newestPart({ ...held, states })
      if (part !== undefined) this.#add(key, part)
    }
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry)
    this.#messages += entry.messages
    this.#bytes += entry.bytes
    const { maxConversations, maxMessages, maxBytes } = this.#limits
    for (const oldest of this.#entries.keys()) {
      const isWithin =
        this.#entries.size <= maxConversations && this.#messages <= maxMessages && this.#bytes <= maxBytes
      if (isWithin) break
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#messages -= entry.messages
    this.#bytes -= entry.bytes
  }

  clear(): void {
    this.#entries.clear()
    this.#messages = 0
    this.#bytes = 0
  }

  /** As much of it as may be held at all; undefined when that is nothing. */
  #newestPart(held: HeldConversation): Entry | undefined {
    const whole = entryOf(held)
    return this.#fits(whole) ? whole : newestPart(held, this.#limits)
  }

  #fits({ messages, bytes }: Pick<Entry, 'messages' | 'bytes'>): boolean {
    return messages <= this.#limits.maxMessages && bytes <= this.#limits.maxBytes
  }
}

/** The newest messages that are within limits; undefined when not even one is. */
function newestPart(
  held: HeldConversation,
  { maxMessages, maxBytes }: Pick<HeldLimits, 'maxMessages' | 'maxBytes'>,
): Entry | undefined {
  let messages = 0
  let bytes = conversationBytes * held.states.length
  for (let at = held.messages.length - 1; at >= 0; at--) {
    const message = held.messages[at]
    if (message === undefined) break
    const size = sizeOf(message)
    if (messages + 1 > maxMessages || bytes + size > maxBytes) break
    messages++
    bytes += size
  }
  if (messages === 0) return undefined
  const list = held.messages.slice(-messages)
  return { held: { ...held, messages: list, isWhole: false, olderSystem: undefined }, list, messages, bytes }
}

function entryOf(held: HeldConversation): Entry {
  const list = [...held.messages]
  const messages = [...list, ...(held.olderSystem ?? [])]
  return {
    held: { ...held, messages: list },
    list,
    messages: messages.length,
    bytes: messages.reduce(
      (bytes, message) => bytes + sizeOf(message),
      conversationBytes * held.states.length,
    ),
  }
}

/** About what an entry takes beside its messages, and a message beside its texts. */
const conversationBytes = 400
const messageBytes = 400

const sizes = new WeakMap<Message, number>()

/** About how many bytes of memory a message takes: text as if each character took two, parsed JSON several times its text. */
function sizeOf(message: Message): number {
  const known = sizes.get(message)
  if (known !== undefined) return known
  const { raw, metadata } = message
  const metadataBytes = metadata === undefined ? 0 : 10 * JSON.stringify(metadata).length
  const size = messageBytes + 2 * raw.length + metadataBytes
  sizes.set(message, size)
  return size
}
