import { reasonOf, SteleError } from '../errors.ts'
import type { Operation } from './operations.ts'
import { Thread } from './thread.ts'

export interface SpoolSetup {
  readonly path: string
  /** Seals what is spooled; 32 bytes. */
  readonly key: Uint8Array
}

/** An operation that waits in the spool; undefined when it cannot be read. */
export interface SpooledOperation {
  readonly seq: number
  readonly operation: Operation | undefined
}

export type SpoolRequest =
  | { readonly kind: 'append'; readonly operations: readonly Operation[] }
  | { readonly kind: 'read'; readonly count: number }
  | { readonly kind: 'remove'; readonly seqs: readonly number[] }
  | { readonly kind: 'reject'; readonly seq: number; readonly reason: string }
  | { readonly kind: 'retryRejected' }
  | { readonly kind: 'erase'; readonly userId: string; readonly erasedAt: number }
  | { readonly kind: 'release' }

export interface SpoolAnswer {
  /** False when another process has the file; then nothing was done. */
  readonly isClaimed: boolean
  readonly depth: number
  readonly bytes: number
  readonly oldestAt: number | undefined
  readonly operations?: SpooledOperation[] | undefined
  /** Entries that were blanked. */
  readonly erased?: number | undefined
}

/** What waits in a spool. */
export interface SpoolStatus {
  readonly depth: number
  /** Bytes of what waits, as it is stored. */
  readonly bytes: number
  /** Milliseconds since 1970: since when the oldest entry waits. */
  readonly oldestAt: number | undefined
}

/** Raised when another process has the spool. */
export class SpoolInUse extends Error {}

/** Raised when the spool's own file cannot be read or written. */
export class SpoolFailure extends SteleError {
  constructor(cause: unknown) {
    super('store_unavailable', { reason: `the spool: ${reasonOf(cause)}` }, { cause })
  }
}

/** Most of what passes through the thread is garbage at once; without a limit it would grow to 100 MiB for it, and stay so. */
const youngMiB = 16

/**
 * A durable queue of operations beside the database, in a file of its own that a thread of its own writes. Everything
 * resolves when it is on disk.
 */
export class Spool {
  readonly #thread: Thread<SpoolRequest, SpoolAnswer>
  #status: SpoolStatus = { depth: 0, bytes: 0, oldestAt: undefined }

  constructor(setup: SpoolSetup) {
    this.#thread = new Thread('spool-thread', setup, { maxYoungGenerationSizeMb: youngMiB })
  }

  get status(): SpoolStatus {
    return this.#status
  }

  async append(operations: readonly Operation[]): Promise<void> {
    await this.#ask({ kind: 'append', operations })
  }

  /** The oldest operations, in order, at most so many; none when the spool is empty. */
  async read(count: number): Promise<SpooledOperation[]> {
    return (await this.#ask({ kind: 'read', count })).operations ?? []
  }

  async remove(seqs: readonly number[]): Promise<void> {
    await this.#ask({ kind: 'remove', seqs })
  }

  /** Sets an operation aside that the database will never take. */
  async reject(seq: number, reason: string): Promise<void> {
    await this.#ask({ kind: 'reject', seq, reason })
  }

  /** Puts back what was set aside. */
  async retryRejected(): Promise<void> {
    await this.#ask({ kind: 'retryRejected' })
  }

  /**
   * Takes what was said from the entries of a user whose calls were begun until then, those set aside included. Returns how
   * many there were.
   */
  async erase(userId: string, erasedAt: number): Promise<number> {
    return (await this.#ask({ kind: 'erase', userId, erasedAt })).erased ?? 0
  }

  /** Lets go of the file until it is needed again; an empty one is removed. */
  async release(): Promise<void> {
    await this.#thread.ask({ kind: 'release' })
  }

  async close(): Promise<void> {
    await this.#thread.close({ kind: 'release' })
  }

  async #ask(request: SpoolRequest): Promise<SpoolAnswer> {
    const answer = await this.#thread.ask(request).catch(error => Promise.reject(new SpoolFailure(error)))
    if (!answer.isClaimed) throw new SpoolInUse('another process has the spool')
    const { depth, bytes, oldestAt } = answer
    this.#status = { depth, bytes, oldestAt }
    return answer
  }
}
