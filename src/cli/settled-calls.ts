import { idTime, isId, lowestIdAt } from '../ids.ts'
import type { Stele } from '../stele.ts'
import type { Call } from '../store/calls.ts'

const page = 1_000

/**
 * Ids are made before they are committed, by processes whose clocks differ: a call may appear below one that was seen
 * already. Each poll therefore looks this far back, in milliseconds.
 */
const overlap = 30_000

/**
 * Follows the record: every call that is settled after `start`, once. A call that is still pending is kept in mind,
 * however long it takes. A call recorded under an id older than the overlap (one made elsewhere) is not seen.
 */
export class SettledCalls {
  readonly #calls: Stele['calls']
  readonly #filter: { readonly userId?: string }
  /** Calls under way, by id, with their users. */
  readonly #pending = new Map<string, string>()
  /** Settled calls within the overlap. */
  readonly #seen = new Set<string>()
  /** Nothing at or below this id is looked at. */
  #floor = ''
  /** When the newest call so far was made, by the clock of its process. */
  #newestTime = 0

  constructor(calls: Stele['calls'], userId: string | undefined) {
    this.#calls = calls
    this.#filter = userId === undefined ? {} : { userId }
  }

  /** Takes note of what is settled already, and of what is under way among the newest calls. */
  async start(): Promise<void> {
    const newest = await this.#calls.list({ ...this.#filter, limit: page })
    for (const call of newest) this.#take(call)
    // With more calls than were looked at, the oldest of them is where knowledge begins.
    const oldest = newest.at(-1)
    if (newest.length === page && oldest !== undefined) this.#floor = oldest.id
    this.#forget()
  }

  /** The calls settled since the last time, in the order in which they were. */
  async poll(): Promise<Call[]> {
    const settled: Call[] = []
    for (const [id, userId] of [...this.#pending]) {
      const call = await this.#calls.get(userId, id)
      if (call !== undefined && this.#take(call)) settled.push(call)
    }
    for (let after = this.#floor, isLast = false; !isLast; ) {
      const calls = await this.#calls.list({ ...this.#filter, limit: page, after })
      settled.push(...calls.filter(call => this.#take(call)))
      after = calls.at(-1)?.id ?? after
      isLast = calls.length < page
    }
    this.#forget()
    return settled.sort((a, b) => (a.settledAt ?? 0) - (b.settledAt ?? 0))
  }

  /** True when the call is settled and was not before. */
  #take({ id, userId, status }: Call): boolean {
    if (isId('call', id)) this.#newestTime = Math.max(this.#newestTime, idTime(id))
    if (status === 'pending') {
      this.#pending.set(id, userId)
      return false
    }
    this.#pending.delete(id)
    if (this.#seen.has(id)) return false
    this.#seen.add(id)
    return true
  }

  /** Moves on, never past this machine's own time: an id from the future must not hide those of the present. */
  #forget(): void {
    const floor = lowestIdAt('call', Math.max(0, Math.min(this.#newestTime, Date.now()) - overlap))
    if (floor <= this.#floor) return
    this.#floor = floor
    for (const id of this.#seen) if (id <= floor) this.#seen.delete(id)
  }
}
