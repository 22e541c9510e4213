import { setTimeout as pauseFor } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from '../../db/database.ts'
import { SteleError } from '../../errors.ts'
import { idTime, isId } from '../../ids.ts'
import type { AuditStepResult, DoAuditStep, PublishedCheckpoint, SignedNote } from './steps.ts'
import type { Stretch, StretchBook } from './stretches.ts'

/** Where checkpoints go to when they leave the database. */
export interface CheckpointPlaces {
  /** What is known there of the log: it must still begin with it. Asked before anything is added to it. */
  published(): Promise<readonly PublishedCheckpoint[]>
  /** Told of each checkpoint once it is committed. What it raises is told on, and the log goes on. */
  publish(checkpoint: SignedNote): Promise<void>
}

export interface SequencerOptions {
  readonly database: Pick<Database, 'prompt'>
  readonly doStep: DoAuditStep
  /** False while the database is away. */
  readonly isWanted: () => boolean
  /** Where it is put on record that the log is held up. */
  readonly stretches: StretchBook
  readonly places?: CheckpointPlaces | undefined
  readonly onError?: ((error: unknown) => void) | undefined
}

/** How the log stands with this process. */
export interface SequencerState {
  /** Why nothing is added to the log, since this process last tried. */
  readonly failure: SteleError | undefined
  /** The newest checkpoint that this process has signed. */
  readonly checkpoint: SignedNote | undefined
}

/** Leaves in a step: it takes about as long as some commits of calls, which wait for it. */
const leavesInAStep = 2_048

/** Milliseconds between two looks of the process that does it, and of others. */
const period = 400
const idlePeriod = 500

/** Another process is at it when a checkpoint is younger than this, in milliseconds; believed that often in a row. */
const elsewhereTime = 600
const mostDeferrals = 4

/** Milliseconds until it is tried again after a failure, and until a log that is not as it was signed is looked at again. */
const failedPeriod = 1_000
const brokenPeriod = 10_000

/** Milliseconds that a step may make the next one wait. */
const longestPause = 50

/**
 * Takes audit events into the log, within half a second after they were committed. Every process that has the store open runs
 * one: whichever is at it goes on, the others look now and then whether it still is. Holds no process up.
 */
export class Sequencer {
  readonly #options: SequencerOptions
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #working: Promise<unknown> = Promise.resolve()
  #isLeading = false
  #deferrals = 0
  #published: readonly PublishedCheckpoint[] | undefined
  #failure: SteleError | undefined
  #checkpoint: SignedNote | undefined
  /** In which this process could add nothing. */
  #stretch: Stretch | undefined
  /** Whether one may have ended that is not on record as ended: at first another process may have seen one. */
  #mayHaveEnded = true
  /** What went wrong the last time, which is told once. */
  #told: string | undefined

  constructor(options: SequencerOptions) {
    this.#options = options
    this.#schedule(period)
  }

