import { createHmac, type KeyObject } from 'node:crypto'
import type { Tokens } from '../model/search-terms.ts'

/** A key that makes tokens of one user's words. */
export interface BlindKey {
  /** Names it, and so the version of the tokens that are made with it. */
  readonly id: string
  readonly key: KeyObject
}

/** A token costs microseconds, and most words are few: tokens of so many keys are remembered, of a key twice so many, so many in all. */
const mostKeys = 256
const mostOfKey = 8_192
const mostOfAll = 131_072

/**
 * Makes words into tokens: the first 60 bits of HMAC-SHA-256 under a key of their user, as 12 letters and digits. Without the
 * key a token tells nothing but where it stands too, and nobody can try words against it.
 */
export class BlindIndex {
  /** By the names of their keys; the one used last is the last. */
  readonly #ofKeys = new Map<string, TokensOfKey>()

  /** The tokens of whom the key belongs to. */
  tokens(key: BlindKey): Tokens {
    const tokens = this.#ofKeys.get(key.id) ?? new TokensOfKey(key)
    this.#ofKeys.delete(key.id)
    this.#ofKeys.set(key.id, tokens)
    let size = 0
    for (const each of this.#ofKeys.values()) size += each.size
    for (const [id, each] of this.#ofKeys) {
      if (each === tokens || (size <= mostOfAll && this.#ofKeys.size <= mostKeys)) break
      size -= each.size
      this.#ofKeys.delete(id)
    }
    return tokens
  }
}

/** Remembers what was used last: tokens that are not asked for while as many others are go. */
class TokensOfKey implements Tokens {
  readonly #key: KeyObject
  #young = new Map<string, string>()
  #old = new Map<string, string>()

  constructor({ key }: BlindKey) {
    this.#key = key
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  // What a text is made into for one purpose is nothing that another makes of any text.
  readonly word = (word: string): string => this.#make(`w${word}`)
  readonly start = (letters: string): string => this.#make(`s${letters}`)

  #make(text: string): string {
    const known = this.#young.get(text)
    if (known !== undefined) return known
    const token = this.#old.get(text) ?? base32(createHmac('sha256', this.#key).update(text).digest())
    if (this.#young.size >= mostOfKey) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(text, token)
    return token
  }
}

const digits = 'abcdefghijklmnopqrstuvwxyz234567'

/** The first 60 bits. */
function base32(bytes: Buffer): string {
  let text = ''
  for (const at of [0, 4]) {
    const number = bytes.readUInt32BE(at)
    for (let shift = 27; shift > 0; shift -= 5) text += digits[(number >>> shift) & 31]
  }
  return text
}
