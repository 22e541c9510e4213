import { SteleError } from '../../errors.ts'
import type { AuditPlaceStore } from '../../store/audit-places.ts'
import type { FollowerReport } from './follower.ts'
import type { PlacesNews } from './news.ts'

/** What follows the log into files: on this thread, or in one of its own. */
export interface RoundMaker {
  /** Writes what has come. */
  round(): Promise<FollowerReport>
  /** Lets go of everything. */
  close(): Promise<void>
}

export interface FileKeeperOptions {
  readonly folder: string
  /** What the folder is called in the database. */
  readonly placeId: string
  readonly places: AuditPlaceStore
  /** Begins to follow. @param expected leaves that the files are known to have had */
  readonly follow: (expected: number) => RoundMaker
  /** Whether calls and changes are refused while the files do not have what was committed this many milliseconds before. */
  readonly failClosed: boolean
  readonly maxLag: number
  readonly tell: (news: PlacesNews) => void
}

/** How the files stand. */
export interface FilesState extends Pick<FollowerReport, 'state' | 'reason' | 'position'> {
  /** Milliseconds since everything that was committed is in the files. */
  readonly lag: number
  /** Since this process started. */
  readonly written: number
  readonly failures: number
  readonly tampered: number
}

/** Milliseconds between two rounds, and where another process writes, or a round failed. */
const period = 200
const longPeriod = 1_000

/** Milliseconds between two notes in the database of how far the files have come. */
const notePeriod = 10_000

/** Keeps the files up to the log, and says how they stand. */
export class FileKeeper {
  readonly #options: FileKeeperOptions
  #follower: RoundMaker | undefined
  #report: FollowerReport | undefined
  #currentUntil = Date.now()
  #written = 0
  #failures = 0
  #tampered = 0
  #noted = 0
  #nextNote = 0
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: FileKeeperOptions) {
    this.#options = options
  }

  get state(): FilesState {
    const { state = 'log_failing', reason, position = 0 } = this.#report ?? {}
    return {
      state,
      reason,
      position,
      lag: Math.max(0, Date.now() - this.#currentUntil),
      written: this.#written,
      failures: this.#failures,
      tampered: this.#tampered,
    }
  }

  /** Why nothing may be done that is to be on record; undefined when it may. */
  refusal(): SteleError | undefined {
    const { failClosed, maxLag } = this.#options
    if (!failClosed) return undefined
    const { state, lag } = this.state
    if (state === 'files_failing') return unavailable('they cannot be written')
    if (state === 'log_behind') return unavailable('they hold what the database does not')
    if (this.#report === undefined) return unavailable('they have not been looked at yet')
    return lag > maxLag ? unavailable('they are behind') : undefined
  }

  /** Does the first round. Never rejects. */
  async start(): Promise<void> {
    await this.#turn()
    this.#schedule()
  }

  /** Ends with what is in the log written. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#working
    await this.#turn()
    await this.#note().catch(() => undefined)
    await this.#follower?.close().catch(() => undefined)
  }

  #schedule(): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(
      () => {
        this.#working = this.#turn().then(() => this.#schedule())
      },
      this.#report?.state === 'writing' ? period : longPeriod,
    ).unref()
  }

  async #turn(): Promise<void> {
    const { places, placeId, follow } = this.#options
    try {
      this.#follower ??= follow(await places.positionOf(placeId))
      this.#take(await this.#follower.round())
      if (Date.now() >= this.#nextNote) await this.#note()
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'something else than an error was thrown'
      this.#take({ ...nothing, position: this.#report?.position ?? 0, state: 'log_failing', reason })
    }
  }

  #take(report: FollowerReport): void {
    const { tell, folder } = this.#options
    const before = this.#report
    this.#report = report
    if (report.currentUntil !== undefined) this.#currentUntil = report.currentUntil
    this.#written += report.written
    for (const { file, how, from, to } of report.tampered) {
      this.#tampered++
      tell({ kind: 'file_tampered', target: file === '' ? folder : file, how, from, to })
    }
    for (const file of report.archived) tell({ kind: 'file_archived', target: file })
    if (report.state === 'files_failing') {
      this.#failures++
      if (before?.state !== report.state)
        tell({ kind: 'file_failed', target: folder, reason: report.reason ?? '' })
    } else if (before?.state === 'files_failing') tell({ kind: 'file_recovered', target: folder })
    if (report.state === 'log_behind' && before?.state !== report.state)
      tell({ kind: 'log_rolled_back', target: folder, standing: 'older', size: report.position })
  }

  /** What is noted is in the files for sure: were it there no more, somebody has taken it away. */
  async #note(): Promise<void> {
    const { places, placeId } = this.#options
    const { state, position = 0 } = this.#report ?? {}
    if (state !== 'writing' || position === this.#noted) return
    await places.note(placeId, position)
    this.#noted = position
    this.#nextNote = Date.now() + notePeriod
  }
}

const nothing = { currentUntil: undefined, written: 0, tampered: [], archived: [] } as const

function unavailable(reason: string): SteleError {
  return new SteleError('audit_unavailable', { reason })
}
