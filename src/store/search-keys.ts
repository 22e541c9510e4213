import type { Batch } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import { BlindIndex, type BlindKey } from '../privacy/blind-index.ts'
import { type KeyRow, newKeyRow } from '../privacy/key-ring.ts'
import type { Contents } from './contents.ts'
import { isCurrent } from './data-keys.ts'
import { guardSecret } from './secrets.ts'

/** What is derived of a data key for the search index. */
const purpose = 'search 1'

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

const columns = ['user_id', 'id', 'wrapped_key', 'master_key_id'] as const

/**
 * Keys that are derived of the users' data keys, and so end with them. A user who has none, but content from before it was
 * encrypted, is given one.
 */
export function storeSearchTokens(contents: Contents): SearchTokens {
  const { ring, masters, acceptsOld } = contents
  const keysOf = (rows: readonly KeyRow[]): Map<string, BlindKey> => {
    const keys = new Map<string, BlindKey>()
    for (const row of rows) {
      const key = ring.take(row)?.derive(purpose)
      if (key !== undefined) keys.set(row.user_id, { id: row.id, key })
    }
    return keys
  }

  const current: SearchKeys['current'] = async (batch, userIds) => {
    const users = userIds.map(user_id => ({ user_id }))
    return keysOf(await batch.find('data_keys', ['user_id'], users, columns, { where: isCurrent }))
  }

  return {
    index: new BlindIndex(),
    keys: {
      async current(batch, userIds) {
        const keys = await current(batch, userIds)
        const missing = userIds.filter(user => !keys.has(user)).sort()
        if (!acceptsOld || missing.length === 0) return keys
        const users = missing.map(user_id => ({ user_id }))
        const known = await batch.find('data_keys', ['user_id'], users, ['user_id'])
        const without = missing.filter(user => known.every(({ user_id }) => user_id !== user))
        if (without.length === 0) return keys
        const master = masters.find(await guardSecret(batch.stored))
        const rows = without.map(user => newKeyRow(user, master, Date.now()))
        await batch.insertAbsent('data_keys', rows)
        return current(batch, userIds)
      },
      async all({ kysely }, userId) {
        const rows = await kysely
          .selectFrom('data_keys')
          .select(columns)
          .where('user_id', '=', userId)
          .where('destroyed_at', 'is', null)
          .execute()
        return rows.flatMap(row => keysOf([row]).get(userId) ?? [])
      },
    },
  }
}
