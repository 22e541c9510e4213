import { SteleError } from '../errors.ts'
import { lastTime, wholeNumber } from '../model/json-object.ts'
import type { Store } from '../store/contents.ts'
import { leaseStore } from '../store/leases.ts'
import type { RetentionDefaults } from './periods.ts'
import { retentionPolicyStore } from './policies.ts'
import { type RetentionReport, runRetention } from './run.ts'
import type { DoStep } from './steps.ts'

export interface RetentionRunOptions {
  /** Only tell what would go. */
  readonly dryRun?: boolean | undefined
  /** The time to count ages to, in milliseconds since 1970; now when left out. */
  readonly now?: number | undefined
  /** Told rows looked at and rows to look at. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  /** Ends the run between two steps: what is done stays done. */
  readonly signal?: AbortSignal | undefined
}

/** What the runs of this process have come to. */
export interface RetentionCounts {
  readonly runs: number
  readonly failures: number
  /** Rows that went or lost what was said in them. */
  readonly rows: number
  /** Bytes of content that went. */
  readonly bytes: number
  /** When the last one ended well, in milliseconds since 1970; undefined before. */
  readonly lastAt: number | undefined
}

export interface Retention extends ReturnType<typeof retentionPolicyStore> {
  readonly counts: RetentionCounts
  /**
   * Lets go what has expired. One process at a time does.
   * @throws SteleError retention_running, store_unavailable
   */
  run(options?: RetentionRunOptions): Promise<RetentionReport>
  /**
   * Takes the turn of all processes of this database for the next `period` milliseconds. False when another has it: it
   * runs, and nobody else need.
   */
  takeTurn(period: number): Promise<boolean>
}

const runLease = 'retention'
const turnLease = 'retention-turn'

/** Milliseconds for which a run that says nothing holds others off, and after which it says something. */
const leaseTime = 20_000
const renewAfter = 5_000

/** Clocks and timers are not so exact that a turn could be taken again right when it ends. */
const turnShare = 0.9

interface RetentionParts {
  readonly database: Store
  readonly defaults: RetentionDefaults
  readonly doStep: DoStep
  /** Names this process. */
  readonly holder: string
}

export function createRetention({ database, defaults, doStep, holder }: RetentionParts): Retention {
  const leases = leaseStore(database)
  const take = (name: string, time: number): Promise<boolean> => {
    const now = Date.now()
    return leases.take(name, holder, { now, expiresAt: now + time })
  }
  const counts = { runs: 0, failures: 0, rows: 0, bytes: 0, lastAt: undefined as number | undefined }
  let isRunning = false

  const hold = async (): Promise<void> => {
    if (!(await take(runLease, leaseTime))) throw new SteleError('retention_running')
  }

  const runAlone = async ({ now, onProgress, signal }: RetentionRunOptions): Promise<RetentionReport> => {
    isRunning = true
    let renewedAt = performance.now()
    try {
      await hold()
      const report = await runRetention({
        database,
        defaults,
        doStep,
        now: now ?? Date.now(),
        onProgress,
        async onPage() {
          signal?.throwIfAborted()
          if (performance.now() - renewedAt < renewAfter) return
          await hold()
          renewedAt = performance.now()
        },
      })
      counts.runs++
      counts.lastAt = Date.now()
      for (const { rows, bytes } of report.expired) {
        counts.rows += rows
        counts.bytes += bytes
      }
      return report
    } catch (error) {
      const isTaken = error instanceof SteleError && error.code === 'retention_running'
      if (signal?.aborted !== true && !isTaken) counts.failures++
      throw error
    } finally {
      isRunning = false
      await leases.release(runLease, holder).catch(() => undefined)
    }
  }

  return {
    ...retentionPolicyStore(database),
    counts,
    async run(options = {}) {
      const { dryRun, now, onProgress } = options
      if (now !== undefined) wholeNumber('now', now, 0, lastTime)
      if (dryRun === true)
        return runRetention({ database, defaults, doStep: undefined, now: now ?? Date.now(), onProgress })
      // The lease is this process's: it would be given to a second run of it too.
      if (isRunning) throw new SteleError('retention_running')
      return runAlone(options)
    },
    takeTurn: period => take(turnLease, period * turnShare),
  }
}
