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
  readonly messages: number
  readonly bytes: number
}

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
    if (entry === undefined) return
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
    if (this.#fits(whole)) return whole
    let messages = 0
    let bytes = conversationBytes * held.states.length
    for (const message of held.messages.toReversed()) {
      const next = { messages: messages + 1, bytes: bytes + sizeOf(message) }
      if (!this.#fits(next)) break
      messages = next.messages
      bytes = next.bytes
    }
    if (messages === 0) return undefined
    const newest = held.messages.slice(-messages)
    return { held: { ...held, messages: newest, isWhole: false, olderSystem: undefined }, messages, bytes }
  }

  #fits({ messages, bytes }: Pick<Entry, 'messages' | 'bytes'>): boolean {
    return messages <= this.#limits.maxMessages && bytes <= this.#limits.maxBytes
  }
}

function entryOf(held: HeldConversation): Entry {
  const messages = [...held.messages, ...(held.olderSystem ?? [])]
  return {
    held,
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