  get state(): SequencerState {
    return { failure: this.#failure, checkpoint: this.#checkpoint }
  }

  /**
   * Takes everything that is queued now into the log. Returns how many leaves were added by this process.
   * @param waits for another process that is at it, or leaves it to that
   * @throws SteleError audit_log_broken, store_unavailable
   */
  async sequence({ signal, waits }: { readonly signal?: AbortSignal; waits: boolean }): Promise<number> {
    for (let total = 0; ; ) {
      const startedAt = performance.now()
      const { sequenced, isDone, isElsewhere, checkpoint } = await this.#step()
      total += sequenced
      if (checkpoint !== undefined) await this.#publish(checkpoint)
      if (isDone || (isElsewhere && !waits) || signal?.aborted === true) return total
      if (isElsewhere) await pauseFor(longestPause)
      // Calls get as much of the writer's time as this takes.
      await pauseFor(Math.min(performance.now() - startedAt, longestPause))
    }
  }

  /** Milliseconds for which the oldest event that is queued waits; 0 when there is none. */
  async lag(): Promise<number> {
    const { queued } = await this.#look()
    return isId('auditQueue', queued) ? Math.max(0, Date.now() - idTime(queued)) : 0
  }

  /** Ends with what is queued taken in, if that can be done within this time. @param milliseconds */
  async stop(milliseconds: number): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    await this.#working
    if (!this.#options.isWanted() || this.#failure !== undefined) return
    const signal = AbortSignal.timeout(milliseconds)
    try {
      const { queued } = await this.#look()
      if (queued !== undefined) await this.sequence({ signal, waits: false })
    } catch (error) {
      this.#options.onError?.(error)
    }
  }

  #schedule(milliseconds: number): void {
    if (this.#stopping.signal.aborted) return
    this.#timer = setTimeout(() => {
      this.#working = this.#turn().then(next => this.#schedule(next))
    }, milliseconds).unref()
  }

  /** Returns when the next turn is. */
  async #turn(): Promise<number> {
    if (!this.#options.isWanted()) return idlePeriod
    try {
      const { queued, newest } = await this.#look()
      if (queued === undefined && this.#failure === undefined) return this.#rest()
      if (!this.#isLeading && Date.now() - newest < elsewhereTime && this.#deferrals < mostDeferrals) {
        this.#deferrals++
        return idlePeriod
      }
      const sequenced = await this.sequence({ signal: this.#stopping.signal, waits: false })
      this.#deferrals = 0
      this.#told = undefined
      this.#isLeading = sequenced > 0
      return this.#isLeading ? period : idlePeriod
    } catch (error) {
      return this.#failed(error)
    }
  }

  #rest(): number {
    this.#deferrals = 0
    return this.#isLeading ? period : idlePeriod
  }

  #failed(error: unknown): number {
    this.#isLeading = false
    // What others have published may be more by now.
    this.#published = undefined
    const reason = error instanceof Error ? error.message : ''
    if (reason !== this.#told) this.#options.onError?.(error)
    this.#told = reason
    return isBroken(error) ? brokenPeriod : failedPeriod
  }

  async #step(): Promise<AuditStepResult> {
    const { doStep, places } = this.#options
    this.#published ??= (await places?.published()) ?? []
    const step = { limit: leavesInAStep, published: this.#published }
    const result = await doStep(step).catch(async error => {
      if (isBroken(error)) await this.#heldUp(error)
      throw error
    })
    if (!result.isElsewhere) {
      this.#failure = undefined
      if (result.isDone && this.#mayHaveEnded) await this.#wentOn()
    }
    // Compared once; from then on what this process has signed last is.
    if (result.checkpoint !== undefined) {
      const { size, root } = result.checkpoint
      this.#published = [{ size, root }]
    }
    return result
  }

  async #heldUp(error: SteleError): Promise<void> {
    this.#mayHaveEnded = true
    this.#stretch ??= { since: Date.now(), reason: String(error.details['reason']) }
    try {
      this.#stretch = await this.#options.stretches.heldUp(this.#stretch)
    } catch (failed) {
      // It is tried again with the next step.
      this.#options.onError?.(failed)
    }
    this.#failure = error
  }

  async #wentOn(): Promise<void> {
    try {
      await this.#options.stretches.wentOn(this.#stretch)
      this.#stretch = undefined
      this.#mayHaveEnded = false
    } catch (error) {
      this.#options.onError?.(error)
    }
  }

  async #publish(checkpoint: SignedNote): Promise<void> {
    this.#checkpoint = checkpoint
    try {
      await this.#options.places?.publish(checkpoint)
    } catch (error) {
      this.#options.onError?.(error)
    }
  }

  /** The first of the queue, and when the newest checkpoint was made. */
  async #look(): Promise<{ queued: string | undefined; newest: number }> {
    const { rows } = await sql<{ queued: string | null; newest: number | null }>`SELECT
      (SELECT id FROM audit_queue ORDER BY id LIMIT 1) AS queued,
      (SELECT created_at FROM audit_checkpoints ORDER BY tree_size DESC LIMIT 1) AS newest`.execute(
      this.#options.database.prompt,
    )
    const [row] = rows
    return { queued: row?.queued ?? undefined, newest: row?.newest ?? 0 }
  }
}

function isBroken(error: unknown): error is SteleError {
  return error instanceof SteleError && error.code === 'audit_log_broken'
}
