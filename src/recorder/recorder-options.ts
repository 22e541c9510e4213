import type { Reserver } from '../limits/reserve.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import type { Accounting } from '../pricing/accounting.ts'
import type { Store } from '../store/contents.ts'
import type { SpoolingWriter } from './spooling-writer.ts'
import type { Writer } from './writer.ts'

export interface RecorderOptions {
  readonly database: Store
  readonly hashes: ConversationHashes
  /** Tells what calls took and cost. */
  readonly accounting: Accounting
  readonly writer: Writer
  /** The same writer, when it has a spool for times when the database is away. */
  readonly spooling?: SpoolingWriter | undefined
  readonly instanceId: string
  /** Says what calls may take, where limits ask for it. */
  readonly reserver?: Reserver | undefined
  readonly removeOldCounters?: (() => Promise<void>) | undefined
  /** Done when closing, after everything is committed and before the writer lets go of the database. */
  readonly lastWork?: (() => Promise<void>) | undefined
  readonly maxQueued?: number | undefined
  /** Milliseconds for which a batch is tried again while the database is unavailable. */
  readonly retryFor?: number | undefined
  /** Milliseconds without a sign of life after which a process on another machine counts as dead; 30,000 when left out. */
  readonly lease?: number | undefined
  /** Told what went wrong in the background. */
  readonly onError?: ((error: unknown) => void) | undefined
}
