import type { FastifyBaseLogger } from 'fastify'
import { normalized } from '../../cache/vector-index.ts'
import { SteleError } from '../../errors.ts'
import { newId } from '../../ids.ts'
import { maybeJson } from '../../model/maybe-json.ts'
import { parsePlainRequest } from '../../model/plain-request.ts'
import { isFields } from '../../model/reply.ts'
import type { Target } from '../../providers/registry.ts'
import { type AttemptParts, answerClient } from '../attempts.ts'
import { CollectingClient } from '../collecting-client.ts'
import { plainRequest } from '../gateway-request.ts'

/** Whose words are to be compared, and through which key they came. */
export interface Embedding {
  readonly said: string
  readonly userId: string
  readonly apiKeyId: string | undefined
  readonly log: FastifyBaseLogger
  readonly signal: AbortSignal
}

/**
 * What a model makes of what was said: a call of its own like any other, on record with what it took. Undefined when it does
 * not answer in time.
 * @throws SteleError whatever the call comes to
 */
export async function embed(
  parts: AttemptParts,
  { model, targets, timeout }: { model: string; targets: readonly Target[]; timeout: number },
  { said, userId, apiKeyId, log, signal }: Embedding,
): Promise<Float32Array | undefined> {
  const body = JSON.stringify({ model, input: said, encoding_format: 'float' })
  const abort = new AbortController()
  const client = new CollectingClient({ abort, log, header: () => undefined })
  const leave = (): void => abort.abort(new SteleError('client_closed_request'))
  const timer = setTimeout(leave, timeout)
  signal.addEventListener('abort', leave, { once: true })
  try {
    await answerClient(
      parts,
      {
        callId: newId('call'),
        request: plainRequest(parsePlainRequest('embeddings', body)),
        targets,
        userId,
        apiKeyId,
        conversationId: undefined,
        claim: undefined,
      },
      client,
    )
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', leave)
  }
  return vectorIn(client.reply)
}

function vectorIn(reply: string | Uint8Array | undefined): Float32Array | undefined {
  const value = maybeJson(typeof reply === 'string' ? reply : Buffer.from(reply ?? []).toString('utf8'))
  const list = isFields(value) && Array.isArray(value['data']) ? value['data'] : []
  const vector: unknown = isFields(list[0]) ? list[0]['embedding'] : undefined
  const isVector = Array.isArray(vector) && vector.every(each => typeof each === 'number')
  return isVector ? normalized(vector) : undefined
}
