import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { Config } from '../config.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { unlessAborted } from '../in-time.ts'
import type { IdempotencyClaim } from '../model/call.ts'
import type { Stele } from '../stele.ts'
import { promptly } from '../store/contents.ts'
import { idempotencyKeyStore, type KeyedCall, leavesKeyFree } from '../store/idempotency-keys.ts'
import type { GatewayState } from './app.ts'
import type { GatewayRequest } from './gateway-request.ts'
import { inClientsTerms } from './store-failure.ts'

/** Headers that tell of calls of this request, which are void when the reply comes of others. */
const aboutCalls = ['x-stele-attempts', 'x-stele-conversation', 'x-stele-cache']

/** Pauses between two looks at a call that is still under way, in milliseconds. */
const firstPause = 20
const longestPause = 500

const printable = /^[\x20-\x7e]{1,255}$/

/** What a key is claimed for. */
export interface KeyedRequest {
  /** The id of the first call made for it. */
  readonly callId: string
  readonly userId: string
  readonly request: GatewayRequest
  /** The conversation that it names. */
  readonly conversationId: string | undefined
}

/** What of it tells one request from another. */
type AskedOnce = Omit<KeyedRequest, 'request'> & {
  readonly request: { readonly body: { readonly text: string; readonly operation?: string } }
}

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
 * Makes one call for one key. A repetition of an answered request gets the record; one of a request that is under way
 * waits for it; one of a request that came to nothing makes a new call.
 */
export function createIdempotency(
  { database, hashes }: Stele,
  state: GatewayState,
  { idempotencyTtl, idempotencyWait }: Pick<Config, 'idempotencyTtl' | 'idempotencyWait'>,
) {
  const keys = idempotencyKeyStore(promptly(database))

  /** The call that holds the key, unless it leaves it free. */
  const holderOf = async (
    userId: string,
    claim: IdempotencyClaim,
    signal: AbortSignal,
  ): Promise<KeyedCall | undefined> => {
    const found = inClientsTerms(database)(keys.find(userId, claim.keyHash, Date.now()))
    const holder = await unlessAborted(found, signal)
    if (holder === undefined) return undefined
    if (holder.requestHash !== claim.requestHash)
      throw new SteleError('idempotency_key_reused', {}, { param: 'idempotency-key' })
    return holder.status !== 'pending' && leavesKeyFree(holder.status) ? undefined : holder
  }

  /**
   * Waits until the key's call has ended; without a deadline, not even that. Returns it when it was answered, undefined when
   * the key is free.
   */
  const whenEnded = async (
    userId: string,
    claim: IdempotencyClaim,
    deadline: number | undefined,
    signal: AbortSignal,
  ): Promise<KeyedCall | undefined> => {
    for (let wait = firstPause; ; wait = Math.min(wait * 2, longestPause)) {
      const holder = await holderOf(userId, claim, signal)
      if (holder?.status !== 'pending' || deadline === undefined) return holder
      if (performance.now() + wait > deadline)
        throw new SteleError('idempotency_key_in_use', {}, { param: 'idempotency-key' })
      await pause(wait, undefined, { signal })
    }
  }

  /** The same for a client that may leave, in a gateway that may have to stop. */
  const wait = async (
    userId: string,
    claim: IdempotencyClaim,
    deadline: number | undefined,
    reply: ServerResponse,
  ): Promise<KeyedCall | undefined> => {
    const waiting = new AbortController()
    const leave = (): void => waiting.abort()
    reply.once('close', leave)
    state.underWay.add(waiting)
    try {
      return await whenEnded(userId, claim, deadline, waiting.signal)
    } catch (error) {
      if (!waiting.signal.aborted || error instanceof SteleError) throw error
      throw new SteleError(reply.destroyed ? 'client_closed_request' : 'shutting_down')
    } finally {
      reply.off('close', leave)
      state.underWay.delete(waiting)
      state.events.emit('ended')
    }
  }

  return {
    /**
     * Answers a request by `make`, which begins its calls with the claim, or by `repeat`, from the call that its key stands for.
     * What is made after the key was lost to another request is a new question, with an id of its own: the first call of
     * the one before may be on record as failed, and nothing can be added to it, or may never have been begun.
     * @throws SteleError idempotency_key_reused, idempotency_key_in_use, and whatever the two raise
     */
    async once<T>(
      key: string | undefined,
      { callId, userId, request: { body }, conversationId }: AskedOnce,
      reply: FastifyReply,
      make: (callId: string, claim: IdempotencyClaim | undefined) => Promise<T>,
      repeat: (call: KeyedCall) => Promise<T>,
      { evenUnderWay = false }: { evenUnderWay?: boolean } = {},
    ): Promise<T> {
      if (key === undefined) return make(callId, undefined)
      const claim = {
        keyHash: hashes.idempotencyKey(key),
        requestHash: hashes.idempotentRequest(body.operation ?? conversationId, body.text),
        expiresAt: Date.now() + Math.round(idempotencyTtl * 1000),
      }
      const deadline = performance.now() + idempotencyWait * 1000
      for (let nextId = callId; ; nextId = newId('call')) {
        const answered = await wait(userId, claim, evenUnderWay ? undefined : deadline, reply.raw)
        if (answered !== undefined) return repeat(answered)
        try {
          return await make(nextId, claim)
        } catch (error) {
          // Another request took the key in between: whatever it does now is to be seen.
          if (!isInUse(error) || performance.now() > deadline) throw error
          for (const name of aboutCalls) reply.removeHeader(name)
        }
      }
    },
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof SteleError && error.code === 'idempotency_key_in_use'
}
