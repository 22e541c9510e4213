import { replyAgain } from '../../cache/kept-reply.ts'
import type { CacheHit, Outcome } from '../../model/call.ts'
import { maybeJson } from '../../model/maybe-json.ts'
import type { Target } from '../../providers/registry.ts'
import type { Recorder } from '../../recorder/recorder.ts'
import type { FoundEntry } from '../../store/cache-entries.ts'
import type { CallWatcher } from '../../telemetry/watch.ts'
import type { Question } from '../attempts.ts'
import type { Client } from '../client.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import { standingHeaders } from '../limit-headers.ts'
import { watchedCall } from '../live-call.ts'

interface Found {
  readonly recorder: Recorder
  readonly telemetry: CallWatcher
  readonly entry: FoundEntry & { readonly similarity?: number }
  readonly hit: CacheHit
  /** Seconds. */
  readonly age: number
}

interface Asked {
  readonly question: Question
  /** Who would have been asked. */
  readonly target: Target
  readonly request: GatewayRequest
  readonly operation: string
  /** Of the look for an answer, in milliseconds of this process. */
  readonly startedAt: number
}

/** What a call took that no provider answered. */
const noUsage = { inputTokens: 0, outputTokens: 0, cacheReadInputTokens: 0, reasoningOutputTokens: 0 }

/**
 * Gives an answer that is there already: recorded whole as a call of its own, in one transaction, then sent. Nobody is asked,
 * so there is no intent to be found after a crash: either the call is on record or nobody was told anything.
 * @returns false when what is there is no reply to this request
 * @throws SteleError as beginning and settling a call do
 */
export async function relayCached(
  { recorder, telemetry, entry, hit, age }: Found,
  { question, target, request, operation, startedAt }: Asked,
  client: Client,
): Promise<boolean> {
  const { callId, userId, apiKeyId, conversationId, claim } = question
  const { provider, model } = target
  const call = { callId, createdAt: Date.now() }
  const text = replyAgain(operation, entry.text, call)
  const value = maybeJson(text)
  const rendition = request.render?.()
  const reply = rendition === undefined ? request.readReply(value) : rendition.addWhole(value)
  if (reply === undefined) return false
  const { inputTokens, outputTokens, costNanousd } = entry.made
  const outcome: Outcome = {
    status: 'cached',
    httpStatus: 200,
    contentType: 'application/json',
    body: operation === 'chat' ? text : Buffer.from(text),
    reply: { ...reply, usage: noUsage },
    costNanousd: 0,
    saved: {
      hit,
      inputTokens: inputTokens ?? reply.usage.inputTokens,
      outputTokens: outputTokens ?? reply.usage.outputTokens,
      nanousd: costNanousd,
    },
    latencyMs: performance.now() - startedAt,
    response: rendition?.end(),
  }
  const recorded = await recorder.record(
    {
      ...request.recording,
      sent: undefined,
      callId,
      groupId: callId,
      userId,
      apiKeyId,
      provider: provider.name,
      requestModel: model,
      body: request.body,
      conversationId,
      claim,
      createdAt: call.createdAt,
    },
    request.forStorage === undefined ? outcome : await request.forStorage(outcome),
    { isAsked: true, isWatched: true },
  )
  const latencyMs = Math.round(performance.now() - startedAt)
  client.header('x-stele-call-id', callId)
  client.header('x-stele-cache', headerOf(hit, age, entry.similarity))
  for (const [name, text] of Object.entries(standingHeaders(recorded.limits))) client.header(name, text)
  if (recorded.conversationId !== undefined) client.header('x-stele-conversation', recorded.conversationId)
  if (request.stream) {
    client.startStream({})
    client.endStream(rendition?.ending() ?? request.asEvents(value, call))
  } else client.sendWhole(rendition?.whole() ?? text, {})
  // It is on record: who counts can wait, who asked need not.
  const facts = { callId, provider: provider.name, model, status: outcome.status, hit, latencyMs }
  client.log.info(facts, 'call')
  const place = { callId, conversationId: recorded.conversationId ?? '', requestModel: model }
  const watched = watchedCall(place, { target, request, client })
  telemetry.watch({ ...watched, address: undefined, startedAt: call.createdAt })({ ...outcome, latencyMs })
  return true
}

function headerOf(hit: CacheHit, age: number, similarity: number | undefined): string {
  const nearness = similarity === undefined ? '' : `; similarity=${similarity.toFixed(4)}`
  return `${hit === 'exact' ? 'hit' : hit}; age=${age}${nearness}`
}
