import type { FastifyRequest } from 'fastify'
import { nobody, placeOf } from '../access/attempts.ts'
import { type SessionTimes, sessionTokenStart } from '../access/sessions.ts'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import {
  type Permission,
  permissionsOf,
  permissionsOfRole,
  type Role,
  shareable,
} from '../model/permissions.ts'
import type { Stele } from '../stele.ts'
import type { ApiKey } from '../store/api-keys.ts'
import { checkUserId } from '../store/users.ts'
import { GuessDelays } from './guesses.ts'
import { NotedRefusals } from './noted-refusals.ts'
import { checkSameOrigin, cookieToken } from './session-cookie.ts'
import { storeFailure } from './store-failure.ts'

/** Milliseconds for which a key that was found good is not looked up again; once revoked it works at most this long. */
const trustedFor = 1_000

/** The same while the database does not answer. */
const outlastsOutage = 3_600_000

/** Milliseconds that a lookup may take when there is something to go by without it. */
const lookupTime = 1_000

const maxTrusted = 10_000

/** When a key was last used need not be known better than this, in milliseconds. */
const notedEvery = 60_000

/** Who sent a request: a key and what it may do. A session of somebody who logged in counts as a key of its own. */
export interface Principal extends ApiKey {
  readonly role: Role
  readonly permissions: ReadonlySet<Permission>
  /** Set when it is a session. */
  readonly sessionId?: string
}

interface Trusted {
  readonly principal: Principal
  /** When the database last said that it is good. */
  readonly checkedAt: number
  /** When it ends by itself; undefined when it does not. */
  readonly validUntil: number | undefined
  askAgainAt: number
  /** When its use was last noted. */
  readonly notedAt: number
}

type Found = Pick<Trusted, 'principal' | 'validUntil'> | undefined

export interface Access {
  /**
   * Who sent a request, if they have this permission; undefined stands for a route that there is not.
   * @throws SteleError missing_api_key, invalid_api_key, invalid_session, permission_denied, cross_origin_request,
   * too_many_attempts, store_unavailable
   */
  admit(request: FastifyRequest, permission: Permission | undefined): Promise<Principal>
  /** Has keys and sessions that have changed looked up again. Other processes do so within a second. */
  forget(isMeant: (principal: Principal) => boolean): void
}

type AccessParts = Pick<Stele, 'apiKeys' | 'auditEvents' | 'database' | 'logins' | 'recorder'>

/** Checks keys and sessions against the store. */
export function createAccess(
  { apiKeys, auditEvents, database, logins, recorder }: AccessParts,
  settings: Pick<Config, 'sessionIdle' | 'sessionLifetime'>,
): Access {
  const trusted = new Map<string, Trusted>()
  const guesses = new GuessDelays()
  const refusals = new NotedRefusals(auditEvents)
  const times = sessionTimes(settings)

  const keyOf = async (secret: string): Promise<Found> => {
    const holder = await apiKeys.holder(secret)
    if (holder === undefined || !holder.isActive) return undefined
    const { key, role, validUntil } = holder
    const permissions = permissionsOf(role, key.scopes)
    const principal = {
      ...key,
      role,
      permissions: key.issuedBy === undefined ? permissions : shareable(permissions),
    }
    return { principal, validUntil }
  }

  const sessionOf = async (token: string): Promise<Found> => {
    const now = Date.now()
    const holder = await logins.sessions.holder(token, times, now)
    if (holder === undefined || !holder.isActive) return undefined
    const { session, role, validUntil } = holder
    // Whoever waits for the reply need not wait for this.
    void logins.sessions.seen(session, times, now).catch(() => undefined)
    return { principal: sessionPrincipal(session.id, session.userId, role), validUntil }
  }

  const authenticate = async (secret: string, request: FastifyRequest): Promise<Principal> => {
    const now = Date.now()
    const known = trusted.get(secret)
    const isGood = known !== undefined && !isOver(known, now)
    if (isGood && now < known.askAgainAt) return known.principal
    // While the database is away, a key that was good when it last answered stays good.
    const mayOutlast = isGood && now < known.checkedAt + outlastsOutage
    const isSession = secret.startsWith(sessionTokenStart)
    // Only this request asks; those that come meanwhile go by what is known.
    if (mayOutlast) known.askAgainAt = now + trustedFor
    else guesses.check(placeOf(request.ip), secret, now)
    const lookup = isSession ? sessionOf(secret) : keyOf(secret)
    let found: Found
    try {
      found = await (mayOutlast ? inTime(lookup, lookupTime) : lookup)
    } catch (cause) {
      if (mayOutlast && database.classify(cause) !== 'rejected') return known.principal
      throw storeFailure(database, cause)
    }
    trusted.delete(secret)
    if (found === undefined || isOver(found, now)) {
      const isNew = guesses.note(placeOf(request.ip), secret, now)
      if (isNew) await refusals.note(rejectionOf(found?.principal, isSession), now)
      throw new SteleError(isSession ? 'invalid_session' : 'invalid_api_key')
    }
    if (trusted.size >= maxTrusted) trusted.clear()
    const isNoted = known !== undefined && now < known.notedAt + notedEvery
    if (!isNoted && !isSession) recorder.touchKey(found.principal.id)
    const notedAt = isNoted ? known.notedAt : now
    trusted.set(secret, { ...found, checkedAt: now, askAgainAt: now + trustedFor, notedAt })
    return found.principal
  }

  return {
    async admit(request, permission) {
      const { authorization } = request.headers
      const fromCookie = authorization === undefined ? cookieToken(request) : undefined
      if (fromCookie !== undefined) checkSameOrigin(request)
      const principal = await authenticate(fromCookie ?? bearerToken(authorization), request)
      if (permission !== undefined && !principal.permissions.has(permission)) {
        const { userId, id: target } = principal
        const details = { permission, route: `${request.method} ${request.routeOptions.url ?? ''}` }
        await refusals.note(
          { userId, by: { userId }, action: 'permission.denied', target, details },
          Date.now(),
        )
        throw new SteleError('permission_denied', { action: refusedAction(permission, principal) })
      }
      return principal
    },
    forget(isMeant) {
      for (const [secret, { principal }] of trusted) if (isMeant(principal)) trusted.delete(secret)
    },
  }
}

