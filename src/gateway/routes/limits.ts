import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { type CapChange, type CapName, capNames } from '../../limits/caps.ts'
import { cursorOf, type Limit } from '../../limits/store.ts'
import type { LimitTarget } from '../../limits/targets.ts'
import { checked, readObject, word } from '../../model/json-body.ts'
import { invalid } from '../../model/responses/request.ts'
import type { Stele } from '../../stele.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import { wordOf } from './queries.ts'
import { actorOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

const wireName = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

const names = Object.keys(capNames) as CapName[]
const cap = z.union([z.int().min(0), z.literal('unlimited')]).nullish()

/** Whom a limit is for. A name that is spelled wrong must not make it one of all together. */
const targetNames = ['user', 'each_user', 'key', 'model'] as const

const change = z.strictObject({
  user: word.optional(),
  each_user: z.boolean().optional(),
  key: word.optional(),
  model: word.optional(),
  ...Object.fromEntries(names.map(name => [wireName(name), cap])),
})

/** Limits, for administrators: what users, keys and models may take, and how much of it is used. */
export async function limitRoutes(
  app: FastifyInstance,
  { stele }: { stele: Pick<Stele, 'limits' | 'apiKeys' | 'database'> },
): Promise<void> {
  const { limits, apiKeys, database } = stele

  const told = inClientsTerms(database)

  app.get('/v1/limits', needs('limits:read'), async (request: Received) => {
    userOf(request)
    const { query } = request
    const limit = integer(query, 'limit', 1, 1_000) ?? 100
    const after = wordOf(query, 'after')
    const found = await told(limits.list({ ...targetIn(query), limit: limit + 1, after }))
    const page = found.slice(0, limit)
    const last = page.at(-1)
    return {
      object: 'list',
      data: page.map(limitObject),
      time_zone: await told(limits.timeZone()),
      last_id: last === undefined ? null : cursorOf(last),
      has_more: found.length > limit,
    } as { readonly object: string }
  })

  app.post('/v1/limits', needs('limits:write'), async (request: Received) => {
    userOf(request)
    const {
      user,
      each_user: eachUser,
      key,
      model,
      ...given
    } = checked(change, readObject(request.body ?? ''))
    const target: LimitTarget = { user, eachUser, key, model }
    if (key !== undefined && (await told(apiKeys.get(key))) === undefined)
      throw new SteleError('api_key_not_found', { key }, { param: 'key' })
    const caps = Object.fromEntries(
      names.map(name => [name, (given as Readonly<Record<string, unknown>>)[wireName(name)]]),
    ) as CapChange
    return limitObject(await told(limits.set(target, caps, actorOf(request))))
  })

  app.delete('/v1/limits', needs('limits:write'), async (request: Received) => {
    userOf(request)
    const unknown = Object.keys(request.query).find(name => !targetNames.some(known => known === name))
    if (unknown !== undefined) throw invalid(unknown, `it may be ${targetNames.join(', ')}`)
    await told(limits.remove(targetIn(request.query), actorOf(request)))
    return { object: 'limit.deleted', deleted: true } as { readonly object: string }
  })
}

function targetIn(query: Readonly<Record<string, unknown>>): LimitTarget {
  return {
    user: wordOf(query, 'user'),
    eachUser: wordOf(query, 'each_user', ['true', 'false']) === 'true',
    key: wordOf(query, 'key'),
    model: wordOf(query, 'model'),
  }
}

function limitObject({ user, eachUser, key, model, caps, used, updatedAt }: Limit): {
  readonly object: string
} {
  const wire = (values: Limit['caps'] | Limit['used']): object =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [wireName(name), value]))
  return {
    object: 'limit',
    user: user ?? null,
    each_user: eachUser === true,
    key: key ?? null,
    model: model ?? null,
    ...wire(caps),
    used: wire(used),
    updated_at: Math.floor(updatedAt / 1_000),
  } as { readonly object: string }
}
