import type { FastifyRequest } from 'fastify'
import { contentModeOf } from '../../store/content-mode.ts'
import { promptly } from '../../store/contents.ts'
import type { CachedAnswers } from '../attempts.ts'
import { contentAccess } from '../content-access.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import type { Masking } from '../masking/masking.ts'
import type { AnsweringParts } from '../routes/answering.ts'
import { keyOf } from '../routes/request-parts.ts'
import { storeFailure } from '../store-failure.ts'
import { cachePolicy } from './cache-policy.ts'
import { QuestionCache } from './question-cache.ts'

/** Whose question it is. */
export interface Asking {
  readonly userId: string
  readonly masking: Masking | undefined
  /** Left out where it is made later, and content is kept of it. */
  readonly request?: GatewayRequest
}

/** Says of a request whether an answer that is there may do, or its own may be given to others. */
export function createCaching(parts: AnsweringParts) {
  const { stele, settings } = parts
  const content = contentAccess(stele)
  const reading = promptly(stele.database)
  /** @throws SteleError invalid_value, store_unavailable */
  return async (
    received: FastifyRequest,
    { userId, masking, request }: Asking,
  ): Promise<CachedAnswers | undefined> => {
    const key = keyOf(received)
    const policy = cachePolicy(received.headers, key.cache, settings)
    if (policy === undefined) return undefined
    if (request !== undefined && 'store' in request.body && request.body.store === false) return undefined
    // Whoever may not read what is stored of a user must not learn by asking what was asked before.
    if (!content.mayReuse(received, userId)) return undefined
    // While the database is away nothing is found, and nobody need wait to learn that.
    if (stele.recorder.spool?.isSpooling === true) return undefined
    const mode = await contentModeOf(reading, userId, key.contentMode).catch(cause => {
      const failure = storeFailure(stele.database, cause)
      received.log.warn({ err: failure }, 'whether an answer may be cached cannot be told')
      return 'hashed' as const
    })
    if (mode === 'hashed') return undefined
    return new QuestionCache(parts, { policy, contentMode: mode, masking })
  }
}
