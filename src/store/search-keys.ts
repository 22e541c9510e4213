import { createSecretKey, hkdfSync } from 'node:crypto'
import type { Batch } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { BlindIndex, type BlindKey } from '../privacy/blind-index.ts'

/** The keys of the search index. */
export interface SearchKeys {
  /** The keys that users' words are made into tokens with now; none of a user whose keys are destroyed. */
  current(batch: Batch, userIds: readonly string[]): Promise<ReadonlyMap<string, BlindKey>>
  /** Those with which any of a user's tokens may have been made. */
  all(database: Database, userId: string): Promise<readonly BlindKey[]>
}

/** What makes the search index blind: the keys, and the tokens made with them. */
export interface SearchTokens {
  readonly keys: SearchKeys
  readonly index: BlindIndex
}

/**
 * Keys that are made of the store's own secret: every user has one, for as long as the store has its secret. The only place
 * that decides where keys come from.
 */
export function storeSearchTokens(hashes: ConversationHashes): SearchTokens {
  const keyOf = (userId: string): BlindKey => {
    const bytes = Buffer.from(hkdfSync('sha256', hashes.searchSecret, '', `stele search 1\0${userId}`, 48))
    return { id: bytes.toString('hex', 32), key: createSecretKey(bytes.subarray(0, 32)) }
  }
  return {
    index: new BlindIndex(),
    keys: {
      current: async (_, userIds) => new Map(userIds.map(userId => [userId, keyOf(userId)])),
      all: async (_, userId) => [keyOf(userId)],
    },
  }
}
