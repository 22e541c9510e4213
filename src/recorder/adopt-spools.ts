import { drainOnce, type SpooledCalls } from './drain.ts'
import { orphanSettlement } from './recovery.ts'
import { Spool, SpoolInUse } from './spool.ts'
import type { Writer } from './writer.ts'

export interface Adopted {
  /** Entries that are in the database now. */
  readonly drained: number
  /** Entries that it would not take; they stay in their files. */
  readonly rejected: number
  /** Calls that were begun in a spool and that nobody is left to end. */
  readonly orphaned: number
}

/**
 * Drains spools that processes have left which died, or ended while the database was away. One that a living process
 * has is left to it. With `retryRejected` what the database would not take before is tried again.
 * @throws whatever keeps the database from working; what was not drained is still there
 */
export async function adoptSpools(
  paths: readonly string[],
  key: Uint8Array,
  writer: Writer,
  { retryRejected = false } = {},
): Promise<Adopted> {
  const sum = { drained: 0, rejected: 0, orphaned: 0 }
  for (const path of paths) {
    const spool = new Spool({ path, key })
    try {
      if (retryRejected) await spool.retryRejected()
      const { drained, rejected, orphaned } = await adopt(spool, writer)
      sum.drained += drained
      sum.rejected += rejected
      sum.orphaned += orphaned
    } catch (error) {
      if (!(error instanceof SpoolInUse)) throw error
    } finally {
      await spool.close()
    }
  }
  return sum
}

async function adopt(spool: Spool, writer: Writer): Promise<Adopted> {
  const calls: SpooledCalls = new Map()
  let drained = 0
  let rejected = 0
  for (;;) {
    const step = await drainOnce(spool, writer, calls)
    if (step.isEmpty) break
    drained += step.drained
    rejected += step.rejected
  }
  const open = [...calls.values()].flatMap(known => ('call' in known ? [known.call] : []))
  const settlement = await orphanSettlement()
  if (open.length > 0) await writer.apply(open.map(call => ({ kind: 'settle', call, settlement })))
  return { drained, rejected, orphaned: open.length }
}