function rejectionOf(principal: Principal | undefined, isSession: boolean) {
  const what = isSession ? 'session' : 'key'
  const reason =
    principal === undefined ? `no such ${what}, or its user is not let in` : `the ${what} has ended`
  return {
    userId: principal?.userId ?? '',
    by: nobody,
    action: 'api_key.rejected',
    target: principal?.id,
    details: { reason },
  } as const
}

export function sessionTimes({
  sessionIdle,
  sessionLifetime,
}: Pick<Config, 'sessionIdle' | 'sessionLifetime'>): SessionTimes {
  return { idle: sessionIdle * 1_000, absolute: sessionLifetime * 1_000 }
}

/** The words of a refusal, which say what would help. */
function refusedAction(permission: Permission, { issuedBy, role, scopes }: Principal): string {
  if (issuedBy !== undefined && permissionsOf(role, scopes).has(permission))
    return `do this (${permission}): an administrator has seen it; its user takes it over by rotating it, logged in or with another key`
  return `do this: it takes the permission ${permission}`
}

/** A session does what its user may. */
function sessionPrincipal(id: string, userId: string, role: Role): Principal {
  return {
    id,
    sessionId: id,
    userId,
    name: '',
    prefix: sessionTokenStart,
    scopes: [role],
    contentMode: undefined,
    masking: undefined,
    cache: undefined,
    compression: undefined,
    role,
    permissions: permissionsOfRole(role),
    createdAt: 0,
    expiresAt: undefined,
    revokedAt: undefined,
    lastUsedAt: undefined,
    rotatedAt: undefined,
    previousExpiresAt: undefined,
    issuedBy: undefined,
  }
}

/**
 * The user that a request is recorded under: the one it names, if its key may act for others, else the key's own.
 * @throws SteleError permission_denied, invalid_value
 */
export function actingUser(
  key: Pick<Principal, 'userId'>,
  header: string | undefined,
  bodyUser: string | undefined,
  mayBeAnybody: boolean,
): string {
  const param = header === undefined ? 'user' : 'x-stele-user'
  const named = header ?? bodyUser
  if (named === undefined || named === '' || named === key.userId) return key.userId
  checkUserId(named, param)
  if (!mayBeAnybody) {
    throw new SteleError(
      'permission_denied',
      { action: 'act for another user; use a service key' },
      { param },
    )
  }
  return named
}

/** Whether a key is that of an application with users of its own, not of somebody. */
export function isOfService({ permissions }: Pick<Principal, 'permissions'>): boolean {
  return permissions.has('content:any_user')
}

function bearerToken(authorization: string | undefined): string {
  const token = authorization === undefined ? undefined : /^bearer +(\S+)\s*$/i.exec(authorization)?.[1]
  if (token === undefined) throw new SteleError('missing_api_key')
  return token
}

function isOver({ validUntil }: { readonly validUntil: number | undefined }, now: number): boolean {
  return validUntil !== undefined && validUntil <= now
}
