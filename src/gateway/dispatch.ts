import type { FastifyBaseLogger } from 'fastify'
import type { Passage } from '../providers/circuit-breaker.ts'
import { wasNeverAsked } from '../providers/never-asked.ts'
import { isEventStream, type ProviderResponse } from '../providers/provider.ts'
import type { Target } from '../providers/registry.ts'
import { type AttemptFailure, isFromThisSide, isOutage } from './attempt-failure.ts'
import type { Client } from './client.ts'
import type { GatewayRequest } from './gateway-request.ts'
import { withoutLimits } from './limit-headers.ts'
import type { LiveCall } from './live-call.ts'
import { relayStream } from './relay-stream.ts'
import { relayWhole } from './relay-whole.ts'

export interface Dispatch {
  readonly request: GatewayRequest
  readonly target: Target
  readonly userId: string
  readonly client: Client
  /** Bytes of the provider's reply. */
  readonly replyLimit: number
  /** Called when the first part of a reply has been passed on. */
  readonly onAnswering: () => void
}

/** Asks the target of a begun call and passes its reply on. It is settled then. Returns how it failed, if it did. */
export async function dispatch(
  call: LiveCall,
  { request, target, userId, client, replyLimit, onAnswering }: Dispatch,
): Promise<AttemptFailure | undefined> {
  let response: ProviderResponse
  let isAsked = false
  try {
    client.signal.throwIfAborted()
    isAsked = true
    response = withoutLimits(await request.send(target, userId, client.signal), call.begun.limits)
  } catch (error) {
    return call.fail(error, { isAsked: isAsked && !wasNeverAsked(error) })
  }
  const isStream = response.status < 400 && isEventStream(response.contentType)
  return isStream && request.stream
    ? relayStream(call, response, client, { hidesUsage: request.hidesUsage, replyLimit, onAnswering })
    : relayWhole(call, response, client, request, { replyLimit })
}

/** Makes a call that a breaker has let through, and lets it know how that went. */
export async function through(
  passage: Passage,
  { provider, log }: { readonly provider: string; readonly log: FastifyBaseLogger },
  call: (onAnswering: () => void) => Promise<AttemptFailure | undefined>,
): Promise<AttemptFailure | undefined> {
  const answersAgain = (isClosed: boolean): void => {
    if (isClosed) log.info({ provider }, 'the provider answers again')
  }
  try {
    const failure = await call(() => answersAgain(passage.answering()))
    if (failure !== undefined && isFromThisSide(failure)) passage.abandoned()
    else if (failure === undefined || !isOutage(failure)) answersAgain(passage.answered())
    else if (passage.failed()) log.warn({ provider }, 'the provider fails and is not asked for a while')
    return failure
  } catch (error) {
    passage.abandoned()
    throw error
  }
}
