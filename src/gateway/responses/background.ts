import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { Stele } from '../../stele.ts'
import { promptly } from '../../store/contents.ts'
import { responseStore } from '../../store/responses.ts'
import { DetachedClient } from './detached-client.ts'

/** How often is looked whether another process was asked to stop a response that this one makes, in milliseconds. */
const lookEvery = 500

/** Responses that are made without anybody waiting for them. */
export class BackgroundResponses {
  readonly #running = new Map<string, DetachedClient>()
  readonly #responses: ReturnType<typeof responseStore>
  readonly #log: FastifyBaseLogger
  #isLooking = false

  constructor({ database }: Pick<Stele, 'database'>, log: FastifyBaseLogger) {
    this.#responses = responseStore(promptly(database))
    this.#log = log
  }

  /** Whoever stands for the client of a response that is being made here. */
  client(id: string): DetachedClient | undefined {
    return this.#running.get(id)
  }

  /**
   * Has a response made. Resolves when its first call is begun, with what its client is sent.
   * @param make makes it; calls `begun` once its first call is on record
   * @throws SteleError whatever comes before that
   */
  async start(
    id: string,
    make: (client: DetachedClient, begun: () => void) => Promise<void>,
  ): Promise<DetachedClient> {
    const client = new DetachedClient(this.#log)
    const begun = Promise.withResolvers<void>()
    this.#running.set(id, client)
    void this.#look()
    const made = make(client, begun.resolve).finally(() => {
      this.#running.delete(id)
      client.release()
    })
    await Promise.race([begun.promise, made])
    made.catch(error =>
      this.#log.error({ callId: client.callId, err: error }, 'a response in the background failed'),
    )
    return client
  }

  /** Stops a response that is made here. */
  cancel(id: string): void {
    this.#running.get(id)?.abort.abort(new SteleError('response_cancelled'))
  }

  /** Looks, while any are made, for those that other processes were asked to stop. */
  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    for (;;) {
      await pause(lookEvery, undefined, { ref: false })
      if (this.#running.size === 0) break
      const found = await this.#responses.cancelling([...this.#running.keys()]).catch(() => [])
      for (const id of found) this.cancel(id)
    }
    this.#isLooking = false
  }
}
