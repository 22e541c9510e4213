import type { DatabaseSettings } from '../db/database.ts'
import type { Caps } from '../limits/caps.ts'
import type { MasterKeySource } from '../privacy/master-keys.ts'
import type { ContentsOptions } from '../store/contents.ts'
import { type ApplyContext, applyBatch } from './apply.ts'
import type { Applied, Operation } from './operations.ts'

/** Applies batches of operations durably. A rejection means that nothing is known to be written. */
export interface Writer {
  /** How many batches it takes at once. */
  readonly concurrentBatches: number
  apply(operations: readonly Operation[]): Promise<Applied[]>
  close(): Promise<void>
}

/** What a writer in another thread needs to open the database for itself. */
export interface WriterSetup {
  readonly databaseUrl: string
  readonly settings: Omit<DatabaseSettings, 'onSql'>
  readonly hashKey: string
  /** Caps for each user, by this process's configuration. */
  readonly caps?: Caps | undefined
  readonly content: Omit<ContentsOptions, 'masters'> & { readonly masterKeys: MasterKeySource }
}

/** Asks a writer in another thread to let go of the database, once it has written what it was given before. */
export const closing = 'close'

/** What such a writer is given: operations to write, or the word to close. */
export type WriterTask = readonly Operation[] | typeof closing

/** Writes on the calling thread; for databases whose writes do not block it. */
export function directWriter(context: ApplyContext): Writer {
  return {
    concurrentBatches: context.database.capabilities.concurrentBatches,
    apply: operations => applyBatch(context, operations),
    close: async () => undefined,
  }
}
