import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Grant, longestGrant } from '../../access/grants.ts'
import { checked, readObject } from '../../model/json-body.ts'
import type { Stele } from '../../stele.ts'
import type { AuditEvent } from '../../store/audit-events.ts'
import { integer } from '../responses/paging.ts'
import { storeFailure } from '../store-failure.ts'
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

/** What happened, and the grants that let administrators see more. Nothing here tells what was said. */
export async function oversightRoutes(
  app: FastifyInstance,
  { stele }: { stele: Pick<Stele, 'grants' | 'auditEvents' | 'database'> },
): Promise<void> {
  const { grants, auditEvents, database } = stele

  const told = <T>(work: Promise<T>): Promise<T> =>
    work.catch(cause => Promise.reject(storeFailure(database, cause)))

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

  app.get('/v1/audit_events', needs('audit:read'), async (request: Received) => {
    userOf(request)
    const { query } = request
    const limit = integer(query, 'limit', 1, 1_000) ?? 100
    const filter = {
      userId: wordOf(query, 'user'),
      action: wordOf(query, 'action'),
      category: wordOf(query, 'category'),
      before: wordOf(query, 'after'),
    }
    const found = await told(auditEvents.list({ ...filter, limit: limit + 1 }))
    return listOf(found.slice(0, limit).map(eventObject), found.length > limit)
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

function eventObject({ id, userId, createdAt, target, details, ...event }: AuditEvent): {
  readonly id: string
} {
  return {
    object: 'audit_event',
    id,
    user: userId,
    ...event,
    target: target ?? null,
    details: details ?? null,
    created_at: Math.floor(createdAt / 1_000),
  } as { readonly id: string }
}
