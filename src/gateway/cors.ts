import type { FastifyReply, FastifyRequest } from 'fastify'
import type { NetworkSettings } from '../network-settings.ts'

/** Reply headers that a page may read beside those that every page may. */
const exposed = [
  'x-stele-call-id',
  'x-stele-conversation',
  'x-stele-cache',
  'x-stele-compression',
  'idempotent-replayed',
  'retry-after',
  'x-should-retry',
  'x-request-id',
].join(', ')

const methods = 'GET, HEAD, POST, PUT, PATCH, DELETE'

/** Seconds for which a browser need not ask again. */
const maxAge = '600'

/** A list of header names. */
const headerNames = /^[\w!#$%&'*+.^`|~-]+(\s*,\s*[\w!#$%&'*+.^`|~-]+)*$/

/**
 * Lets web pages of some origins use the gateway (cross-origin resource sharing). Undefined when there are none: what
 * other origins are told is nothing, and their browsers keep the reply from them.
 * @returns what sets the headers of a reply, and says whether it was a preflight, which has no other answer
 */
export function cors({
  corsOrigins,
  corsCredentials,
}: Pick<NetworkSettings, 'corsOrigins' | 'corsCredentials'>):
  | ((request: FastifyRequest, reply: FastifyReply) => boolean)
  | undefined {
  if (corsOrigins.length === 0) return undefined
  const isAny = corsOrigins.includes('*')
  const allowed = new Set(corsOrigins)
  return ({ method, headers }, reply) => {
    const { origin } = headers
    // Caches must not give one origin the reply to another, nor to none.
    if (!isAny) reply.header('vary', 'origin')
    if (origin === undefined || !(isAny || allowed.has(origin))) return false
    reply.header('access-control-allow-origin', isAny ? '*' : origin)
    reply.header('cross-origin-resource-policy', 'cross-origin')
    if (corsCredentials) reply.header('access-control-allow-credentials', 'true')
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) {
      reply.header('access-control-expose-headers', exposed)
      return false
    }
    const asked = headers['access-control-request-headers']
    reply.header('access-control-allow-methods', methods).header('access-control-max-age', maxAge)
    if (asked !== undefined && headerNames.test(asked)) reply.header('access-control-allow-headers', asked)
    return true
  }
}
