import { createReadStream } from 'node:fs'
import { setImmediate as afterThisTurn } from 'node:timers/promises'
import { linesOf } from '../../moving/lines.ts'
import { quietReasonOf } from '../../quiet-error.ts'
import { checkpointLine, keyLine } from '../export-line.ts'
import type { Gap } from './coverage.ts'
import { dayOf } from './day-file.ts'
import { type EventLine, indexOf } from './edges.ts'
import { LogFolder, type OpenFile, type Tampering } from './log-folder.ts'
import type { LogHead, LogSource } from './log-source.ts'

export type FollowerState =
  /** It writes. */
  | 'writing'
  /** Another process writes into the same folder. */
  | 'standby'
  /** The files cannot be written. */
  | 'files_failing'
  /** The log cannot be read. */
  | 'log_failing'
  /** The files hold what the log does not: the database is an older copy, or another one. */
  | 'log_behind'

/** How the files stand after a round. */
export interface FollowerReport {
  readonly state: FollowerState
  /** Why, where it does not write. */
  readonly reason: string | undefined
  /** The leaf that comes after those that the files have. */
  readonly position: number
  /** Every event that was committed until then is in the files; milliseconds since 1970, undefined when nothing is known of it. */
  readonly currentUntil: number | undefined
  /** Events that were written in this round. */
  readonly written: number
  /** What was found since the last round. */
  readonly tampered: readonly Tampering[]
  readonly archived: readonly string[]
}

export interface FollowerOptions {
  readonly folder: string
  readonly source: LogSource
  /** Leaves that the files of this folder are known to have had. */
  readonly expected?: number | undefined
  readonly now?: (() => number) | undefined
}

/** Last lines that are compared with the log before a file is gone on with. */
const comparedLines = 1_000

/** Milliseconds between two looks at the files that nobody writes any more. */
const inspectionPeriod = 30_000

/** Milliseconds after which a round that has more to do lets others have their turn. */
const longestRound = 500

/** Raised when the log cannot be read, to tell that from files that cannot be written. */
class LogFailure extends Error {}

