import type { Outcome } from '../model/call.ts'

/** A call as it is about to be dispatched, or as it was. Nothing of what is said. */
export interface WatchedCall {
  readonly callId: string
  readonly conversationId: string | undefined
  readonly provider: string
  /** Where the provider is reached; undefined of one within this process. */
  readonly address: { readonly host: string; readonly port: number } | undefined
  /** The model that is asked for. */
  readonly model: string
  readonly operation: string
  /** As the client sent them: what it traces, and the call is a part of. */
  readonly traceHeaders: TraceHeaders | undefined
  /** When it was begun, in milliseconds since 1970, where that is told only now that it has ended. */
  readonly startedAt?: number
}

/** Of W3C Trace Context. */
export interface TraceHeaders {
  readonly traceparent: string
}

/** How a call ended, and how long it took in milliseconds, as far as that is known. */
export interface CallEnd extends Pick<Outcome, 'status' | 'errorCode' | 'reply' | 'costNanousd'> {
  readonly latencyMs: number | undefined
  readonly timeToFirstChunkMs?: number | undefined
  /** When, in milliseconds since 1970; just now when left out. */
  readonly endedAt?: number | undefined
}

/** Told once how a call ended. */
export type CallWatch = (end: CallEnd) => void

/** Told of calls. */
export interface CallWatcher {
  watch(call: WatchedCall): CallWatch
}

/** Tells all of these. What goes wrong in them is not the call's. */
export function watchers(all: readonly CallWatcher[]): CallWatcher {
  return {
    watch(call) {
      const watches = all.map(one => quietly(() => one.watch(call)))
      return end => {
        for (const watch of watches) quietly(() => watch?.(end))
      }
    },
  }
}

function quietly<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
