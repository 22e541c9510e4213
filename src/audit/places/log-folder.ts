import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { claimFile, type FileLock } from '../../db/file-lock.ts'
import { type Coverage, coverageOf, type Gap, type HeldFile } from './coverage.ts'
import { type DayFile, dayFile, inOrder, parseArchived, parseDayFile } from './day-file.ts'
import { type Edges, edgesOf } from './edges.ts'
import { type Damage, differenceOf, LineFile, type Stamp, stampOf } from './line-file.ts'

/** What somebody else has done to a file of the folder, and which leaves belong in it. */
export interface Tampering {
  readonly file: string
  readonly how: Damage
  readonly from: number
  readonly to: number
}

/** A file that nobody writes any more. */
interface ClosedFile extends HeldFile {
  readonly stamp: Stamp
}

/** A file that is being written. */
export interface OpenFile extends DayFile {
  readonly lines: LineFile
  readonly first: number
  next: number
}

/** What is to be put into a file. */
export interface Batch {
  readonly text: string
  /** The leaf that comes after those in it. */
  readonly next: number
}

/** What was found out about the files of a folder. */
export interface Inspection {
  readonly tampered: readonly Tampering[]
  /** Files that were taken elsewhere, and left a marker. */
  readonly archived: readonly string[]
  /** What is missing now. */
  readonly gaps: readonly Gap[]
}

const lockName = '.audit.lock'

/** The files of days in one folder, which one process at a time may write. */
export class LogFolder {
  readonly path: string
  #lock: FileLock | undefined
  #lockStamp: Stamp | undefined
  #closed: ClosedFile[] = []
  #archived: DayFile[] = []
  #writers: OpenFile[] = []

  constructor(path: string) {
    this.path = path
  }

  /** Takes the folder, which is made if need be; false when another process has it. @throws what the system says */
  async claim(): Promise<boolean> {
    await mkdir(this.path, { recursive: true, mode: 0o700 })
    const path = join(this.path, lockName)
    // A lock in a file that is gone keeps nobody away.
    if (this.#lock !== undefined && (await stampOf(path))?.inode === this.#lockStamp?.inode) return true
    this.#lock?.release()
    this.#lock = claimFile(path)
    this.#lockStamp = await stampOf(path)
    if (this.#lock === undefined) await this.#closeFiles()
    return this.#lock !== undefined
  }

  /** Looks which files there are, and what they have. */
  async scan(): Promise<Coverage> {
    const names = await readdir(this.path)
    this.#archived = names.flatMap(name => parseArchived(name) ?? [])
    this.#closed = []
    for (const name of names) {
      const file = parseDayFile(name)
      const path = join(this.path, name)
      const stamp = file && (await stampOf(path))
      if (file === undefined || stamp === undefined) continue
      const { first = 0, last } = await edgesOf(path, 1)
      const next = last.at(-1)?.index ?? first - 1
      this.#closed.push({ ...file, first, next: next + 1, stamp })
    }
    this.#closed.sort(inOrder)
    return coverageOf(this.#closed, this.#archived)
  }

  /** The newest file, and how it ends: with at most so many events. */
  async newest(count: number): Promise<(DayFile & { readonly edges: Edges }) | undefined> {
    const names = await readdir(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    const files = names.flatMap(name => parseDayFile(name) ?? []).sort(inOrder)
    const file = files.at(-1)
    return file && { ...file, edges: await edgesOf(join(this.path, file.name), count) }
  }

  /** Goes on with the newest file, or begins one of this day if there is none, or none of this day or later. */
  async continue(day: string, next: number): Promise<OpenFile> {
    const file = this.#closed.at(-1)
    const isEmpty = file?.first === file?.next
    if (file === undefined || file.day < day || (file.next !== next && !isEmpty)) return this.begin(day, next)
    const { name, part } = file
    const lines = await LineFile.open(join(this.path, name))
    this.#closed.pop()
    return this.#opened({ name, day: file.day, part, lines, first: isEmpty ? next : file.first, next })
  }

  /** Begins a new file of a day beside those that it has. */
  async begin(day: string, first: number): Promise<OpenFile> {
    const parts = [...this.#closed, ...this.#writers, ...this.#archived]
      .filter(file => file.day === day)
      .map(file => file.part)
    const names = new Set(await readdir(this.path))
    let part = Math.max(0, ...parts) + 1
    while (names.has(dayFile(day, part).name)) part++
    const file = dayFile(day, part)
    const lines = await LineFile.open(join(this.path, file.name))
    return this.#opened({ ...file, lines, first, next: first })
  }

  /** Ends a file, which is watched from then on as it is. */
  async finish(file: OpenFile): Promise<void> {
    const { name, day, part, first, next, lines } = file
    await this.#leave(file)
    this.#closed.push({ name, day, part, first, next, stamp: lines.stamp })
    this.#closed.sort(inOrder)
  }

  /** What somebody else has done to a file that is being written. It is left as it is then, and not written any more. */
  async damageOf(file: OpenFile): Promise<Tampering | undefined> {
    const how = await file.lines.damage()
    if (how === undefined) return undefined
    const { name, first, next } = file
    await this.#leave(file)
    return { file: name, how, from: first, to: next }
  }

  /**
   * Looks whether the files that nobody writes any more are as they were left; where only the content can tell, `isRight` is
   * asked. What is told of is told once: the files that were taken elsewhere, and what is missing now.
   */
  async inspect(isRight: (path: string) => Promise<boolean>): Promise<Inspection> {
    const markers = (await readdir(this.path)).flatMap(name => parseArchived(name) ?? [])
    const tampered: Tampering[] = []
    const archived: string[] = []
    const gaps: Gap[] = []
    const kept: ClosedFile[] = []
    for (const file of this.#closed) {
      const { name, day, first: from, next: to } = file
      const path = join(this.path, name)
      const stamp = await stampOf(path)
      const difference = differenceOf(file.stamp, stamp)
      if (difference === undefined) kept.push(file)
      else if (difference === 'removed' && markers.some(marker => marker.name === name)) archived.push(name)
      else if (difference === 'touched' && stamp !== undefined && (await isRight(path)))
        kept.push({ ...file, stamp })
      else {
        tampered.push({ file: name, how: difference === 'touched' ? 'edited' : difference, from, to })
        if (to > from) gaps.push({ day, from, to })
      }
    }
    this.#closed = kept
    this.#archived = markers
    return { tampered, archived, gaps }
  }

  async close(): Promise<void> {
    await this.#closeFiles()
    this.#lock?.release()
    this.#lock = undefined
  }

  async #closeFiles(): Promise<void> {
    for (const { lines } of this.#writers.splice(0)) await lines.close()
  }

  #opened(file: OpenFile): OpenFile {
    this.#writers.push(file)
    return file
  }

  async #leave(file: OpenFile): Promise<void> {
    this.#writers = this.#writers.filter(other => other !== file)
    await file.lines.close()
  }
}
