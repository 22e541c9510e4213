import { SteleError } from '../errors.ts'
import type { Stele } from '../stele.ts'
import type { ApiKey } from '../store/api-keys.ts'
import { checkUserId } from '../store/users.ts'
import { storeFailure } from './store-failure.ts'

/** Seconds for which a key that was found good is not looked up again; a revoked key works at most this much longer. */
const trustedFor = 1

const maxTrusted = 10_000

export interface Access {
  /** The key of an Authorization header. @throws SteleError missing_api_key, invalid_api_key, store_unavailable */
  authenticate(authorization: string | undefined): Promise<ApiKey>
}

/** Checks keys against the store. */
export function createAccess({ apiKeys, database }: Pick<Stele, 'apiKeys' | 'database'>): Access {
  const trusted = new Map<string, { key: ApiKey; until: number }>()
  return {
    async authenticate(authorization) {
      const secret = bearerToken(authorization)
      const now = Date.now()
      const known = trusted.get(secret)
      if (known !== undefined && now < known.until && !isExpired(known.key, now)) return known.key
      trusted.delete(secret)
      const key = await apiKeys
        .findBySecret(secret)
        .catch(cause => Promise.reject(storeFailure(database, cause)))
      if (key === undefined || key.revokedAt !== undefined || isExpired(key, now))
        throw new SteleError('invalid_api_key')
      if (trusted.size >= maxTrusted) trusted.clear()
      trusted.set(secret, { key, until: now + trustedFor * 1000 })
      return key
    },
  }
}

/**
 * The user that a request is recorded under: the one it names, if its key may act for others, else the key's own.
 * @throws SteleError permission_denied, invalid_value
 */
export function actingUser(key: ApiKey, header: string | undefined, bodyUser: string | undefined): string {
  const param = header === undefined ? 'user' : 'x-stele-user'
  const named = header ?? bodyUser
  if (named === undefined || named === '' || named === key.userId) return key.userId
  checkUserId(named, param)
  if (!key.scopes.includes('service') && !key.scopes.includes('admin')) {
    throw new SteleError(
      'permission_denied',
      { action: 'act for another user; use a service key' },
      { param },
    )
  }
  return named
}

function bearerToken(authorization: string | undefined): string {
  const token = authorization === undefined ? undefined : /^bearer +(\S+)\s*$/i.exec(authorization)?.[1]
  if (token === undefined) throw new SteleError('missing_api_key')
  return token
}

function isExpired(key: ApiKey, now: number): boolean {
  return key.expiresAt !== undefined && key.expiresAt <= now
}
