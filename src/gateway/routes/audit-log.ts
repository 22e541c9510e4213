import type { FastifyInstance, FastifyRequest } from 'fastify'
import { digestLength } from '../../audit/digest.ts'
import { logEntry } from '../../audit/event-form.ts'
import { entryBundle, parseTilePath, type TileName, tileWidth, tileWidthAt } from '../../audit/tiles.ts'
import type { Config } from '../../config.ts'
import { SteleError } from '../../errors.ts'
import type { Stele } from '../../stele.ts'
import { inClientsTerms } from '../store-failure.ts'
import { needs, userOf } from './request-parts.ts'

interface Parts {
  readonly stele: Pick<Stele, 'auditLog' | 'database'>
  readonly settings: Pick<Config, 'auditLogPublic'>
}

/** What a path says never changes: a tile that has grown has another path. */
const forEver = 'max-age=31536000, immutable'

/** Seconds for which a checkpoint is as good as a new one. */
const checkpointAge = 1

/** The log as C2SP tlog-tiles (https://c2sp.org/tlog-tiles): nothing in it tells what an event says. */
export async function auditLogRoutes(app: FastifyInstance, { stele, settings }: Parts): Promise<void> {
  const { auditLog, database } = stele
  const isPublic = settings.auditLogPublic
  const who = needs(isPublic ? 'public' : 'audit:read')
  const whose = isPublic ? 'public' : 'private'

  /** Nobody asks in another's name. */
  const check = (request: FastifyRequest): void => {
    if (!isPublic) userOf(request)
  }

  const told = inClientsTerms(database)

  app.get('/v1/audit/log/checkpoint', who, async (request, reply) => {
    check(request)
    const newest = await told(auditLog.latest())
    if (newest === undefined) throw new SteleError('audit_log_part_not_found', { part: 'checkpoint' })
    reply.header('cache-control', `${whose}, max-age=${checkpointAge}`).type('text/plain; charset=utf-8')
    return newest.note
  })

  app.get(
    '/v1/audit/log/tile/*',
    who,
    async (request: FastifyRequest<{ Params: { '*': string } }>, reply) => {
      check(request)
      const path = `tile/${request.params['*']}`
      const name = parseTilePath(path)
      const bytes = name === undefined ? undefined : await told(partOf(auditLog, name))
      if (bytes === undefined) throw new SteleError('audit_log_part_not_found', { part: path })
      reply.header('cache-control', `${whose}, ${forEver}`).type('application/octet-stream')
      return bytes
    },
  )
}

/** A tile as far as it is signed for; undefined when it is not as wide. */
async function partOf(
  auditLog: Stele['auditLog'],
  { level, tile, width }: TileName,
): Promise<Buffer | undefined> {
  const size = (await auditLog.latest())?.size ?? 0
  if (tileWidthAt(level === 'entries' ? 0 : level, tile, size) < width) return undefined
  if (level === 'entries') {
    const from = tile * tileWidth
    const leaves = await auditLog.leaves({ from, to: from + width })
    return leaves.length < width
      ? undefined
      : entryBundle(leaves.map(({ eventId, commitment }) => logEntry(eventId, commitment)))
  }
  const hashes = await auditLog.tile(level, tile)
  const end = width * digestLength
  return hashes === undefined || hashes.byteLength < end ? undefined : Buffer.from(hashes.subarray(0, end))
}
