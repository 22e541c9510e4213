import type { FastifyBaseLogger } from 'fastify'
import { normalized } from '../../cache/vector-index.ts'
import { SteleError } from '../../errors.ts'
import { newId } from '../../ids.ts'
import { maybeJson } from '../../model/maybe-json.ts'
import { parsePlainRequest } from '../../model/plain-request.ts'
import { isFields } from '../../model/reply.ts'
import type { Target } from '../../providers/registry.ts'
import { type AttemptParts, answerClient } from '../attempts.ts'
import type { Client } from '../client.ts'
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
  const client = new ReplyCollector(log)
  const leave = (): void => client.abort.abort(new SteleError('client_closed_request'))
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

function vectorIn(reply: string | undefined): Float32Array | undefined {
  const value = maybeJson(reply ?? '')
  const list = isFields(value) && Array.isArray(value['data']) ? value['data'] : []
  const vector: unknown = isFields(list[0]) ? list[0]['embedding'] : undefined
  const isVector = Array.isArray(vector) && vector.every(each => typeof each === 'number')
  return isVector ? normalized(vector) : undefined
}

/** A client within this process: takes a reply that comes whole. */
class ReplyCollector implements Client {
  readonly abort = new AbortController()
  readonly log: FastifyBaseLogger
  readonly isStreaming = false
  callId: string | undefined
  reply: string | undefined

  constructor(log: FastifyBaseLogger) {
    this.log = log
  }

  get signal(): AbortSignal {
    return this.abort.signal
  }

  header(name: string, value: string): void {
    if (name === 'x-stele-call-id') this.callId = value
  }

  sendWhole(body: string | Buffer | Uint8Array): void {
    this.reply = typeof body === 'string' ? body : Buffer.from(body).toString('utf8')
  }

  startStream(): void {}

  async write(): Promise<void> {}

  endStream(): void {}

  failStream(): void {}

  tell(): void {}

  release(): void {}
}
