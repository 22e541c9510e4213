import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { reasonOf, SteleError } from '../errors.ts'
import type { Applied, Operation } from './operations.ts'
import type { Writer, WriterSetup } from './writer.ts'

export interface WriterRequest {
  readonly id: number
  readonly operations: readonly Operation[]
}

export interface WriterReply {
  readonly id: number
  readonly applied?: Applied[]
  readonly unavailable?: string
}

interface Waiting {
  readonly resolve: (applied: Applied[]) => void
  readonly reject: (error: Error) => void
}

/**
 * Batches under way at once. The thread takes all it finds whenever it has finished a commit, so that it never waits for
 * this side to make up the next one.
 */
const concurrentBatches = 64

/**
 * Writes in a worker thread, so that waiting for the disk never stalls the event loop. A worker that dies is replaced
 * at the next batch; operations are idempotent, so the batch it held can be sent again.
 */
export function threadWriter(setup: WriterSetup): Writer {
  const waiting = new Map<number, Waiting>()
  let worker: Worker | undefined
  let nextId = 0
  let isClosed = false

  const fail = (reason: string): void => {
    worker = undefined
    for (const { reject } of waiting.values()) reject(new SteleError('store_unavailable', { reason }))
    waiting.clear()
  }

  const start = (): Worker => {
    // The same file is TypeScript in a clone and JavaScript in the package.
    const started = new Worker(new URL(`./writer-thread${extname(import.meta.url)}`, import.meta.url), {
      workerData: setup,
    })
    started.on('message', (replies: WriterReply[]) => {
      for (const { id, applied, unavailable } of replies) {
        const caller = waiting.get(id)
        waiting.delete(id)
        if (applied !== undefined) caller?.resolve(applied)
        else caller?.reject(new SteleError('store_unavailable', { reason: unavailable ?? 'unknown' }))
      }
      if (waiting.size === 0) started.unref()
    })
    started.on('error', error => started === worker && fail(reasonOf(error)))
    started.on('exit', () => started === worker && fail('the writer thread ended'))
    // Between batches the thread must not keep a program alive that is otherwise done.
    started.unref()
    return started
  }

  const send = (operations: readonly Operation[]): Promise<Applied[]> =>
    new Promise((resolve, reject) => {
      if (isClosed) throw new SteleError('store_unavailable', { reason: 'the writer is closed' })
      worker ??= start()
      worker.ref()
      const id = nextId++
      waiting.set(id, { resolve, reject })
      worker.postMessage({ id, operations } satisfies WriterRequest)
    })

  return {
    concurrentBatches,
    apply: send,
    async close() {
      const closing = worker
      // Whatever was sent before has been written when an empty batch is answered.
      const closed = closing && send([]).catch(() => undefined)
      isClosed = true
      await closed
      fail('the writer is closed')
      await closing?.terminate()
    },
  }
}
