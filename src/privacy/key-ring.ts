import { randomBytes } from 'node:crypto'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { type DataKey, dataKey, dataKeyLength } from './data-key.ts'
import { type MasterKey, unwrapKey, wrapKey } from './master-key.ts'

/** What a data key's row says. */
export type KeyRow = Pick<Row<'data_keys'>, 'user_id' | 'id' | 'wrapped_key' | 'master_key_id'>

/** The master keys that this process has. */
export interface MasterKeys {
  /** @throws SteleError master_key_mismatch when it is not there */
  find(id: string): MasterKey
}

interface Held {
  /** Undefined when the key has been destroyed. */
  readonly key: DataKey | undefined
  /** When its row was last seen, in milliseconds of this process. */
  seenAt: number
}

export interface KeyRingOptions {
  readonly masters: MasterKeys
  /** Keys that are held at most; those used longest ago go first. */
  readonly capacity?: number
  /** Milliseconds for which a key is used for reading without another look at whether it has been destroyed. */
  readonly trustedFor?: number
}

/** Unwrapped data keys, those used last. They are nowhere but in memory, and no text shows them. */
export class KeyRing {
  readonly #masters: MasterKeys
  readonly #capacity: number
  readonly #trustedFor: number
  /** The one used last is the last. */
  readonly #held = new Map<string, Held>()

  constructor({ masters, capacity = 4_096, trustedFor = 1_000 }: KeyRingOptions) {
    this.#masters = masters
    this.#capacity = capacity
    this.#trustedFor = trustedFor
  }

  get size(): number {
    return this.#held.size
  }

  /** The key; undefined when it must be looked up. */
  get(userId: string, id: string): DataKey | 'destroyed' | undefined {
    const name = nameOf(userId, id)
    const held = this.#held.get(name)
    if (held === undefined || performance.now() - held.seenAt > this.#trustedFor) return undefined
    this.#touch(name, held)
    return held.key ?? 'destroyed'
  }

  /**
   * Takes in what the database says of a key; undefined when it has been destroyed.
   * @throws SteleError master_key_mismatch; content_unreadable when the row is not what it was
   */
  take({ user_id, id, wrapped_key, master_key_id }: KeyRow): DataKey | undefined {
    const name = nameOf(user_id, id)
    const known = this.#held.get(name)?.key
    const key =
      wrapped_key === null ? undefined : (known ?? this.#unwrap(user_id, id, wrapped_key, master_key_id))
    this.#touch(name, { key, seenAt: performance.now() })
    return key
  }

  /** Lets go of every key of a user. */
  forget(userId: string): void {
    for (const name of this.#held.keys()) if (name.startsWith(`${userId}\0`)) this.#held.delete(name)
  }

  #unwrap(userId: string, id: string, wrapped: Uint8Array, masterId: string): DataKey {
    const bytes = unwrapKey(this.#masters.find(masterId), purposeOf(userId, id), wrapped)
    try {
      const key = dataKey(userId, bytes)
      if (key.id !== id) throw new SteleError('content_unreadable', { reason: 'its key has another name' })
      return key
    } finally {
      bytes.fill(0)
    }
  }

  #touch(name: string, held: Held): void {
    this.#held.delete(name)
    this.#held.set(name, held)
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= this.#capacity) break
      this.#held.delete(oldest)
    }
  }
}

/** A new key of a user, as it is stored. `replaced` is the one whose place it takes: what was committed to stays provable. */
export function newKeyRow(
  userId: string,
  master: MasterKey,
  createdAt: number,
  replaced?: DataKey,
): Row<'data_keys'> {
  const bytes =
    replaced === undefined
      ? randomBytes(dataKeyLength)
      : Buffer.concat([randomBytes(dataKeyLength), replaced.saltRoot.export()])
  try {
    const { id } = dataKey(userId, bytes)
    return {
      user_id: userId,
      id,
      wrapped_key: wrapKey(master, purposeOf(userId, id), bytes),
      master_key_id: master.id,
      created_at: createdAt,
      retired_at: null,
      destroyed_at: null,
    }
  } finally {
    bytes.fill(0)
  }
}

/** The same key, wrapped by another master key. @throws SteleError master_key_mismatch */
export function rewrapped(
  { user_id, id, wrapped_key }: Pick<KeyRow, 'user_id' | 'id'> & { readonly wrapped_key: Uint8Array },
  from: MasterKey,
  to: MasterKey,
): Uint8Array {
  const bytes = unwrapKey(from, purposeOf(user_id, id), wrapped_key)
  try {
    return wrapKey(to, purposeOf(user_id, id), bytes)
  } finally {
    bytes.fill(0)
  }
}

/** Bound into a wrapped key, so that it is no other user's and has no other name. Ids of users hold no NUL. */
function purposeOf(userId: string, id: string): string {
  return `data-key\0${userId}\0${id}`
}

function nameOf(userId: string, id: string): string {
  return `${userId}\0${id}`
}
