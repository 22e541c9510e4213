import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Grant, longestGrant } from '../../access/grants.ts'
import { checked, readObject } from '../../model/json-body.ts'
import type { Stele } from '../../stele.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import { listOf } from './paging.ts'
import { wordOf } from './queries.ts'
import { actorOf, keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Params: { id: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

/** Seconds that a grant lasts when nothing is said. */
const usualGrant = 3_600

const creation = z.looseObject({
  user: z.string(),
  reason: z.string(),
  expires_in: z
    .int()
    .min(1)
    .max(longestGrant / 1_000)
    .nullish(),
})

/** The grants that let administrators see more. */
export async function oversightRoutes(
  app: FastifyInstance,
  { stele }: { stele: Pick<Stele, 'grants' | 'database'> },
): Promise<void> {
  const { grants, database } = stele

  const told = inClientsTerms(database)

  app.get('/v1/break_glass', needs('grants:read'), async (request: Received) => {
    userOf(request)
    const { query } = request
    const limit = integer(query, 'limit', 1, 1_000) ?? 100
    const filter = {
      userId: wordOf(query, 'user'),
      holder: wordOf(query, 'holder'),
      after: wordOf(query, 'after'),
    }
    const found = await told(grants.list({ ...filter, limit: limit + 1 }))
    return listOf(found.slice(0, limit).map(grantObject), found.length > limit)
  })

  app.post('/v1/break_glass', needs('grants:write'), async (request: Received) => {
    userOf(request)
    const { user, reason, expires_in } = checked(creation, readObject(request.body ?? ''))
    const grant = {
      userId: user,
      holder: keyOf(request).userId,
      reason,
      expiresAt: Date.now() + (expires_in ?? usualGrant) * 1_000,
    }
    return grantObject(await told(grants.create(grant, actorOf(request))))
  })

  app.delete('/v1/break_glass/:id', needs('grants:write'), async (request: Received) => {
    userOf(request)
    return grantObject(await told(grants.revoke(request.params.id, actorOf(request))))
  })
}

function grantObject(grant: Grant): { readonly id: string } {
  return {
    object: 'break_glass_grant',
    id: grant.id,
    user: grant.userId,
    holder: grant.holder,
    reason: grant.reason,
    granted_by: grant.grantedBy,
    created_at: Math.floor(grant.createdAt / 1_000),
    expires_at: Math.floor(grant.expiresAt / 1_000),
    revoked_at: grant.revokedAt === undefined ? null : Math.floor(grant.revokedAt / 1_000),
  } as { readonly id: string }
}
