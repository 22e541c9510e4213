import { extname } from 'node:path'
import { type ResourceLimits, Worker } from 'node:worker_threads'
import { reasonOf, SteleError } from '../errors.ts'

export interface ThreadRequest<Request> {
  readonly id: number
  readonly request: Request
}

/** An answer to a request: its value, or why there is none. */
export interface ThreadReply<Value> {
  readonly id: number
  readonly value?: Value
  readonly failure?: string
}

interface Waiting<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (error: Error) => void
}

/**
 * Requests to a worker thread and their answers, which come in lists. The thread starts with the first request; one that
 * dies is replaced by the next, and what it had not answered is rejected with store_unavailable.
 */
export class Thread<Request, Value> {
  readonly #script: URL
  readonly #data: unknown
  readonly #limits: ResourceLimits
  readonly #waiting = new Map<number, Waiting<Value>>()
  #worker: Worker | undefined
  #nextId = 0
  #isClosed = false

  /** `script` without its extension: the same file is TypeScript in a clone and JavaScript in the package. */
  constructor(script: string, data: unknown, limits: ResourceLimits = {}) {
    this.#script = new URL(`./${script}${extname(import.meta.url)}`, import.meta.url)
    this.#data = data
    this.#limits = limits
  }

  ask(request: Request): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new SteleError('store_unavailable', { reason: 'the writer is closed' })
      this.#worker ??= this.#start()
      this.#worker.ref()
      const id = this.#nextId++
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ id, request } satisfies ThreadRequest<Request>)
    })
  }

  /** Ends the thread. `last` is asked before, and answered when everything asked earlier has been. */
  async close(last: Request): Promise<void> {
    const closing = this.#worker
    const answered = closing && this.ask(last).catch(() => undefined)
    this.#isClosed = true
    await answered
    this.#fail('the writer is closed')
    await closing?.terminate()
  }

  #start(): Worker {
    const started = new Worker(this.#script, { workerData: this.#data, resourceLimits: this.#limits })
    started.on('message', (replies: ThreadReply<Value>[]) => {
      for (const { id, value, failure } of replies) {
        const caller = this.#waiting.get(id)
        this.#waiting.delete(id)
        if (value === undefined) caller?.reject(unavailable(failure ?? 'it gave no answer'))
        else caller?.resolve(value)
      }
      if (this.#waiting.size === 0) started.unref()
    })
    started.on('error', error => started === this.#worker && this.#fail(reasonOf(error)))
    started.on('exit', () => started === this.#worker && this.#fail('the writer thread ended'))
    // Between requests the thread must not keep a program alive that is otherwise done.
    started.unref()
    return started
  }

  #fail(reason: string): void {
    this.#worker = undefined
    for (const { reject } of this.#waiting.values()) reject(unavailable(reason))
    this.#waiting.clear()
  }
}

function unavailable(reason: string): SteleError {
  return new SteleError('store_unavailable', { reason })
}
