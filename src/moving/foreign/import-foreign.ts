import { SteleError } from '../../errors.ts'
import type { ConversationHashes } from '../../model/hashes.ts'
import type { Store } from '../../store/contents.ts'
import type { FormatName } from './formats.ts'
import { openSource } from './open.ts'
import { type ForeignReport, Tally } from './report.ts'
import { dryingSink, writingSink } from './sink.ts'
import type { SourceOptions, SourceSize } from './source.ts'
import { ForeignWriter } from './write.ts'

export interface ImportForeignOptions extends SourceOptions {
  /** A URL of a database, or the path of a file. */
  readonly from: string
  /** What it is; `auto` looks at it. */
  readonly as: FormatName | 'auto'
  /** Read and map everything, and write nothing. */
  readonly dryRun?: boolean | undefined
  /** Records written in one transaction, about; 500 when left out. */
  readonly batchRecords?: number | undefined
  readonly onProgress?: ((done: number, size: SourceSize) => void) | undefined
}

/**
 * Reads what another program kept into this database. What was read before stays as it is, so an import may be repeated:
 * one that was interrupted is finished so, and what the source got since is added.
 * @throws SteleError source_unreadable, source_unrecognized, source_invalid, store_unavailable
 */
export async function importForeign(
  { database, hashes }: { readonly database: Store; readonly hashes: ConversationHashes },
  { from, as, dryRun = false, batchRecords, onProgress, ...options }: ImportForeignOptions,
): Promise<ForeignReport> {
  const tally = new Tally()
  const source = await openSource(from, as, options, (what, count) => tally.note(what, count))
  try {
    const sink = dryRun ? dryingSink(database) : writingSink(database, hashes)
    const writer = new ForeignWriter(database, sink, tally, batchRecords)
    const size = await source.size()
    let done = 0
    try {
      for await (const item of source.items()) {
        await writer.take(item)
        done += (item.rows ?? 1) + (item.also?.length ?? 0)
        onProgress?.(source.bytesRead?.() ?? done, size)
      }
    } catch (error) {
      // What stands before the damage is imported.
      if (error instanceof SteleError && error.code.startsWith('source_')) await writer.flush()
      throw error
    }
    await writer.flush()
    return tally.report(source.format, source.display, dryRun)
  } finally {
    await source.close()
  }
}
