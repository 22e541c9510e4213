import { SteleError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import type { Stele } from '../stele.ts'
import type { ApiKey } from '../store/api-keys.ts'
import { checkUserId } from '../store/users.ts'
import { storeFailure } from './store-failure.ts'

/** Milliseconds for which a key that was found good is not looked up again; once revoked it works at most this long. */
const trustedFor = 1_000

/** The same while the database does not answer. */
const outlastsOutage = 3_600_000

/** Milliseconds that a lookup may take when there is something to go by without it. */
const lookupTime = 1_000

const maxTrusted = 10_000

interface TrustedKey {
  readonly key: ApiKey
  /** When the database last said that it is good. */
  readonly checkedAt: number
  askAgainAt: number
}

export interface Access {
  /** The key of an Authorization header. @throws SteleError missing_api_key, invalid_api_key, store_unavailable */
  authenticate(authorization: string | undefined): Promise<ApiKey>
}

/** Checks keys against the store. */
export function createAccess({ apiKeys, database }: Pick<Stele, 'apiKeys' | 'database'>): Access {
  const trusted = new Map<string, TrustedKey>()
  return {
    async authenticate(authorization) {
      const secret = bearerToken(authorization)
      const now = Date.now()
      const known = trusted.get(secret)
      const isGood = known !== undefined && !isExpired(known.key, now)
      if (isGood && now < known.askAgainAt) return known.key
      // While the database is away, a key that was good when it last answered stays good.
      const mayOutlast = isGood && now < known.checkedAt + outlastsOutage
      // Only this request asks; those that come meanwhile go by what is known.
      if (mayOutlast) known.askAgainAt = now + trustedFor
      const lookup = apiKeys.findBySecret(secret)
      let key: ApiKey | undefined
      try {
        key = await (mayOutlast ? inTime(lookup, lookupTime) : lookup)
      } catch (cause) {
        if (mayOutlast && database.classify(cause) !== 'rejected') return known.key
        throw storeFailure(database, cause)
      }
      trusted.delete(secret)
      if (key === undefined || key.revokedAt !== undefined || isExpired(key, now))
        throw new SteleError('invalid_api_key')
      if (trusted.size >= maxTrusted) trusted.clear()
      trusted.set(secret, { key, checkedAt: now, askAgainAt: now + trustedFor })
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
  if (!mayActForOthers(key)) {
    throw new SteleError(
      'permission_denied',
      { action: 'act for another user; use a service key' },
      { param },
    )
  }
  return named
}

export function mayActForOthers({ scopes }: ApiKey): boolean {
  return scopes.includes('service') || scopes.includes('admin')
}

function bearerToken(authorization: string | undefined): string {
  const token = authorization === undefined ? undefined : /^bearer +(\S+)\s*$/i.exec(authorization)?.[1]
  if (token === undefined) throw new SteleError('missing_api_key')
  return token
}

function isExpired(key: ApiKey, now: number): boolean {
  return key.expiresAt !== undefined && key.expiresAt <= now
}
