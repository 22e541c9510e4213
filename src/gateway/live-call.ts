import type { FastifyBaseLogger } from 'fastify'
import { SteleError } from '../errors.ts'
import type { BegunCall, Outcome, RouteMode, SettledCall } from '../model/call.ts'
import type { Target } from '../providers/registry.ts'
import type { Recorder } from '../recorder/recorder.ts'
import type { CallWatch, WatchedCall } from '../telemetry/watch.ts'
import type { AttemptFailure, ProviderAnswer } from './attempt-failure.ts'
import type { Client } from './client.ts'
import type { GatewayRequest } from './gateway-request.ts'
import type { Rendition } from './rendition.ts'

export interface LiveCallParts {
  readonly recorder: Pick<Recorder, 'settle'>
  readonly log: FastifyBaseLogger
  readonly client: Client
  readonly provider: string
  readonly routeMode: RouteMode | undefined
  readonly rendition: Rendition | undefined
  /** Told how it ended, once that is on record or cannot be. */
  readonly watch: CallWatch
  /** Makes of an outcome what is kept of it, where that is another text. */
  readonly forStorage?: ((outcome: Outcome) => Promise<Outcome>) | undefined
  /** Told of a whole reply that is on record, and what is kept of it. */
  readonly onCompleted?: ((outcome: Outcome, kept: Outcome) => void) | undefined
}

/** A call that a client waits for: begun, about to be dispatched, to be settled whatever happens. */
export class LiveCall {
  readonly begun: BegunCall
  readonly provider: string
  /** Set when the client gets the reply in another form. */
  readonly rendition: Rendition | undefined
  readonly #parts: LiveCallParts
  readonly #startedAt = performance.now()
  #firstChunkAt: number | undefined

  constructor(begun: BegunCall, parts: LiveCallParts) {
    this.begun = begun
    this.provider = parts.provider
    this.rendition = parts.rendition
    this.#parts = parts
  }

  get signal(): AbortSignal {
    return this.#parts.client.signal
  }

  firstChunkArrived(): void {
    this.#firstChunkAt ??= performance.now()
  }

  /**
   * Settles a whole reply. One that the store refuses is settled as failed, so that the call is not left open.
   * @throws SteleError store_unavailable, call_orphaned, call_id_taken, record_rejected
   */
  async complete(outcome: Omit<Outcome, 'status'>): Promise<SettledCall> {
    try {
      return await this.#settle({ ...outcome, status: 'completed', response: this.rendition?.end() })
    } catch (error) {
      const isOver = error instanceof SteleError && settledNoMore.has(error.code)
      // What failed first is told, whatever becomes of the second.
      if (!isOver) await this.fail(error, outcome).catch(() => undefined)
      throw error
    }
  }

  /**
   * Settles a call that ended without a whole reply: as aborted when it was ended from this side, else as failed.
   * @param partial what came of the reply
   */
  async fail(
    error: unknown,
    partial: Omit<Outcome, 'status'>,
    { isTold = false, answer }: { isTold?: boolean; answer?: ProviderAnswer | undefined } = {},
  ): Promise<AttemptFailure> {
    const { client } = this.#parts
    const { aborted: isAborted, reason } = client.signal
    // Only the shutdown gives no reason of its own.
    const endedHere = reason instanceof SteleError ? reason : new SteleError('shutting_down')
    const known = isAborted ? endedHere : asKnown(error)
    await this.#settle({
      ...partial,
      status: isAborted ? 'aborted' : 'failed',
      errorCode: known.code,
      errorMessage: known.message,
      // With a part of it told, or nobody left to tell, there will be no other call.
      response: isTold || isAborted ? this.rendition?.end(known, answer?.value) : undefined,
    })
    return { callId: this.begun.callId, error: known, isTold, answer }
  }

  async #settle(outcome: Outcome): Promise<SettledCall> {
    const { recorder, log, routeMode, watch } = this.#parts
    const latencyMs = performance.now() - this.#startedAt
    const timeToFirstChunkMs =
      this.#firstChunkAt === undefined ? undefined : this.#firstChunkAt - this.#startedAt
    // Were another end on record, this one must not be sent as if it were.
    const { forStorage, onCompleted } = this.#parts
    const kept = forStorage === undefined ? outcome : await keptOf(outcome, forStorage)
    const took = { latencyMs, timeToFirstChunkMs }
    let settled: SettledCall
    try {
      settled = await recorder.settle(this.begun, { ...kept, ...took }, { once: true, isWatched: true })
    } catch (error) {
      const { code } = asKnown(error)
      if (settledNoMore.has(code)) watch({ ...outcome, ...took, status: 'failed', errorCode: code })
      throw error
    }
    watch({ ...outcome, ...took, costNanousd: settled.costNanousd })
    log.info(
      {
        callId: this.begun.callId,
        routeMode,
        provider: this.provider,
        model: this.begun.requestModel,
        status: outcome.status,
        httpStatus: outcome.httpStatus,
        errorCode: outcome.errorCode,
        latencyMs: Math.round(latencyMs),
      },
      'call',
    )
    if (outcome.status === 'completed') onCompleted?.(outcome, kept)
    return settled
  }
}

/**
 * What is kept of an outcome. Of one that cannot be put in the form in which it may be kept, only that it came to nothing.
 * @throws SteleError masking_unavailable for one that went well
 */
async function keptOf(
  outcome: Outcome,
  forStorage: NonNullable<LiveCallParts['forStorage']>,
): Promise<Outcome> {
  try {
    return await forStorage(outcome)
  } catch (error) {
    if (outcome.status === 'completed') throw error
    const { body: _, reply: __, response: ___, document: ____, ...facts } = outcome
    return { ...facts, reply: { finishReasons: [], usage: outcome.reply?.usage ?? {} } }
  }
}

/** Failures to settle after which settling otherwise is of no use. */
const settledNoMore: ReadonlySet<string> = new Set(['store_unavailable', 'call_orphaned', 'call_id_taken'])

/** What may be told of a call to those who count. */
export function watchedCall(
  {
    callId,
    conversationId,
    requestModel: model,
  }: Pick<BegunCall, 'callId' | 'conversationId' | 'requestModel'>,
  { target, request, client }: { target: Target; request: GatewayRequest; client: Client },
): WatchedCall {
  const { name: provider, address } = target.provider
  return {
    callId,
    conversationId: conversationId || undefined,
    provider,
    address,
    model,
    operation: request.recording?.operation ?? 'chat',
    traceHeaders: client.traceHeaders,
  }
}

/** Anything thrown, in the table's terms. */
export function asKnown(error: unknown): SteleError {
  return error instanceof SteleError ? error : new SteleError('internal_error', {}, { cause: error })
}
