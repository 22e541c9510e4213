import { sqliteSpoolFile } from './sqlite/spool-file.ts'

/** One record that waits for its database, sealed. */
export interface NewSpoolEntry {
  readonly callId: string
  readonly kind: string
  /** Milliseconds since 1970: when it was spooled. */
  readonly createdAt: number
  /** Its size before it was compressed: what it takes in memory. */
  readonly rawBytes: number
  readonly sealed: Uint8Array
}

export interface SpoolEntry extends NewSpoolEntry {
  /** Entries are drained in this order. */
  readonly seq: number
}

export interface SpoolFileStatus {
  /** Entries that wait, and the bytes of their content. */
  readonly depth: number
  readonly bytes: number
  readonly oldestAt: number | undefined
}

/** An entry that the database would not take. */
export interface RejectedEntry {
  readonly callId: string
  readonly kind: string
  readonly reason: string
}

/** A durable queue in one file. Every method blocks until what it did is on disk, and throws when it is not. */
export interface SpoolFile {
  readonly path: string
  /**
   * Takes the file for this opener alone, making it if need be; false when another has it. A lock of the operating
   * system says so, which ends with its process, whatever ended that.
   */
  claim(): boolean
  append(entries: readonly NewSpoolEntry[]): void
  /** The oldest entries, at least one if there is any; beyond that no more than so many bytes before compression. */
  read(maxEntries: number, maxRawBytes: number): SpoolEntry[]
  remove(seqs: readonly number[]): void
  /** Sets an entry aside, to be kept until somebody has looked at it. */
  reject(seq: number, reason: string): void
  /** Puts what was set aside back in its place, to be tried once more. */
  retryRejected(): void
  /**
   * Puts others in the place of entries, those set aside included, and leaves nothing of the former in the file. Returns how
   * many there were.
   * @param change gives what takes an entry's place; undefined for one that stays
   */
  rewrite(change: (entry: SpoolEntry) => NewSpoolEntry | undefined): number
  status(): SpoolFileStatus
  rejected(): RejectedEntry[]
  /** Lets go of the file; one that holds nothing any more is removed. */
  release(): void
}

/** The spool in this file. Nothing is opened or made before it is used. */
export function openSpoolFile(path: string): SpoolFile {
  return sqliteSpoolFile(path)
}
