import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { SteleError } from '../errors.ts'
import type { Applied, Operation } from './operations.ts'
import type { Writer, WriterSetup } from './writer.ts'

export interface WriterRequest {
  readonly id: number
  readonly operations: readonly Operation[] | undefined
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
    started.on('message', ({ id, applied, unavailable }: WriterReply) => {
      const caller = waiting.get(id)
      waiting.delete(id)
      if (waiting.size === 0) started.unref()
      if (applied !== undefined) caller?.resolve(applied)
      else caller?.reject(new SteleError('store_unavailable', { reason: unavailable ?? 'unknown' }))
    })
    started.on('error', error => started === worker && fail(error.message))
    started.on('exit', () => started === worker && fail('the writer thread ended'))
    // Between batches the thread must not keep a program alive that is otherwise done.
    started.unref()
    return started
  }

  const send = (operations: readonly Operation[] | undefined): Promise<Applied[]> =>
    new Promise((resolve, reject) => {
      if (isClosed) throw new SteleError('store_unavailable', { reason: 'the writer is closed' })
      worker ??= start()
      worker.ref()
      const id = nextId++
      waiting.set(id, { resolve, reject })
      worker.postMessage({ id, operations } satisfies WriterRequest)
    })

  return {
    apply: send,
    async close() {
      const closing = worker
      const closed = closing && send(undefined).catch(() => undefined)
      isClosed = true
      await closed
      fail('the writer is closed')
      await closing?.terminate()
    },
  }
}
