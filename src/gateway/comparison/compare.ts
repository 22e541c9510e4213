import type { FastifyReply } from 'fastify'
import { errorBody, SteleError } from '../../errors.ts'
import { newId } from '../../ids.ts'
import type { PlacedCall } from '../../model/call.ts'
import { isFields } from '../../model/reply.ts'
import type { Target } from '../../providers/registry.ts'
import type { AttemptFailure } from '../attempt-failure.ts'
import type { AttemptParts } from '../attempts.ts'
import { HttpClient } from '../client.ts'
import { dispatch, through } from '../dispatch.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import { standingHeaders } from '../limit-headers.ts'
import { asKnown, LiveCall, watchedCall } from '../live-call.ts'
import { done } from '../stream-events.ts'
import { ComparedClient, labelOf, type ReplyLabel } from './compared-client.ts'
import { JointEnd } from './joint-end.ts'

/** One question to several models. */
export interface Comparing {
  /** The id of the first call, and with it of the comparison. */
  readonly callId: string
  /** Each model's request, and the target that is asked, once. */
  readonly asked: readonly Asked[]
  readonly userId: string
  readonly apiKeyId: string
  readonly conversationId: string | undefined
  readonly stream: boolean
}

export interface Asked {
  /** As the client named it. */
  readonly model: string
  readonly request: GatewayRequest
  readonly target: Target
}

/** A call of a comparison while it is under way. */
interface Compared extends Asked {
  readonly begun: PlacedCall
  readonly label: ReplyLabel
  readonly client: ComparedClient
}

/**
 * Compares: the intents of all calls are committed in one transaction before anybody is asked, their outcomes in one before the
 * client is told that any reply is complete. None of the replies is in the conversation then; see choose.ts.
 * @throws SteleError what the client is to be told; never once a stream has begun, which then tells it
 */
export async function compareModels(
  parts: AttemptParts,
  comparing: Comparing,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { state } = parts
  const client = new HttpClient(reply)
  state.underWay.add(client.abort)
  try {
    await run(parts, comparing, client)
  } catch (error) {
    const known = asKnown(error)
    if (!client.isStreaming) throw error
    client.log.error({ callId: client.callId, code: known.code, err: error }, 'request failed')
    client.failStream(known)
  } finally {
    state.underWay.delete(client.abort)
    state.events.emit('ended')
    client.release()
  }
  return reply
}

async function run(parts: AttemptParts, comparing: Comparing, client: HttpClient): Promise<void> {
  const { recorder } = parts.stele
  const calls = await recorder.beginAll(beginnings(comparing))
  const id = comparing.callId
  const conversationId = calls[0]?.conversationId
  client.header('x-stele-call-id', id)
  if (conversationId !== undefined) client.header('x-stele-conversation', conversationId)
  for (const [name, value] of Object.entries(standingHeaders(calls[0]?.limits))) client.header(name, value)
  const compared = calls.flatMap((begun, index): Compared[] => {
    const asked = comparing.asked[index]
    if (asked === undefined) return []
    const label = labelOf(begun, index, asked.model)
    return [{ ...asked, begun, label, client: new ComparedClient(client, label) }]
  })
  const told = (replies: readonly object[]): object => ({
    object: 'comparison',
    id,
    conversation_id: conversationId,
    replies,
  })
  if (comparing.stream) {
    client.startStream({})
    await client.write(event(told(compared.map(({ label }) => ({ ...label, status: 'in_progress' })))))
  }
  const joint = new JointEnd(recorder, calls)
  const ends = await Promise.allSettled(compared.map(one => ask(parts, comparing, joint, one)))
  const broken = ends.find(end => end.status === 'rejected')
  if (broken !== undefined) throw broken.reason
  const failures = ends.map(end => (end.status === 'fulfilled' ? end.value : undefined))
  const replies = compared.map(({ label, begun }, index) => {
    const failure = failures[index]
    const { status } = joint.outcomeOf(begun.callId) ?? {}
    return { ...label, status, error: failure === undefined ? null : errorOf(failure) }
  })
  const stopped = failures.find((_, index) => replies[index]?.status === 'aborted')
  if (stopped !== undefined) return endEarly(client, stopped.error)
  if (comparing.stream) client.endStream(Buffer.concat([event(told(replies)), done]))
  else client.sendWhole(withCompletions(told(replies), compared), {})
}

function beginnings({ callId: groupId, asked, userId, apiKeyId, conversationId }: Comparing) {
  return asked.map(({ request, target }, index) => ({
    callId: index === 0 ? groupId : newId('call'),
    groupId,
    routeMode: 'compare' as const,
    userId,
    apiKeyId,
    provider: target.provider.name,
    requestModel: target.model,
    body: request.body,
    sent: request.recording?.sent,
    sentText: request.recording?.sentText,
    conversationId,
  }))
}

/** Asks one of the models; its call is settled with the others. */
async function ask(
  parts: AttemptParts,
  { userId }: Comparing,
  joint: JointEnd,
  { begun, request, target, client }: Compared,
): Promise<AttemptFailure | undefined> {
  const provider = target.provider.name
  const call = new LiveCall(begun, {
    recorder: joint,
    log: client.log,
    client,
    provider,
    routeMode: 'compare',
    rendition: undefined,
    watch: parts.state.telemetry.watch(watchedCall(begun, { target, request, client })),
    forStorage: request.forStorage,
  })
  try {
    const passage = target.policy.breaker.enter()
    if (passage === undefined)
      return await call.fail(new SteleError('provider_unavailable', { provider }), {})
    const { replyLimit } = parts.settings
    return await through(passage, { provider, log: client.log }, onAnswering =>
      dispatch(call, { request, target, userId, client, replyLimit, onAnswering }),
    )
  } catch (error) {
    await joint.giveUp(begun, asKnown(error))
    throw error
  }
}

/** The client has left, or the gateway has to stop: what came until then is on record, and is no comparison. */
function endEarly(client: HttpClient, error: SteleError): void {
  if (!client.isStreaming) throw error
  client.failStream(error)
}

function event(value: object): Buffer {
  return Buffer.from(`data: ${JSON.stringify(value)}\n\n`)
}

/** What the client is told of a failure: the provider's own words when it refused in OpenAI's shape. */
function errorOf({ error, answer }: AttemptFailure): unknown {
  const value = isFields(answer?.value) ? answer.value['error'] : undefined
  const isTold = error.code === 'provider_error' && isFields(value) && typeof value['message'] === 'string'
  return isTold ? value : errorBody(error).error
}

/** The comparison as JSON text, each completion in it to the letter as its provider wrote it. */
function withCompletions(told: object, compared: readonly Compared[]): string {
  const { replies, ...facts } = told as { replies: readonly object[] }
  const texts = replies.map((reply, index) => {
    const whole = compared[index]?.client.whole
    return `${JSON.stringify(reply).slice(0, -1)},"completion":${whole?.toString('utf8') ?? 'null'}}`
  })
  return `${JSON.stringify(facts).slice(0, -1)},"replies":[${texts.join(',')}]}`
}
