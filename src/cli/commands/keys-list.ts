import { keyCachingText } from '../../model/caching.ts'
import { policyText } from '../../privacy/masking/policy.ts'
import type { ApiKey } from '../../store/api-keys.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { none, timeText } from '../values.ts'

export interface ListKeysOptions extends GlobalOptions {
  readonly user?: string
  readonly json?: boolean
}

const columns: readonly Column<ApiKey>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'USER', text: ({ userId }) => userId, elastic: true },
  { title: 'NAME', text: ({ name }) => name || none, elastic: true },
  { title: 'KEY', text: ({ prefix }) => `${prefix}…` },
  { title: 'MAY', text: ({ scopes }) => scopes.join(' ') },
  { title: 'MASKS', text: ({ masking }) => policyText(masking) ?? none },
  { title: 'COMPRESSES', text: ({ compression }) => compression ?? none },
  { title: 'STATE', text: stateOf },
  { title: 'CREATED', text: ({ createdAt }) => timeText(createdAt) },
  { title: 'EXPIRES', text: ({ expiresAt }) => timeText(expiresAt) },
  { title: 'USED', text: ({ lastUsedAt }) => timeText(lastUsedAt) },
]

/** Lists API keys. */
export async function listKeys(options: ListKeysOptions): Promise<void> {
  const keys = await withStele(options, ({ apiKeys }) => apiKeys.list({ userId: options.user }))
  if (options.json === true) return writeJson(keys.map(key => ({ ...keyRecord(key), state: stateOf(key) })))
  if (keys.length === 0) return say('No keys.')
  await write(formatTable(columns, keys, outputWidth()))
}

/** A key as JSON tells of it. */
export function keyRecord(key: ApiKey): Record<string, unknown> {
  return { ...toRecord(key), masking: policyText(key.masking), cache: keyCachingText(key.cache) }
}

function stateOf({ revokedAt, expiresAt }: ApiKey): string {
  if (revokedAt !== undefined) return 'revoked'
  return expiresAt !== undefined && expiresAt <= Date.now() ? 'expired' : 'active'
}
