import type { Database } from '../db/database.ts'
import { type Waiting, waitsForSearch } from '../store/search-queue.ts'
import type { ConversationPlace, IndexOperation, OperationResult, PostponeOperation } from './operations.ts'

/** For how long a conversation is kept in mind before it is queued, in milliseconds, and how many are. */
const longestInMind = 30_000
const mostInMind = 50_000

/** Conversations queued in one transaction. */
const postponedAtATime = 1_000

/** A conversation that calls of this process have added to, and that may not be indexed up to its end. */
interface Unindexed extends ConversationPlace {
  /** The lowest id of those calls. */
  callId: string
  /** Since when, by the clock of `performance.now`. */
  readonly since: number
  /** How often it was added to. */
  additions: number
}

/** One as it was when it was about to be indexed: what is added meanwhile is not indexed with it. */
interface Begun {
  readonly unindexed: Unindexed
  readonly additions: number
}

interface Parts {
  /** False while search is off: then nothing is kept. */
  readonly isOn: boolean
  readonly submit: (operation: IndexOperation | PostponeOperation) => Promise<OperationResult>
  readonly onError?: ((error: unknown) => void) | undefined
}

/**
 * What this process has recorded of calls and has not seen indexed. It is kept in mind instead of being queued, so that a
 * call costs nothing for the index. Should the process die, its row tells from which call on to look (`open_since`); what is
 * kept for long is queued after all, so that others need not look far back.
 */
export class UnindexedConversations {
  readonly #parts: Parts
  readonly #ofUsers = new Map<string, Map<string, Unindexed>>()
  /** Calls that are being recorded whole. */
  readonly #underWay = new Set<string>()
  #size = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @param conversationId empty of a call that belongs to none */
  keep(userId: string, conversationId: string | undefined, callId: string): void {
    if (!this.#parts.isOn || conversationId === undefined || conversationId === '') return
    let own = this.#ofUsers.get(userId)
    if (own === undefined) {
      own = new Map()
      this.#ofUsers.set(userId, own)
    }
    const known = own.get(conversationId)
    if (known !== undefined) {
      known.additions++
      if (callId < known.callId) known.callId = callId
      return
    }
    own.set(conversationId, { userId, conversationId, callId, since: performance.now(), additions: 1 })
    this.#size++
    if (this.#size === mostInMind)
      void this.postpone(performance.now()).catch(error => this.#parts.onError?.(error))
  }

  /** Does work for a call that must be found by its id whatever becomes of this process meanwhile. */
  async during<R>(callId: string, work: () => Promise<R>): Promise<R> {
    this.#underWay.add(callId)
    try {
      return await work()
    } finally {
      this.#underWay.delete(callId)
    }
  }

  /** The lowest of their calls' ids and `bound`. */
  lowestCall(bound: string): string {
    let lowest = bound
    for (const { callId } of this.#all()) if (callId < lowest) lowest = callId
    for (const callId of this.#underWay) if (callId < lowest) lowest = callId
    return lowest
  }

  /** @param self this process, when it knows of all its calls */
  async waiting(database: Database, userId: string, self: string | undefined): Promise<Waiting> {
    const { isQueued, conversationIds } = await waitsForSearch(database, userId, self)
    return { isQueued: isQueued || this.#ofUsers.has(userId), conversationIds }
  }

  /** Indexes what waits, be it queued or in mind. True when no more does. */
  async index({
    userId,
    limit,
    conversations = [],
  }: Pick<IndexOperation, 'userId' | 'limit' | 'conversations'>): Promise<boolean> {
    const own = this.#some(limit, userId)
    const { isIndexed, left = [] } = await this.#parts.submit({
      kind: 'index',
      userId,
      limit,
      conversations: [...own.map(placeOf), ...conversations],
    })
    const waiting = new Set(left.map(keyOf))
    this.#done(own.filter(({ unindexed }) => !waiting.has(keyOf(unindexed))))
    return isIndexed === true && own.length < limit
  }

  /**
   * Queues what has been kept since before that time: nobody indexes in this process, or it does not keep up. True when some
   * is still kept.
   */
  async postpone(until = performance.now() - longestInMind): Promise<boolean> {
    const old = () => this.#some(postponedAtATime, undefined, until)
    for (let some = old(); some.length > 0; some = old()) {
      await this.#parts.submit({ kind: 'postpone', conversations: some.map(placeOf) })
      this.#done(some)
    }
    return this.#size > 0
  }

  #done(begun: readonly Begun[]): void {
    for (const { unindexed, additions } of begun) {
      const { userId, conversationId } = unindexed
      const own = this.#ofUsers.get(userId)
      if (own?.get(conversationId) !== unindexed || unindexed.additions !== additions) continue
      own.delete(conversationId)
      this.#size--
      if (own.size === 0) this.#ofUsers.delete(userId)
    }
  }

  #some(limit: number, userId?: string, until = Number.POSITIVE_INFINITY): Begun[] {
    const some: Begun[] = []
    for (const unindexed of this.#all(userId)) {
      if (some.length === limit) break
      if (unindexed.since < until) some.push({ unindexed, additions: unindexed.additions })
    }
    return some
  }

  *#all(userId?: string): Generator<Unindexed> {
    if (userId !== undefined) yield* this.#ofUsers.get(userId)?.values() ?? []
    else for (const own of this.#ofUsers.values()) yield* own.values()
  }
}

function placeOf({ unindexed: { userId, conversationId } }: Begun): ConversationPlace {
  return { userId, conversationId }
}

function keyOf({ userId, conversationId }: ConversationPlace): string {
  return `${conversationId} ${userId}`
}
