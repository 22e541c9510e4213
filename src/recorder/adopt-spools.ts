import type { CallStart } from '../model/call.ts'
import { Drain, type DrainStep, type SpooledCalls } from './drain.ts'
import type { HeartbeatOperation } from './operations.ts'
import { orphanSettlement } from './settlement.ts'
import { Spool, SpoolFailure, SpoolInUse } from './spool.ts'
import type { Writer } from './writer.ts'

export interface Adopted {
  /** Entries that are in the database now. */
  readonly drained: number
  /** Entries that it would not take; they stay in their files. */
  readonly rejected: number
  /** Calls that were begun in a spool and that nobody is left to end. */
  readonly orphaned: number
}

export interface AdoptOptions {
  /** Tries what the database would not take before once more. */
  readonly retryRejected?: boolean
  /** Told of a spool that cannot be read; the others are drained all the same. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/**
 * Drains spools that processes have left which died, or ended while the database was away. One that a living process
 * has is left to it.
 * @throws whatever keeps the database from working; what was not drained is still there
 */
export async function adoptSpools(
  paths: readonly string[],
  key: Uint8Array,
  writer: Writer,
  { retryRejected = false, onError }: AdoptOptions = {},
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
      if (error instanceof SpoolFailure) onError?.(error)
      else if (!(error instanceof SpoolInUse)) throw error
    } finally {
      await spool.close()
    }
  }
  return sum
}

async function adopt(spool: Spool, writer: Writer): Promise<Adopted> {
  const calls: SpooledCalls = new Map()
  const drain = new Drain({ spool, writer, calls, presence: goneProcesses })
  let drained = 0
  let rejected = 0
  for (let failures = 0; ; ) {
    let step: DrainStep
    try {
      step = await drain.step()
      failures = 0
    } catch (error) {
      if (error instanceof SpoolFailure || error instanceof SpoolInUse || ++failures > patience) throw error
      continue
    }
    if (step.isEmpty) break
    drained += step.drained
    rejected += step.rejected
  }
  const open = [...calls.values()].flatMap(known => ('call' in known ? [known.call] : []))
  const settlement = orphanSettlement()
  if (open.length > 0) await writer.apply(open.map(call => ({ kind: 'settle', call, settlement })))
  return { drained, rejected, orphaned: open.length }
}

/** Failures in a row after which the database counts as away; each step is half as large as the one before. */
const patience = 10

/** Their rows may have been removed already; should this process die too, the next one must find them by something. */
function goneProcesses(begins: readonly CallStart[]): HeartbeatOperation[] {
  const oldest = new Map<string, string>()
  for (const { instanceId, callId } of begins) {
    const known = oldest.get(instanceId)
    if (known === undefined || callId < known) oldest.set(instanceId, callId)
  }
  return [...oldest].map(([id, openSince]) => ({
    kind: 'heartbeat',
    instance: { id, host: 'gone', pid: 0, started_at: 0, heartbeat_at: 0, open_since: openSince },
    usedKeys: [],
    onlyIfAbsent: true,
  }))
}
