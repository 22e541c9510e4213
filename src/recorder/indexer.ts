import type { Recorder } from './recorder.ts'

/** Messages indexed in one transaction while calls may wait for the same writer. */
const inBackground = 32

/** Milliseconds between two looks at an empty queue, and after a failure. */
const idlePause = 1_000
const failurePause = 5_000

/** How much longer than it worked it then rests, so that what calls need most of the time is theirs. */
const rest = 4

/** Indexes what is recorded, in the background, in small pieces. Any number may work on one database. */
export class Indexer {
  readonly #recorder: Recorder
  readonly #onError: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(recorder: Recorder, onError: (error: unknown) => void) {
    this.#recorder = recorder
    this.#onError = onError
  }

  start(): void {
    this.#wait(0)
  }

  /** Resolves when nothing of it is under way any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#turn
  }

  #wait(pause: number): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => {
      this.#turn = this.#work()
    }, pause).unref()
  }

  async #work(): Promise<void> {
    // What the spool holds goes first; the database is away or busy with it.
    if (this.#recorder.spool?.isSpooling === true) return this.#wait(failurePause)
    const started = performance.now()
    try {
      const isIndexed = await this.#recorder.index({ limit: inBackground })
      this.#wait(isIndexed ? idlePause : rest * (performance.now() - started))
    } catch (error) {
      this.#onError(error)
      this.#wait(failurePause)
    }
  }
}
