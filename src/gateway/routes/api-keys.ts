import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { checked, readObject, word } from '../../model/json-body.ts'
import {
  isRole,
  isScope,
  mayGive,
  permissionsOf,
  permissionsOfRole,
  roleOf,
  type Scope,
  shareable,
} from '../../model/permissions.ts'
import type { Stele } from '../../stele.ts'
import type { ApiKey, KeySettings } from '../../store/api-keys.ts'
import { checkUserId } from '../../store/users.ts'
import type { Access, Principal } from '../access.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import {
  changedSettings,
  demandsLess,
  settingsChange,
  settingsObject,
  settingsOfNew,
} from './key-settings.ts'
import { listOf } from './paging.ts'
import { wordOf } from './queries.ts'
import { actorOf, keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Params: { id: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

/** Seconds that a key may go on: a hundred years. */
const longestLife = 3_155_760_000

/** Seconds for which the secret before the present one may stay good. */
const usualGrace = 86_400
const longestGrace = 30 * 86_400

const creation = z.looseObject({
  user: z.string().nullish(),
  name: word.nullish(),
  scopes: z.array(z.string()).min(1).max(32).nullish(),
  expires_in: z.int().min(1).max(longestLife).nullish(),
  ...settingsOfNew,
})
const change = z.looseObject(settingsChange)
const rotation = z.looseObject({ grace: z.int().min(0).max(longestGrace).nullish() })

interface Parts {
  readonly stele: Pick<Stele, 'apiKeys' | 'users' | 'database'>
  readonly access: Access
}

/** API keys: one's own, and everybody's for administrators. Secrets are in the answer that makes them and nowhere else. */
export async function apiKeyRoutes(app: FastifyInstance, { stele, access }: Parts): Promise<void> {
  const { apiKeys, users, database } = stele

  const told = inClientsTerms(database)

  /** A key that the request may see. What it may not see it is not told of. */
  const visible = async (request: Received): Promise<ApiKey> => {
    const { id } = request.params
    const own = userOf(request)
    const key = await told(apiKeys.get(id))
    const mayBeAnybodys = keyOf(request).permissions.has('keys:any_user')
    if (key === undefined || (key.userId !== own && !mayBeAnybodys))
      throw new SteleError('api_key_not_found', { key: id })
    return key
  }

  app.get('/v1/api_keys', needs('keys:read'), async (request: Received) => {
    const { query } = request
    const named = wordOf(query, 'user')
    const own = userOf(request, named)
    const isAll = wordOf(query, 'of', ['all']) === 'all'
    if (isAll && !keyOf(request).permissions.has('keys:any_user'))
      throw new SteleError('permission_denied', { action: "list everybody's keys" }, { param: 'of' })
    const limit = integer(query, 'limit', 1, 1_000) ?? 100
    const filter = { userId: isAll ? undefined : own, after: wordOf(query, 'after'), limit: limit + 1 }
    const found = await told(apiKeys.list(filter))
    return listOf(found.slice(0, limit).map(keyObject), found.length > limit)
  })

  app.post('/v1/api_keys', needs('keys:write'), async (request: Received, reply) => {
    const key = keyOf(request)
    const given = checked(creation, readObject(request.body ?? '{}'))
    const userId = checkUserId(userOf(request, given.user ?? undefined))
    const scopes = await scopesFor(key, userId, given.scopes ?? undefined)
    const settings = settingsFor(key, userId, given)
    const made = apiKeys.create({
      ...settings,
      userId,
      name: given.name ?? '',
      scopes,
      expiresAt: given.expires_in == null ? undefined : Date.now() + given.expires_in * 1_000,
      by: actorOf(request),
    })
    return secretly(reply, await told(made))
  })

  app.patch('/v1/api_keys/:id', needs('keys:write'), async (request: Received) => {
    const { id } = await visible(request)
    const given = checked(change, readObject(request.body ?? '{}'))
    const by = actorOf(request)
    const updated = apiKeys.update(
      id,
      before => {
        const settings = changedSettings(before, given)
        checkDemands(keyOf(request), settings, before)
        return settings
      },
      { by },
    )
    const key = await told(updated)
    access.forget(one => one.id === key.id)
    return keyObject(key)
  })

  app.post('/v1/api_keys/:id/rotate', needs('keys:write'), async (request: Received, reply) => {
    const key = await visible(request)
    await checkReach(keyOf(request), key)
    const { grace } = checked(rotation, readObject(request.body ?? '{}'))
    const rotated = await told(
      apiKeys.rotate(key.id, {
        by: actorOf(request),
        grace: (grace ?? usualGrace) * 1_000,
      }),
    )
    access.forget(({ id }) => id === key.id)
    return secretly(reply, rotated)
  })

  app.delete('/v1/api_keys/:id', needs('keys:write'), async (request: Received) => {
    const key = await visible(request)
    const revoked = await told(apiKeys.revoke(key.id, { by: actorOf(request) }))
    access.forget(({ id }) => id === key.id)
    return keyObject(revoked)
  })

  /** @throws SteleError permission_denied where the new secret of a key could do more than the key that gets to see it */
  const checkReach = async (maker: Principal, key: ApiKey): Promise<void> => {
    const { userId, role, permissions } = maker
    const isOwn = key.userId === userId
    if (isOwn) checkDemands(maker, key, { ...maker, contentMode: maker.contentMode ?? key.contentMode })
    const reach = isOwn
      ? permissionsOf(role, key.scopes)
      : shareable(permissionsOf(roleOf((await told(users.get(key.userId)))?.role), key.scopes))
    if (isOwn ? [...reach].some(one => !permissions.has(one)) : !mayGive(permissions, reach))
      throw new SteleError('permission_denied', { action: 'rotate a key that may do more than itself' })
  }

  /**
   * The scopes of a new key: never more than its user's role allows, nor than the key has that makes it, save what any member
   * may.
   * @throws SteleError user_not_found, invalid_value, permission_denied
   */
  const scopesFor = async (
    maker: Principal,
    userId: string,
    asked: readonly string[] | undefined,
  ): Promise<readonly Scope[]> => {
    const user = await told(users.get(userId))
    if (user === undefined) throw new SteleError('user_not_found', { user: userId }, { param: 'user' })
    const isOwn = userId === maker.userId
    const role = roleOf(user.role)
    const param = 'scopes'
    const scopes = (asked ?? (isOwn ? maker.scopes : [role])).map(scope => {
      if (!isScope(scope))
        throw new SteleError(
          'invalid_value',
          { name: param, reason: `there is no scope '${scope}'` },
          { param },
        )
      return scope
    })
    const allowed = isOwn ? maker.permissions : permissionsOfRole(role)
    const wanted = scopes.flatMap(scope => (isRole(scope) ? [...permissionsOfRole(scope)] : [scope]))
    const isTooMuch = wanted.some(one => !allowed.has(one))
    // Of somebody else's the maker sees the secret: what comes with the other's role it must have itself.
    if (isTooMuch || !(isOwn || mayGive(maker.permissions, shareable(wanted))))
      throw new SteleError(
        'permission_denied',
        { action: 'make a key that may do more than its maker or its user' },
        { param },
      )
    return scopes
  }
}

/**
 * What a new key demands: what is said, and of one's own what the key demands that it is made with, which would else be
 * a way around it.
 */
function settingsFor(
  maker: Principal,
  userId: string,
  given: Parameters<typeof changedSettings>[1],
): KeySettings {
  const before: KeySettings = userId === maker.userId ? maker : {}
  const settings = changedSettings(before, given)
  checkDemands(maker, settings, before)
  return settings
}

/** @throws SteleError permission_denied where less would be demanded, unless whoever asks looks after all keys */
function checkDemands({ permissions }: Principal, now: KeySettings, before: KeySettings): void {
  if (permissions.has('keys:any_user') || !demandsLess(now, before)) return
  throw new SteleError('permission_denied', {
    action:
      'have less demanded than is demanded of it: masking, a cache that is off, how what is said is kept',
  })
}

function secretly(reply: FastifyReply, key: ApiKey & { readonly secret: string }): object {
  reply.header('cache-control', 'no-store')
  return { ...keyObject(key), secret: key.secret }
}

function keyObject(key: ApiKey): { readonly id: string } {
  const seconds = (time: number | undefined): number | null =>
    time === undefined ? null : Math.floor(time / 1_000)
  return {
    object: 'api_key',
    id: key.id,
    user: key.userId,
    name: key.name,
    prefix: key.prefix,
    scopes: key.scopes,
    issued_by: key.issuedBy ?? null,
    created_at: seconds(key.createdAt),
    expires_at: seconds(key.expiresAt),
    revoked_at: seconds(key.revokedAt),
    last_used_at: seconds(key.lastUsedAt),
    rotated_at: seconds(key.rotatedAt),
    previous_expires_at: seconds(key.previousExpiresAt),
    ...settingsObject(key),
  } as { readonly id: string }
}
