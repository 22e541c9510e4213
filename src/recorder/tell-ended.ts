import type { CallStart, Outcome, PlacedCall } from '../model/call.ts'
import { type CallWatcher, watchers } from '../telemetry/watch.ts'

/** A call and how it ended. */
export interface Ended {
  readonly call: PlacedCall
  readonly outcome: Outcome
}

/** How a call ended, as it is on record. */
export interface EndOfCall {
  readonly outcome: Outcome
  readonly costNanousd: number | undefined
  readonly conversationId: string | undefined
}

export type EndedCall = Pick<
  CallStart,
  'callId' | 'userId' | 'provider' | 'requestModel' | 'operation' | 'createdAt'
>

/** Tells of a call that is on record, and that nobody has watched while it went on, when it began and how it ended. */
export function tellEnded(
  told: Iterable<CallWatcher>,
  { callId, provider, requestModel: model, operation, createdAt }: EndedCall,
  { outcome, costNanousd, conversationId }: EndOfCall,
): void {
  const { status, errorCode, reply, latencyMs, timeToFirstChunkMs } = outcome
  const endedAt = outcome.createdAt ?? Date.now()
  const startedAt = latencyMs === undefined ? Math.min(createdAt, endedAt) : endedAt - latencyMs
  const place = { callId, conversationId: conversationId || undefined, provider, model, operation }
  const watch = watchers([...told]).watch({
    ...place,
    address: undefined,
    traceHeaders: undefined,
    startedAt,
  })
  watch({ status, errorCode, reply, costNanousd, latencyMs, timeToFirstChunkMs, endedAt })
}
