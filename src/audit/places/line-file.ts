import { createHash, type Hash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { flushToDisk } from '../../db/flush.ts'

/** What somebody else has done to a file. */
export type Damage = 'removed' | 'replaced' | 'truncated' | 'edited'

/** What tells whether a file is as it was left. Its time of change is one that nobody can set. */
export interface Stamp {
  readonly device: bigint
  readonly inode: bigint
  readonly size: bigint
  readonly changedAt: bigint
}

const lineFeed = 0x0a
const chunkSize = 64 * 1024

/** What is spent on reading a file again is at most about this share of the time. */
const readingShare = 0.01
const leastPeriod = 60_000

/** The stamp of what lies at this path; undefined when nothing does. */
export async function stampOf(path: string): Promise<Stamp | undefined> {
  try {
    return stampFrom(await stat(path, { bigint: true }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function stampFrom({
  dev,
  ino,
  size,
  ctimeNs,
}: {
  dev: bigint
  ino: bigint
  size: bigint
  ctimeNs: bigint
}): Stamp {
  return { device: dev, inode: ino, size, changedAt: ctimeNs }
}

/** What the difference between two stamps tells; 'touched' when only the content can tell. */
export function differenceOf(known: Stamp, found: Stamp | undefined): Damage | 'touched' | undefined {
  if (found === undefined) return 'removed'
  if (found.inode !== known.inode || found.device !== known.device) return 'replaced'
  if (found.size < known.size) return 'truncated'
  if (found.size > known.size) return 'edited'
  return found.changedAt === known.changedAt ? undefined : 'touched'
}

/**
 * A file of lines that only ever grows, and that one process writes. What `append` was given is on the disk when it resolves,
 * or not in the file at all: what a failed attempt has left is cut off before the next. It keeps a hash of all that belongs in
 * the file, and tells when something else is there.
 */
export class LineFile {
  readonly path: string
  readonly #handle: FileHandle
  readonly #hash: Hash
  #size: number
  #stamp: Stamp
  /** An attempt to write broke off: what follows the known size is nothing. */
  #isUncertain = false
  #nextReading: number

  private constructor(path: string, handle: FileHandle, { hash, stamp }: { hash: Hash; stamp: Stamp }) {
    this.path = path
    this.#handle = handle
    this.#hash = hash
    this.#size = Number(stamp.size)
    this.#stamp = stamp
    this.#nextReading = performance.now() + leastPeriod
  }

  /**
   * Opens a file, or makes it, readable by its owner alone. A half line at its end, as a crash leaves it, is cut off.
   * @throws what the system says
   */
  static async open(path: string): Promise<LineFile> {
    const { O_APPEND, O_CREAT, O_RDWR, O_NOFOLLOW } = constants
    const handle = await open(path, O_APPEND | O_CREAT | O_RDWR | (O_NOFOLLOW ?? 0), 0o600)
    try {
      const { size } = await handle.stat()
      const whole = await wholeLines(handle, size)
      if (whole < size) await handle.truncate(whole)
      await handle.sync()
      if (size === 0) flushToDisk(dirname(path))
      const hash = await hashOf(path, whole)
      return new LineFile(path, handle, { hash, stamp: stampFrom(await handle.stat({ bigint: true })) })
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get size(): number {
    return this.#size
  }

  get stamp(): Stamp {
    return this.#stamp
  }

  /** Adds whole lines. @throws what the system says; then nothing was added */
  async append(text: string): Promise<void> {
    const bytes = Buffer.from(text)
    if (this.#isUncertain) await this.#cutOff()
    this.#isUncertain = true
    for (let written = 0; written < bytes.byteLength; )
      written += (await this.#handle.write(bytes, written)).bytesWritten
    await this.#handle.datasync()
    this.#isUncertain = false
    this.#hash.update(bytes)
    this.#size += bytes.byteLength
    await this.#takeStamp()
  }

  /** What somebody else has done to the file; undefined when nothing was. Now and then all of it is read for that. */
  async damage(): Promise<Damage | undefined> {
    // What a failed attempt has left is no damage, and is still to be cut off.
    if (this.#isUncertain) {
      await this.#cutOff()
      await this.#takeStamp()
      this.#isUncertain = false
    }
    const found = await stampOf(this.path)
    const difference = differenceOf(this.#stamp, found)
    if (difference !== 'touched' && difference !== undefined) return difference
    const now = performance.now()
    if (difference === undefined && now < this.#nextReading) return undefined
    const isSame = await this.#isSame()
    const took = performance.now() - now
    this.#nextReading = performance.now() + Math.max(leastPeriod, took / readingShare)
    if (!isSame) return 'edited'
    if (found !== undefined) this.#stamp = found
    return undefined
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  async #cutOff(): Promise<void> {
    // A file that somebody else has made shorter would become longer.
    if ((await this.#handle.stat()).size > this.#size) await this.#handle.truncate(this.#size)
  }

  /** The size is what it should be, not what is there: were there more, somebody else would have written it. */
  async #takeStamp(): Promise<void> {
    const stamp = stampFrom(await this.#handle.stat({ bigint: true }))
    this.#stamp = { ...stamp, size: BigInt(this.#size) }
  }

  async #isSame(): Promise<boolean> {
    const digest = (await hashOf(this.path, this.#size)).digest()
    return digest.equals(this.#hash.copy().digest())
  }
}

/** The hash of the first so many bytes. */
async function hashOf(path: string, size: number): Promise<Hash> {
  const hash = createHash('sha256')
  if (size === 0) return hash
  for await (const chunk of createReadStream(path, { end: size - 1 })) hash.update(chunk as Buffer)
  return hash
}

/** How many bytes of a file are whole lines. */
async function wholeLines(handle: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.alloc(chunkSize)
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunkSize)
    const { bytesRead } = await handle.read(buffer, 0, end - start, start)
    const at = buffer.subarray(0, bytesRead).lastIndexOf(lineFeed)
    if (at !== -1) return start + at + 1
    end = start
  }
  return 0
}
