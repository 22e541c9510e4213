import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'
import type { BegunCall, IdempotencyClaim } from '../model/call.ts'
import type { ChatRequest } from '../model/chat-request.ts'
import type { BeginInput } from '../recorder/recorder.ts'
import type { Stele } from '../stele.ts'
import { idempotencyKeyStore, type KeyedCall, leavesKeyFree } from '../store/idempotency-keys.ts'
import type { GatewayState } from './app.ts'
import { storeFailure } from './store-failure.ts'

/** Pauses between two looks at a call that is still under way, in milliseconds. */
const firstPause = 20
const longestPause = 500

const printable = /^[\x20-\x7e]{1,255}$/

/** A call begun now, or the one that an earlier request under the same key made, answered already. */
export type Begun = { readonly call: BegunCall } | { readonly recorded: KeyedCall }

type Input = BeginInput & { readonly body: ChatRequest }

/**
 * The `Idempotency-Key` of a request; undefined without one.
 * @throws SteleError invalid_value
 */
export function idempotencyKeyOf(request: IncomingMessage): string | undefined {
  if (request.headers['idempotency-key'] === undefined) return undefined
  const [key, second] = request.headersDistinct['idempotency-key'] ?? []
  if (key === undefined || second !== undefined || !printable.test(key)) {
    throw new SteleError(
      'invalid_value',
      { name: 'Idempotency-Key', reason: 'send it once, with 1 to 255 printable ASCII characters' },
      { param: 'idempotency-key' },
    )
  }
  return key
}

/**
 * Begins calls so that one key makes one call. A repetition of an answered request gets the record; one of a request
 * that is under way waits for it; one of a request that came to nothing makes a new call.
 */
export function createIdempotency(
  { database, hashes, recorder }: Stele,
  state: GatewayState,
  { idempotencyTtl, idempotencyWait }: Pick<Config, 'idempotencyTtl' | 'idempotencyWait'>,
) {
  const keys = idempotencyKeyStore(database)

  const claimOf = (key: string, { body, conversationId }: Input): IdempotencyClaim => ({
    keyHash: hashes.idempotencyKey(key),
    requestHash: hashes.idempotentRequest(conversationId, body.text),
    expiresAt: Date.now() + Math.round(idempotencyTtl * 1000),
  })

  /** The call that holds the key, unless it leaves it free. */
  const holderOf = async (userId: string, claim: IdempotencyClaim): Promise<KeyedCall | undefined> => {
    const holder = await keys
      .find(userId, claim.keyHash, Date.now())
      .catch(cause => Promise.reject(storeFailure(database, cause)))
    if (holder !== undefined && holder.requestHash !== claim.requestHash)
      throw new SteleError('idempotency_key_reused', {}, { param: 'idempotency-key' })
    const isPending = holder?.status === 'pending'
    return isPending || (holder !== undefined && !leavesKeyFree(holder.status)) ? holder : undefined
  }

  const beginOnce = async (input: Input, claim: IdempotencyClaim, signal: AbortSignal): Promise<Begun> => {
    const deadline = performance.now() + idempotencyWait * 1000
    for (let wait = firstPause; ; wait = Math.min(wait * 2, longestPause)) {
      const holder = await holderOf(input.userId, claim)
      if (holder !== undefined && holder.status !== 'pending') return { recorded: holder }
      try {
        if (holder === undefined) return { call: await recorder.begin({ ...input, claim }) }
      } catch (error) {
        // Another request took the key in between: whatever it does now is to be seen.
        if (!isInUse(error)) throw error
      }
      if (performance.now() + wait > deadline)
        throw new SteleError('idempotency_key_in_use', {}, { param: 'idempotency-key' })
      await pause(wait, undefined, { signal })
    }
  }

  return {
    /**
     * Begins a call under a key, if the request has one.
     * @throws SteleError idempotency_key_reused, idempotency_key_in_use, and whatever beginning raises
     */
    async begin(key: string | undefined, input: Input, reply: ServerResponse): Promise<Begun> {
      if (key === undefined) return { call: await recorder.begin(input) }
      const waiting = new AbortController()
      const leave = (): void => waiting.abort()
      reply.once('close', leave)
      // It waits like a call that is under way, and ends like one when the gateway must stop.
      state.underWay.add(waiting)
      try {
        return await beginOnce(input, claimOf(key, input), waiting.signal)
      } catch (error) {
        if (!waiting.signal.aborted || error instanceof SteleError) throw error
        throw new SteleError(reply.destroyed ? 'client_closed_request' : 'shutting_down')
      } finally {
        reply.off('close', leave)
        state.underWay.delete(waiting)
        state.events.emit('ended')
      }
    },
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof SteleError && error.code === 'idempotency_key_in_use'
}
