import { SteleError } from '../errors.ts'
import { quietReasonOf } from '../quiet-error.ts'
import {
  type Applied,
  type AppliedError,
  type Operation,
  type OperationResult,
  repeated,
} from './operations.ts'
import type { Writer } from './writer.ts'

export interface QueueLimits {
  /** Operations that may wait at once; who comes later waits for room. */
  readonly maxQueued: number
  /** Operations in one batch, which bounds how long a commit can take. */
  readonly maxBatch: number
  /** How long a batch is tried again while the database is unavailable, in milliseconds. */
  readonly retryFor: number
}

interface Entry {
  readonly operation: Operation
  readonly resolve: (result: OperationResult) => void
  readonly reject: (error: Error) => void
}

/** An operation failed for its caller, and the database may have committed it all the same. */
export class OutcomeUnknown extends SteleError {}

const firstPause = 20
const longestPause = 500

/**
 * Group commit: operations that arrive while a batch is being written form the next one. Alone, an operation is written
 * at once; under load, many share a commit.
 */
export class CommitQueue {
  readonly #writer: Writer
  readonly #limits: QueueLimits
  #entries: Entry[] = []
  readonly #waitingForRoom: Entry[] = []
  #underWay = 0
  #isScheduled = false
  #failure: SteleError | undefined

  constructor(writer: Writer, limits: QueueLimits) {
    this.#writer = writer
    this.#limits = limits
  }

  /** Operations waiting to be written. */
  get length(): number {
    return this.#entries.length
  }

  /** Why the last batch could not be written; undefined when it was. */
  get failure(): SteleError | undefined {
    return this.#failure
  }

  /** Resolves when the operation is committed. */
  submit(operation: Operation): Promise<OperationResult> {
    return new Promise((resolve, reject) => {
      this.#waitingForRoom.push({ operation, resolve, reject })
      this.#makeRoom()
      this.#schedule()
    })
  }

  /**
   * Starts the next batch after this turn of the event loop, not at once: whoever a commit has just released often has
   * its next operation ready, and would otherwise find the first of its group gone ahead and wait a commit longer.
   */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#underWay < this.#writer.concurrentBatches && this.#entries.length > 0) {
      const entries = this.#entries.splice(0, this.#limits.maxBatch)
      this.#makeRoom()
      this.#underWay++
      void this.#write(entries)
    }
  }

  async #write(entries: readonly Entry[]): Promise<void> {
    let applied: Applied[] | undefined
    let failure: SteleError | undefined
    try {
      applied = await this.#applyPersistently(entries.map(entry => entry.operation))
    } catch (error) {
      failure = asUnavailable(error)
    }
    this.#failure = failure
    this.#underWay--
    // With a fair crowd waiting the writer goes on at once, before the callers of this batch take up the thread.
    if (this.#entries.length >= entries.length / 2) this.#pump()
    else this.#schedule()
    for (const [index, entry] of entries.entries()) {
      if (applied === undefined) entry.reject(asUnavailable(failure))
      else finish(entry, applied[index])
    }
  }

  #makeRoom(): void {
    const room = this.#limits.maxQueued - this.#entries.length
    this.#entries.push(...this.#waitingForRoom.splice(0, room))
  }

  async #applyPersistently(given: readonly Operation[]): Promise<Applied[]> {
    const deadline = performance.now() + this.#limits.retryFor
    let operations = given
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      try {
        return await this.#writer.apply(operations)
      } catch (error) {
        if (performance.now() + pause > deadline) throw error
        operations = given.map(repeated)
        await new Promise(resolve => setTimeout(resolve, pause))
      }
    }
  }
}

function finish({ resolve, reject }: Entry, applied: Applied | undefined): void {
  if (applied?.ok === true) resolve(applied.result)
  else if (applied !== undefined) reject(asSteleError(applied.error))
  else reject(new SteleError('record_rejected', { reason: 'the writer gave no answer' }))
}

function asSteleError({ code, details, param, mayBeCommitted }: AppliedError): SteleError {
  const Kind = mayBeCommitted === true ? OutcomeUnknown : SteleError
  return new Kind(code, details, param === undefined ? {} : { param })
}

function asUnavailable(cause: unknown): SteleError {
  if (cause instanceof SteleError) return new OutcomeUnknown(cause.code, cause.details, { cause })
  return new OutcomeUnknown('store_unavailable', { reason: quietReasonOf(cause) }, { cause })
}
