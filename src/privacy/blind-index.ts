import { createHmac, type KeyObject } from 'node:crypto'
import type { Tokens } from '../model/search-terms.ts'

/** A key that makes tokens of one user's words. */
export interface BlindKey {
  /** Names it, and so the version of the tokens that are made with it. */
  readonly id: string
  readonly key: KeyObject
}

/** Users and, of each, words whose tokens are remembered: most words of a language are few, and a token costs microseconds. */
const mostKeys = 64
const mostWords = 4_096

/**
 * Makes words into tokens: the first 60 bits of HMAC-SHA-256 under a key of their user, as 12 letters and digits. Without the
 * key a token tells nothing but where it stands too, and nobody can try words against it.
 */
export class BlindIndex {
  /** By the names of their keys; the one used last is the last. */
  readonly #tokens = new Map<string, Tokens>()

  /** The tokens of whom the key belongs to. */
  tokens(key: BlindKey): Tokens {
    const known = this.#tokens.get(key.id)
    this.#tokens.delete(key.id)
    const tokens = known ?? blindTokens(key)
    this.#tokens.set(key.id, tokens)
    for (const oldest of this.#tokens.keys()) {
      if (this.#tokens.size <= mostKeys) break
      this.#tokens.delete(oldest)
    }
    return tokens
  }
}

function blindTokens({ key }: BlindKey): Tokens {
  const known = new Map<string, string>()
  // What a text is made into for one purpose is nothing that another makes of any text.
  const make = (purpose: 'w' | 's', text: string): string => {
    const named = purpose + text
    const found = known.get(named)
    if (found !== undefined) return found
    const token = base32(createHmac('sha256', key).update(named).digest())
    if (known.size >= mostWords) known.clear()
    known.set(named, token)
    return token
  }
  return { word: word => make('w', word), start: letters => make('s', letters) }
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
