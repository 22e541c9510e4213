import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { CountReply, CountRequest } from './count-thread.ts'
import { quickTokens } from './tokens.ts'

/** Milliseconds that a call may wait for its tokens to be counted; the first waits until the tokenizer is loaded. */
const longestWait = 15_000
/** Counts that may be waited for; beyond that the quick count has to do. */
const mostWaiting = 1_000
/** Milliseconds without work after which the thread and the memory of its tokenizer are let go. */
const idleTime = 60_000

/**
 * One thread for the process: loading a tokenizer holds up an event loop for a fifth of a second and a long text for
 * milliseconds. It keeps no program alive.
 */
let thread: CountThread | undefined

/** How many tokens a model makes of some texts, counted beside the event loop; by the quick count when that takes too long. */
export async function countBeside(model: string, texts: readonly string[]): Promise<number> {
  const tokens = await countedBeside(model, texts)
  return tokens ?? texts.reduce((sum, text) => sum + quickTokens(text), 0)
}

/** The same; undefined when that takes too long. */
export async function countedBeside(model: string, texts: readonly string[]): Promise<number | undefined> {
  if (texts.length === 0) return 0
  thread ??= new CountThread()
  return thread.count(model, texts)
}

class CountThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, (tokens: number | undefined) => void>()
  #nextId = 0
  #idle: NodeJS.Timeout | undefined

  constructor() {
    // The same file is TypeScript in a clone and JavaScript in the package. Flags for the main script, as of how to read it,
    // would keep it from starting.
    const script = new URL(`./count-thread${extname(import.meta.url)}`, import.meta.url)
    this.#worker = new Worker(script, { execArgv: [] })
    this.#worker.on('message', ({ id, tokens }: CountReply) => this.#answer(id, tokens))
    this.#worker.on('error', () => this.#end())
    this.#worker.on('exit', () => this.#end())
    // Last: to listen is to keep the program alive. While a count is waited for, its timer does.
    this.#worker.unref()
  }

  count(model: string, texts: readonly string[]): Promise<number | undefined> {
    if (this.#waiting.size >= mostWaiting) return Promise.resolve(undefined)
    clearTimeout(this.#idle)
    const id = this.#nextId++
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#answer(id, undefined), longestWait)
      this.#waiting.set(id, tokens => {
        clearTimeout(timer)
        resolve(tokens)
      })
      this.#worker.postMessage({ id, model, texts } satisfies CountRequest)
    })
  }

  #answer(id: number, tokens: number | undefined): void {
    this.#waiting.get(id)?.(tokens)
    this.#waiting.delete(id)
    if (this.#waiting.size > 0) return
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => void this.#worker.terminate(), idleTime).unref()
  }

  #end(): void {
    if (thread === this) thread = undefined
    for (const id of [...this.#waiting.keys()]) this.#answer(id, undefined)
    clearTimeout(this.#idle)
  }
}