/** Follows the log into files, in rounds: each writes what has come, and finds out whether the files are as they were left. */
export class Follower {
  readonly #options: FollowerOptions
  readonly #folder: LogFolder
  readonly #source: LogSource
  readonly #now: () => number
  #isOpen = false
  #position = 0
  #lastCheckpoint = 0
  #file: OpenFile | undefined
  #writtenKeys = new WeakMap<OpenFile, Set<string>>()
  #gaps: Gap[] = []
  #repair: { readonly file: OpenFile; readonly to: number; lastCheckpoint: number } | undefined
  #nextInspection = 0
  #currentUntil: number | undefined
  #tampered: Tampering[] = []
  #archived: string[] = []
  #written = 0

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#folder = new LogFolder(options.folder)
    this.#source = tellingLogFailures(options.source)
    this.#now = options.now ?? Date.now
  }

  /** Never rejects: what went wrong is in the report, and tried again in the next round. */
  async round(): Promise<FollowerReport> {
    this.#written = 0
    try {
      return this.#report(await this.#work())
    } catch (error) {
      const state = error instanceof LogFailure ? 'log_failing' : 'files_failing'
      return this.#report(state, quietReasonOf(error instanceof LogFailure ? error.cause : error))
    }
  }

  async close(): Promise<void> {
    await this.#folder.close()
  }

  #report(state: FollowerState, reason?: string): FollowerReport {
    const tampered = this.#tampered
    const archived = this.#archived
    this.#tampered = []
    this.#archived = []
    const currentUntil = this.#currentUntil
    return {
      state,
      reason,
      position: this.#position,
      currentUntil,
      written: this.#written,
      tampered,
      archived,
    }
  }

  async #work(): Promise<FollowerState> {
    const startedAt = this.#now()
    const head = await this.#source.head()
    if (!(await this.#folder.claim())) {
      this.#isOpen = false
      this.#file = undefined
      this.#position = await this.#positionOfOthers()
      await this.#noteTime(head, startedAt)
      return 'standby'
    }
    if (!this.#isOpen && !(await this.#open(head))) return 'log_behind'
    await this.#inspect()
    const deadline = performance.now() + longestRound
    while (this.#position < head.size && performance.now() < deadline) await this.#writeTail(head)
    if (performance.now() < deadline) await this.#writeGap()
    await this.#noteTime(head, startedAt)
    return 'writing'
  }

  /** Finds out what the files have, and compares their end with the log. False when the log is not the one that they have. */
  async #open(head: LogHead): Promise<boolean> {
    const { gaps, next } = await this.#folder.scan()
    this.#position = next
    const newest = await this.#folder.newest(comparedLines)
    if (next > head.size) return false
    this.#gaps = [...gaps]
    this.#lastCheckpoint = newest?.edges.checkpoint?.size ?? 0
    const expected = this.#options.expected ?? 0
    for (const { from, to } of gaps) this.#tell('', 'removed', from, to)
    if (newest !== undefined && !(await this.#areLogged(newest.edges.last))) {
      const { name, day, edges } = newest
      const from = edges.first ?? 0
      this.#tell(name, 'edited', from, next)
      this.#file = await this.#folder.begin(laterOf(day, this.#today()), from)
      this.#position = from
      this.#lastCheckpoint = 0
    } else {
      if (expected > next) this.#tell(newest?.name ?? '', 'truncated', next, expected)
      this.#file = await (expected > next && newest !== undefined
        ? this.#folder.begin(laterOf(newest.day, this.#today()), next)
        : this.#folder.continue(this.#today(), next))
    }
    this.#isOpen = true
    return true
  }

  /** Looks for what somebody else has done to the files; what is missing is written anew beside them. */
  async #inspect(): Promise<void> {
    if (this.#file !== undefined) {
      const damage = await this.#folder.damageOf(this.#file)
      if (damage !== undefined) {
        this.#tampered.push(damage)
        this.#position = damage.from
        this.#lastCheckpoint = 0
        this.#file = undefined
      }
    }
    if (performance.now() < this.#nextInspection) return
    const found = await this.#folder.inspect(path => this.#isLogged(path))
    this.#tampered.push(...found.tampered)
    this.#archived.push(...found.archived)
    this.#gaps.push(...found.gaps)
    this.#nextInspection = performance.now() + inspectionPeriod
  }

  async #writeTail({ size }: LogHead): Promise<void> {
    const today = this.#today()
    if (this.#file !== undefined && this.#file.day < today) {
      await this.#folder.finish(this.#file)
      this.#file = undefined
    }
    this.#file ??= await this.#folder.begin(today, this.#position)
    this.#lastCheckpoint = await this.#write(this.#file, size, this.#lastCheckpoint)
    this.#position = this.#file.next
  }

  /** Writes a part of what the files have lost into a file of its own. */
  async #writeGap(): Promise<void> {
    const gap = this.#gaps[0]
    if (gap === undefined) return
    this.#repair ??= {
      file: await this.#folder.begin(gap.day, gap.from),
      to: gap.to,
      lastCheckpoint: gap.from,
    }
    const { file, to } = this.#repair
    const damage = await this.#folder.damageOf(file)
    if (damage !== undefined) {
      this.#tampered.push(damage)
      this.#repair = undefined
      return
    }
    this.#repair.lastCheckpoint = await this.#write(file, to, this.#repair.lastCheckpoint)
    if (file.next < to) return
    await this.#folder.finish(file)
    this.#repair = undefined
    this.#gaps.shift()
  }

  /** Writes the next lines of a file, as far as `size`. Returns the size of the last checkpoint in it. */
  async #write(file: OpenFile, size: number, lastCheckpoint: number): Promise<number> {
    const from = file.next
    const lines = await this.#source.lines(from, size)
    if (lines.length === 0)
      throw new LogFailure('', { cause: new Error(`the leaf ${from} is missing in the log`) })
    const next = from + lines.length
    // One that covers just what the file has is missing after a crash between the two.
    const after = lastCheckpoint < from ? from - 1 : from
    const checkpoints = await this.#source.checkpoints(after, next)
    const keys = await this.#source.keys()
    const known = this.#writtenKeys.get(file) ?? new Set()
    const added = keys.filter(key => !known.has(key))
    const text = added.map(key => `${keyLine(key)}\n`)
    let at = from
    for (const { size: covered, note } of checkpoints) {
      text.push(...lines.slice(at - from, covered - from).map(line => `${line}\n`))
      text.push(`${checkpointLine(note)}\n`)
      at = covered
    }
    text.push(...lines.slice(at - from).map(line => `${line}\n`))
    await file.lines.append(text.join(''))
    file.next = next
    this.#writtenKeys.set(file, new Set(keys))
    this.#written += lines.length
    await afterThisTurn()
    return checkpoints.at(-1)?.size ?? lastCheckpoint
  }

  async #noteTime({ size, waitingSince }: LogHead, startedAt: number): Promise<void> {
    this.#currentUntil =
      this.#position < size ? await this.#source.timeOf(this.#position) : (waitingSince ?? startedAt)
  }

  async #positionOfOthers(): Promise<number> {
    const newest = await this.#folder.newest(1)
    return (newest?.edges.last.at(-1)?.index ?? -1) + 1
  }

  async #areLogged(events: readonly EventLine[]): Promise<boolean> {
    let from = events[0]?.index ?? 0
    for (let at = 0; at < events.length; ) {
      const lines = await this.#source.lines(from, from + events.length - at)
      if (lines.length === 0) return false
      for (const line of lines) if (events[at++]?.text !== line) return false
      from += lines.length
    }
    return true
  }

  /** Whether the events in a file are those of the log, all of them. */
  async #isLogged(path: string): Promise<boolean> {
    let events: EventLine[] = []
    for await (const { bytes } of linesOf(createReadStream(path))) {
      const text = bytes?.toString('utf8') ?? ''
      const index = indexOf(text)
      if (index === undefined) continue
      events.push({ index, text })
      if (events.length < comparedLines) continue
      if (!(await this.#areLogged(events))) return false
      events = []
    }
    return this.#areLogged(events)
  }

  #today(): string {
    return dayOf(this.#now())
  }

  #tell(file: string, how: Tampering['how'], from: number, to: number): void {
    this.#tampered.push({ file, how, from, to })
  }
}

function laterOf(a: string, b: string): string {
  return a > b ? a : b
}

function tellingLogFailures(source: LogSource): LogSource {
  const telling =
    <A extends readonly unknown[], R>(read: (...given: A) => Promise<R>) =>
    (...given: A): Promise<R> =>
      read(...given).catch(cause => Promise.reject(new LogFailure('', { cause })))
  return {
    head: telling(() => source.head()),
    lines: telling((from: number, to: number) => source.lines(from, to)),
    checkpoints: telling((after: number, to: number) => source.checkpoints(after, to)),
    keys: telling(() => source.keys()),
    timeOf: telling((index: number) => source.timeOf(index)),
    standingOf: telling((note: string) => source.standingOf(note)),
  }
}
