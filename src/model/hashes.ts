import { hash } from 'node:crypto'

/**
 * Keyed hashes that thread conversations. They are stored in clear beside encrypted content, so they are keyed: without
 * the key nobody can test a guessed message against them. The construction is SHA-256 over a secret prefix, cut to
 * 132 bits; cutting is what makes a prefix key safe against length extension (compare SHA-512/256, FIPS 180-4).
 */
export class ConversationHashes {
  readonly #key: string

  /** `key` is a random secret of 32 bytes in base64url. */
  constructor(key: string) {
    this.#key = key
  }

  /** The hash of a conversation so far: `previous` is the hash before this message, '' before the first. */
  chain(previous: string, canonicalMessage: string): string {
    return this.#hash('c', previous, canonicalMessage)
  }

  /** The same over the exact text of messages, which tells whether stored text reproduces what was sent. */
  wire(previous: string, rawMessage: string): string {
    return this.#hash('w', previous, rawMessage)
  }

  /** Identifies a prompt: all messages and every parameter that can change the answer. */
  prompt(lastChainHash: string, canonicalParameters: string): string {
    return this.#hash('p', lastChainHash, canonicalParameters)
  }

  /** Stands for a client's idempotency key, which may be anything, a secret too. */
  idempotencyKey(key: string): string {
    return this.#hash('i', '', key)
  }

  /** Stands for an API key that somebody made up, and that may be guessed: without this store's key no guess can be tried on it. */
  apiKey(secret: string): string {
    return this.#hash('k', '', secret)
  }

  /**
   * Tells whether two requests under one idempotency key are the same: the conversation that a chat names, or the operation
   * of what is no chat, then every byte.
   */
  idempotentRequest(target: string | undefined, body: string): string {
    return this.#hash('r', '', `${target ?? ''} ${body}`)
  }

  /** What an answer that may be given again is found by. */
  cacheEntry(canonicalRequest: string): string {
    return this.#hash('a', '', canonicalRequest)
  }

  #hash(purpose: 'c' | 'w' | 'p' | 'i' | 'r' | 'k' | 'a', previous: string, text: string): string {
    // The parts before `text` have fixed lengths for each purpose ('' only before a first message), so no two
    // different inputs concatenate to the same string.
    return hash('sha256', `${this.#key}${purpose}${previous.padEnd(22, '.')}${text}`, 'base64url').slice(
      0,
      22,
    )
  }
}
