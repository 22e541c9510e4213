import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Stele } from '../../stele.ts'
import { integer } from '../responses/paging.ts'
import { inClientsTerms } from '../store-failure.ts'
import { wordOf } from './queries.ts'
import { needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Params: { id: string }
  Querystring: Readonly<Record<string, unknown>>
}>

/** Proofs for auditors: that an event is in the log, and that the log has only grown. */
export async function auditProofRoutes(
  app: FastifyInstance,
  { stele }: { stele: Pick<Stele, 'audit' | 'database'> },
): Promise<void> {
  const { audit, database } = stele

  const told = inClientsTerms(database)

  app.get('/v1/audit_events/:id/proof', needs('audit:read'), async (request: Received) => {
    userOf(request)
    return told(audit.prove(request.params.id, wordOf(request.query, 'user')))
  })

  app.get('/v1/audit/consistency', needs('audit:read'), async (request: Received) => {
    userOf(request)
    const size = (name: string) => integer(request.query, name, 0, Number.MAX_SAFE_INTEGER)
    return told(audit.consistency({ from: size('from') ?? 0, to: size('to') }))
  })
}
