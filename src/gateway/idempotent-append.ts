import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'
import type { IdempotencyClaim } from '../model/call.ts'
import type { Stele } from '../stele.ts'
import { idempotencyKeyStore } from '../store/idempotency-keys.ts'
import { idempotencyKeyOf } from './idempotency.ts'
import { inClientsTerms } from './store-failure.ts'

interface Adding {
  readonly userId: string
  /** Where it is added, which tells one request from another together with its body. */
  readonly target: string
}

/** Lets what clients add to their conversations be sent again under its `Idempotency-Key` without being added twice. */
export function idempotentAppends(
  { database, hashes }: Pick<Stele, 'database' | 'hashes'>,
  { idempotencyTtl }: Pick<Config, 'idempotencyTtl'>,
) {
  const keys = idempotencyKeyStore({ kysely: database.prompt })

  /** The id of what a key stands for; undefined when it is free. */
  const madeUnder = async (
    userId: string,
    { keyHash, requestHash }: IdempotencyClaim,
  ): Promise<string | undefined> => {
    const holder = await inClientsTerms(database)(keys.find(userId, keyHash, Date.now()))
    if (holder !== undefined && holder.requestHash !== requestHash)
      throw new SteleError('idempotency_key_reused', {}, { param: 'idempotency-key' })
    return holder?.callId
  }

  /**
   * Adds by `make`, which takes the key, or shows by `repeat` what was added under it before.
   * @throws SteleError idempotency_key_reused, invalid_value, and whatever the two raise
   */
  return async <T>(
    request: FastifyRequest<{ Body: Buffer | undefined }>,
    reply: FastifyReply,
    { userId, target }: Adding,
    make: (claim: IdempotencyClaim | undefined) => Promise<T>,
    repeat: (madeId: string) => Promise<T>,
  ): Promise<T> => {
    const key = idempotencyKeyOf(request.raw)
    if (key === undefined) return make(undefined)
    const claim = {
      keyHash: hashes.idempotencyKey(key),
      requestHash: hashes.idempotentRequest(target, request.body?.toString('utf8') ?? ''),
      expiresAt: Date.now() + Math.round(idempotencyTtl * 1000),
    }
    const shown = async (id: string): Promise<T> => {
      reply.header('idempotent-replayed', 'true')
      return repeat(id)
    }
    const known = await madeUnder(userId, claim)
    if (known !== undefined) return shown(known)
    try {
      return await make(claim)
    } catch (error) {
      // Whoever took the key meanwhile has added what this was to add, and may be what is in its way.
      const made = error instanceof SteleError ? await madeUnder(userId, claim) : undefined
      if (made === undefined) throw error
      return shown(made)
    }
  }
}
