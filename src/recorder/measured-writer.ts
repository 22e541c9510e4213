import type { Writer } from './writer.ts'

/** Told of each batch that was written, or could not be. */
export type OnBatch = (batch: {
  readonly operations: number
  /** Milliseconds from handing it over to its commit. */
  readonly took: number
  readonly isCommitted: boolean
}) => void

export interface MeasuredWriter extends Writer {
  /** Whether anything was ever given to it. */
  readonly isUsed: boolean
  /** Has each further batch told; one listener at a time. */
  listen(listener: OnBatch | undefined): void
}

/** A writer that tells how its batches went. */
export function measuredWriter(writer: Writer): MeasuredWriter {
  let isUsed = false
  let listener: OnBatch | undefined
  return {
    concurrentBatches: writer.concurrentBatches,
    get isUsed() {
      return isUsed
    },
    listen(given) {
      listener = given
    },
    async apply(operations) {
      isUsed = true
      const tell = listener
      if (tell === undefined) return writer.apply(operations)
      const startedAt = performance.now()
      const told = (isCommitted: boolean): void =>
        tell({ operations: operations.length, took: performance.now() - startedAt, isCommitted })
      try {
        const applied = await writer.apply(operations)
        told(true)
        return applied
      } catch (error) {
        told(false)
        throw error
      }
    },
    close: () => writer.close(),
  }
}
