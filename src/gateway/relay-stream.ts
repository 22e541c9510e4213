import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { errorBody, SteleError } from '../errors.ts'
import { isFields } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import { StreamedReply } from '../model/stream-reply.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import { limited } from './limited-body.ts'
import type { LiveCall } from './live-call.ts'
import { done, isUsageOnly, streamHeaders, withBlankLine } from './stream-events.ts'

/** How long a provider may take to end a stream after its last event, in milliseconds; its connection is then kept. */
const lingerFor = 1_000

/**
 * Relays a streamed reply event by event, byte for byte. The last event, `[DONE]`, is held until the call is settled:
 * to an OpenAI client a stream without it is not complete.
 */
export async function relayStream(
  call: LiveCall,
  response: ProviderResponse,
  reply: FastifyReply,
  { hidesUsage, replyLimit }: { hidesUsage: boolean; replyLimit: number },
): Promise<FastifyReply> {
  const { raw } = startStream(reply, response)
  const transcript: Uint8Array[] = []
  const streamed = new StreamedReply()
  const received = () => ({
    httpStatus: response.status,
    contentType: response.contentType,
    body: Buffer.concat(transcript),
    reply: streamed.reply(),
  })
  try {
    const body = limited(call, response.body, replyLimit)
    const ending = await forward(call, body, raw, transcript, streamed, hidesUsage)
    await call.settle({ status: 'completed', ...received() })
    raw.end(ending)
  } catch (error) {
    const isSettled =
      error instanceof SteleError && (error.code === 'store_unavailable' || error.code === 'call_orphaned')
    const known = isSettled ? error : await call.settleFailure(error, received()).catch(asStoreFailure)
    // No [DONE] after this: clients must not take what they have for the whole reply.
    raw.end(`data: ${JSON.stringify(errorBody(known))}\n\n`)
  }
  return reply
}

function startStream(reply: FastifyReply, response: ProviderResponse): FastifyReply {
  reply.hijack()
  const headers = {
    ...reply.getHeaders(),
    ...response.headers,
    ...streamHeaders,
  }
  reply.raw.writeHead(200, headers as Record<string, string>)
  // With the first event when that is there already, else without waiting for it.
  setImmediate(() => reply.raw.flushHeaders())
  return reply
}

/** Passes events on until the stream ends; returns the last event, not passed on. */
async function forward(
  call: LiveCall,
  body: AsyncIterable<Uint8Array>,
  raw: ServerResponse,
  transcript: Uint8Array[],
  streamed: StreamedReply,
  hidesUsage: boolean,
): Promise<Buffer> {
  const { signal } = call.abort
  const splitter = new SseSplitter()
  let ending: Buffer | undefined
  const pass = async (events: readonly Buffer[]): Promise<void> => {
    const passed: Buffer[] = []
    try {
      for (const event of events) {
        const data = ending === undefined ? eventData(event) : undefined
        if (data === '[DONE]') ending = event
        else if (
          ending === undefined &&
          (data === undefined || takeChunk(call, streamed, data, hidesUsage))
        ) {
          passed.push(event)
        }
      }
    } finally {
      // What came before an event that is broken was good.
      if (passed.length > 0)
        await write(raw, passed.length === 1 ? (passed[0] ?? done) : Buffer.concat(passed), signal)
    }
  }
  try {
    for await (const chunk of untilSilent(body, () => ending !== undefined)) {
      call.firstChunkArrived()
      transcript.push(chunk)
      await pass(splitter.push(chunk))
    }
    await pass(splitter.end().map(withBlankLine))
  } catch (error) {
    // Whatever happens to the connection after the last event, the reply was whole.
    if (ending === undefined) throw error
  }
  // A reply that came whole is whole, whoever has left meanwhile.
  if (ending !== undefined) return ending
  signal.throwIfAborted()
  if (!streamed.isFinished) throw truncated(call, 'it ended without a finish reason')
  return done
}

/** The chunks of a body; once its last event is there, only those that follow at once. */
async function* untilSilent(
  body: AsyncIterable<Uint8Array>,
  isDone: () => boolean,
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]()
  let timer: NodeJS.Timeout | undefined
  const silence = Promise.withResolvers<undefined>()
  try {
    for (;;) {
      if (isDone()) timer ??= setTimeout(() => silence.resolve(undefined), lingerFor)
      const next = await (timer === undefined
        ? chunks.next()
        : Promise.race([chunks.next(), silence.promise]))
      if (next === undefined || next.done === true) return
      yield next.value
    }
  } finally {
    clearTimeout(timer)
    // Not awaited: it waits for a chunk that may never come.
    chunks.return?.().catch(() => undefined)
  }
}

/** Notes what a chunk says. False when the client must not see it. */
function takeChunk(call: LiveCall, streamed: StreamedReply, data: string, hidesUsage: boolean): boolean {
  let chunk: unknown
  try {
    chunk = JSON.parse(data)
  } catch (cause) {
    throw truncated(call, 'an event is not JSON', cause)
  }
  if (!isFields(chunk)) throw truncated(call, 'an event is not an object')
  if (chunk['error'] !== undefined && chunk['error'] !== null) throw truncated(call, 'it reported an error')
  streamed.add(chunk)
  return !(hidesUsage && isUsageOnly(chunk))
}

/** Writes, and waits while the client reads slower than the provider sends. */
async function write(raw: ServerResponse, bytes: Buffer, signal: AbortSignal): Promise<void> {
  if (raw.write(bytes) || raw.destroyed || signal.aborted) return
  await new Promise<void>(resolve => {
    const go = (): void => {
      raw.off('drain', go)
      raw.off('close', go)
      signal.removeEventListener('abort', go)
      resolve()
    }
    raw.on('drain', go)
    raw.on('close', go)
    signal.addEventListener('abort', go)
  })
}

function truncated(call: LiveCall, reason: string, cause?: unknown): SteleError {
  call.abort.signal.throwIfAborted()
  return new SteleError('provider_stream_truncated', { provider: call.provider, reason }, { cause })
}

function asStoreFailure(error: unknown): SteleError {
  return error instanceof SteleError ? error : new SteleError('internal_error', {}, { cause: error })
}
