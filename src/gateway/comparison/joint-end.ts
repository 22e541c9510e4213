import { SteleError } from '../../errors.ts'
import type { BegunCall, Outcome, PlacedCall, SettledCall, SettledTogether } from '../../model/call.ts'
import type { Recorder } from '../../recorder/recorder.ts'

/**
 * Settles the calls of a comparison in one transaction: each waits until all have ended. Nothing of them goes into the
 * conversation by that; which reply does is chosen later, of what is on record by then.
 */
export class JointEnd {
  readonly #recorder: Pick<Recorder, 'settle' | 'settleAll'>
  readonly #calls: readonly PlacedCall[]
  readonly #outcomes = new Map<string, Outcome>()
  readonly #settled = Promise.withResolvers<SettledTogether>()

  constructor(recorder: Pick<Recorder, 'settle' | 'settleAll'>, calls: readonly PlacedCall[]) {
    this.#recorder = recorder
    this.#calls = calls
    // Everybody who waits is told.
    this.#settled.promise.catch(() => undefined)
  }

  /** How a call ended, as it is on record once all have. */
  outcomeOf(callId: string): Outcome | undefined {
    return this.#outcomes.get(callId)
  }

  /**
   * Resolves when all calls are settled. A call that could not be settled with the others may be so once more, by itself.
   * @throws SteleError as the recorder does
   */
  async settle(call: BegunCall, outcome: Outcome): Promise<SettledCall> {
    const { callId, conversationId } = call
    const kept = apart(outcome)
    if (this.#outcomes.has(callId)) return this.#recorder.settle(call, kept, { once: true, isWatched: true })
    this.#outcomes.set(callId, kept)
    if (this.#outcomes.size === this.#calls.length) void this.#settleAll()
    const { isRepeat, costs } = await this.#settled.promise
    return { callId, conversationId, isRepeat, costNanousd: costs.get(callId) }
  }

  /** For a call of which no more will be heard: the others do not wait for it. */
  async giveUp(call: PlacedCall, { code, message }: SteleError): Promise<void> {
    if (this.#outcomes.has(call.callId)) return
    await this.settle(call, { status: 'failed', errorCode: code, errorMessage: message })
  }

  async #settleAll(): Promise<void> {
    const endings = this.#calls.map(call => ({
      call,
      outcome: this.#outcomes.get(call.callId) ?? { status: 'failed' as const },
    }))
    try {
      this.#settled.resolve(await this.#recorder.settleAll(endings, { isWatched: true }))
    } catch (error) {
      const isAway = error instanceof SteleError && error.code === 'store_unavailable'
      // None of them is left open for the others' sake.
      for (const { call, outcome } of isAway ? [] : endings)
        await this.#recorder.settle(call, outcome, { once: true, isWatched: true }).catch(() => undefined)
      this.#settled.reject(error)
    }
  }
}

/** What is kept of how a call ended, in no conversation. */
function apart({ said: _, ...outcome }: Outcome): Outcome {
  return { ...outcome, reply: outcome.reply ?? { finishReasons: [], usage: {} }, isApart: true }
}
