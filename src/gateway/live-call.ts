import type { FastifyBaseLogger } from 'fastify'
import { SteleError } from '../errors.ts'
import type { BegunCall, Outcome, SettledCall } from '../model/call.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import type { Recorder } from '../recorder/recorder.ts'

/** A call that a client waits for: begun, about to be dispatched, to be settled whatever happens. */
export class LiveCall {
  readonly begun: BegunCall
  readonly provider: string
  readonly abort = new AbortController()
  readonly #recorder: Recorder
  readonly #log: FastifyBaseLogger
  readonly #startedAt = performance.now()
  #firstChunkAt: number | undefined

  constructor(recorder: Recorder, begun: BegunCall, provider: string, log: FastifyBaseLogger) {
    this.#recorder = recorder
    this.begun = begun
    this.provider = provider
    this.#log = log
  }

  /** @param why what to record when the client did not just leave */
  clientLeft(why = new SteleError('client_closed_request')): void {
    this.abort.abort(why)
  }

  /** Asks the provider. A failure to answer is settled before it is raised. */
  async dispatch(ask: () => Promise<ProviderResponse>): Promise<ProviderResponse> {
    try {
      this.abort.signal.throwIfAborted()
      return await ask()
    } catch (error) {
      throw await this.settleFailure(error, {})
    }
  }

  firstChunkArrived(): void {
    this.#firstChunkAt ??= performance.now()
  }

  async settle(outcome: Outcome): Promise<SettledCall> {
    const now = performance.now()
    const latencyMs = now - this.#startedAt
    const settled = await this.#recorder.settle(this.begun, {
      ...outcome,
      latencyMs,
      timeToFirstChunkMs: this.#firstChunkAt === undefined ? undefined : this.#firstChunkAt - this.#startedAt,
    })
    this.#log.info(
      {
        callId: this.begun.callId,
        provider: this.provider,
        model: this.begun.requestModel,
        status: outcome.status,
        httpStatus: outcome.httpStatus,
        errorCode: outcome.errorCode,
        latencyMs: Math.round(latencyMs),
      },
      'call',
    )
    return settled
  }

  /**
   * Settles a call that ended without a whole reply: as aborted when it was ended from this side, else as failed.
   * Returns the error that tells the client.
   */
  async settleFailure(error: unknown, partial: Outcome | Omit<Outcome, 'status'>): Promise<SteleError> {
    const { aborted: isAborted, reason } = this.abort.signal
    // Only the shutdown gives no reason of its own.
    const endedHere = reason instanceof SteleError ? reason : new SteleError('shutting_down')
    const known = isAborted ? endedHere : asKnown(error)
    await this.settle({
      ...partial,
      status: isAborted ? 'aborted' : 'failed',
      errorCode: known.code,
      errorMessage: known.message,
    })
    return known
  }
}

function asKnown(error: unknown): SteleError {
  return error instanceof SteleError ? error : new SteleError('internal_error', {}, { cause: error })
}
