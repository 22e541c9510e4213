import type { Store } from '../store/contents.ts'
import { type OpenCall, openCallsPage, promptInstances } from '../store/instances.ts'
import { queueCallsOf } from '../store/search-queue.ts'
import { OutcomeUnknown } from './queue.ts'

/** For so long after a begin failed its commit may still turn up, in milliseconds. */
const doubtTime = 30_000

/** Calls of which something failed for its caller and may have been committed all the same. */
export class Doubts {
  readonly #database: Store
  readonly #instanceId: string
  /** The lowest id of them, and when the last of them failed. */
  #doubt: { readonly since: string; readonly at: number } | undefined

  constructor(database: Store, instanceId: string) {
    this.#database = database
    this.#instanceId = instanceId
  }

  get any(): boolean {
    return this.#doubt !== undefined
  }

  note(callId: string): void {
    this.#doubt = { since: this.lowest(callId), at: performance.now() }
  }

  /** What an operation of a call comes to, noted unless it is known whether it was committed. */
  async unless<R>(callId: string, answer: Promise<R>): Promise<R> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof OutcomeUnknown) this.note(callId)
      throw error
    }
  }

  /** The lowest of their ids and `bound`. */
  lowest(bound: string): string {
    const { since = bound } = this.#doubt ?? {}
    return bound < since ? bound : since
  }

  /**
   * Ends those that are on record and open, page by page: nobody makes them, and while they are open they hold whatever they
   * took. In the end nothing of them is left in the dark that is to be indexed for search.
   * @param open the calls that this process makes
   */
  async resolve(
    open: ReadonlySet<string>,
    end: (unmade: readonly OpenCall[]) => Promise<void>,
  ): Promise<void> {
    const doubt = this.#doubt
    if (doubt === undefined) return
    const instances = promptInstances(this.#database)
    const since = performance.now()
    for (let from = doubt.since; ; ) {
      const openBefore = new Set(open)
      const page = await instances.openCalls({ id: this.#instanceId, open_since: from })
      await end(page.filter(call => !openBefore.has(call.id) && !open.has(call.id)))
      if (page.length < openCallsPage) break
      from = page.at(-1)?.id ?? from
    }
    // A server that stood still may carry out late what it was asked: it is looked for once more.
    if (this.#doubt !== doubt || since - doubt.at <= doubtTime) return
    await queueCallsOf(this.#database, { id: this.#instanceId, open_since: doubt.since })
    if (this.#doubt === doubt) this.#doubt = undefined
  }
}
