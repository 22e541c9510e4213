import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { Permission } from '../../model/permissions.ts'
import type { Stele } from '../../stele.ts'
import type { CacheStats } from '../../store/cache-entries.ts'
import { inClientsTerms } from '../store-failure.ts'
import { wordOf } from './queries.ts'
import { actorOf, keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{ Querystring: Readonly<Record<string, unknown>> }>

/** Answers that may be given again: how many there are, and removing them. One's own, and everybody's for who runs the place. */
export async function cacheRoutes(
  app: FastifyInstance,
  { stele: { cache, database } }: { stele: Pick<Stele, 'cache' | 'database'> },
): Promise<void> {
  const told = inClientsTerms(database)

  /** Whose entries are meant; undefined for everybody's. @throws SteleError permission_denied, invalid_value */
  const meant = (request: Received, anybody: Permission): string | undefined => {
    const own = userOf(request, wordOf(request.query, 'user'))
    if (wordOf(request.query, 'of', ['all']) === undefined) return own
    if (!keyOf(request).permissions.has(anybody))
      throw new SteleError(
        'permission_denied',
        { action: "reach everybody's cached answers" },
        { param: 'of' },
      )
    return undefined
  }

  app.get('/v1/cache', needs('usage:read'), async (request: Received) => {
    const userId = meant(request, 'usage:any_user')
    return statsObject(await told(cache.stats({ userId })))
  })

  app.delete('/v1/cache', needs('erasure:write'), async (request: Received) => {
    const userId = meant(request, 'erasure:any_user')
    const model = wordOf(request.query, 'model')
    return {
      object: 'cache.cleared',
      removed: await told(cache.clear({ userId, model }, actorOf(request))),
    } as object
  })
}

function statsObject({ entries, semantic, bytes, hits, oldestAt, newestAt }: CacheStats): object {
  const seconds = (time: number | undefined): number | null =>
    time === undefined ? null : Math.floor(time / 1_000)
  return {
    object: 'cache',
    entries,
    semantic_entries: semantic,
    bytes,
    hits,
    oldest_at: seconds(oldestAt),
    newest_at: seconds(newestAt),
  }
}
