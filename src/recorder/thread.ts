import { extname } from 'node:path'
import { MessageChannel, type MessagePort, type ResourceLimits, Worker } from 'node:worker_threads'
import { SteleError } from '../errors.ts'
import { quietReasonOf } from '../quiet-error.ts'

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

/** What a worker is to work on from now on, and where it is told what to do. */
export interface ThreadTask {
  readonly data: unknown
  readonly port: MessagePort
}

/**
 * The workers that their threads have done with, one a script at most, for whoever needs the next: to start one costs a
 * tenth of a second, most of it the loading of code. They keep no program alive.
 */
const idle = new Map<string, Worker>()

/**
 * Requests to a worker thread and their answers, which come in lists. The thread starts with the first request; one that
 * dies is replaced by the next, and what it had not answered is rejected with store_unavailable.
 */
export class Thread<Request, Value> {
  readonly #script: URL
  readonly #data: unknown
  readonly #limits: ResourceLimits
  readonly #waiting = new Map<number, Waiting<Value>>()
  #running: { readonly worker: Worker; readonly port: MessagePort } | undefined
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
      this.#running ??= this.#start()
      const { port } = this.#running
      port.ref()
      const id = this.#nextId++
      this.#waiting.set(id, { resolve, reject })
      port.postMessage({ id, request } satisfies ThreadRequest<Request>)
    })
  }

  /**
   * Ends the thread. `last` is asked before, and answered when everything asked earlier has been and the worker has let
   * go of all that it held.
   */
  async close(last: Request): Promise<void> {
    const closing = this.#running
    const hasLetGo =
      closing &&
      this.ask(last).then(
        () => true,
        () => false,
      )
    this.#isClosed = true
    const mayServeOthers = await hasLetGo
    this.#fail('the writer is closed')
    closing?.port.close()
    if (closing === undefined) return
    const { href } = this.#script
    if (mayServeOthers === true && !idle.has(href)) keep(href, closing.worker)
    else await closing.worker.terminate()
  }

  #start(): { worker: Worker; port: MessagePort } {
    const { port1: port, port2 } = new MessageChannel()
    const worker = takeIdle(this.#script.href) ?? new Worker(this.#script, { resourceLimits: this.#limits })
    worker.postMessage({ data: this.#data, port: port2 } satisfies ThreadTask, [port2])
    port.on('message', (replies: ThreadReply<Value>[]) => {
      for (const { id, value, failure } of replies) {
        const caller = this.#waiting.get(id)
        this.#waiting.delete(id)
        if (value === undefined) caller?.reject(unavailable(failure ?? 'it gave no answer'))
        else caller?.resolve(value)
      }
      if (this.#waiting.size === 0) port.unref()
    })
    const isCurrent = (): boolean => worker === this.#running?.worker
    worker.on('error', error => isCurrent() && this.#fail(quietReasonOf(error)))
    worker.on('exit', () => isCurrent() && this.#fail('the writer thread ended'))
    // Between requests the thread must not keep a program alive that is otherwise done.
    worker.unref()
    port.unref()
    return { worker, port }
  }

  #fail(reason: string): void {
    this.#running?.port.unref()
    this.#running = undefined
    for (const { reject } of this.#waiting.values()) reject(unavailable(reason))
    this.#waiting.clear()
  }
}

function keep(script: string, worker: Worker): void {
  const forget = (): void => void idle.delete(script)
  worker.removeAllListeners()
  worker.once('error', forget)
  worker.once('exit', forget)
  idle.set(script, worker)
}

function takeIdle(script: string): Worker | undefined {
  const worker = idle.get(script)
  worker?.removeAllListeners()
  idle.delete(script)
  return worker
}

function unavailable(reason: string): SteleError {
  return new SteleError('store_unavailable', { reason })
}
