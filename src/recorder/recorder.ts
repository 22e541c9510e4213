import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { lowestIdAt } from '../ids.ts'
import { inTime } from '../in-time.ts'
import {
  type BegunCall,
  begunCall,
  type CallStart,
  type Outcome,
  type PlacedCall,
  type RecordedCall,
  type SettledCall,
  type SettledTogether,
} from '../model/call.ts'
import { promptInstances } from '../store/instances.ts'
import type { Waiting } from '../store/search-queue.ts'
import { storeFailure } from '../store-failure.ts'
import type { CallWatcher } from '../telemetry/watch.ts'
import { AcceptedWork } from './accepted-work.ts'
import type { Adopted } from './adopt-spools.ts'
import { askedIn, type BeginInput } from './begin-input.ts'
import { idTaken } from './call-ids.ts'
import { callStart } from './call-start.ts'
import { Doubts } from './doubts.ts'
import { beatsPerLease, defaultLease, instanceRow, Watch } from './instance.ts'
import type { ChangeOperation, IndexOperation, OperationResult, RelistOperation } from './operations.ts'
import { CommitQueue, OutcomeUnknown } from './queue.ts'
import type { RecorderOptions } from './recorder-options.ts'
import { giveUp, recoverOrphans } from './recovery.ts'
import { begunBy, Reserving, takesNothing, withoutStanding } from './reserving.ts'
import { Settlements } from './settlements.ts'
import type { SpoolState } from './spooling-writer.ts'
import { type Ended, type EndedCall, type EndOfCall, tellEnded } from './tell-ended.ts'
import { UnindexedConversations } from './unindexed.ts'

/** Milliseconds that taking this process off the list of the living may take: it will be found gone all the same. */
const leaveTime = 3_000

/** Clocks of two machines may differ this much before a scan for open calls could start too late. */
const clockTolerance = 60_000

/** Owns every transaction of a call: what `begin` and `settle` resolve with is committed. */
export class Recorder {
  /** Told how calls ended that are recorded through the library. */
  readonly watchers = new Set<CallWatcher>()
  readonly #options: RecorderOptions
  readonly #queue: CommitQueue
  readonly #settlements: Settlements
  readonly #reserving: Reserving
  readonly #open = new Set<string>()
  readonly #doubts: Doubts
  readonly #unindexed: UnindexedConversations
  readonly #watch: Watch
  readonly #usedKeys = new Map<string, number>()
  readonly #instance: Row<'instances'>
  #openSince: string
  #heartbeat: NodeJS.Timeout | undefined
  #started: Promise<number> | undefined
  #lastBeat: Promise<void> = Promise.resolve()
  readonly #accepted = new AcceptedWork()
  #isClosed = false

  constructor(options: RecorderOptions) {
    this.#options = options
    this.#settlements = new Settlements(options.hashes, options.accounting)
    this.#doubts = new Doubts(options.database, options.instanceId)
    this.#watch = new Watch(options.lease ?? defaultLease)
    this.#queue = new CommitQueue(options.writer, {
      maxQueued: options.maxQueued ?? 10_000,
      maxBatch: 256,
      retryFor: options.retryFor ?? 5_000,
    })
    this.#reserving = new Reserving(options.reserver, operation => this.#queue.submit(operation))
    this.#unindexed = new UnindexedConversations({
      isOn: options.database.search !== undefined,
      submit: operation => this.#accepted.during(() => this.#queue.submit(operation)),
      onError: options.onError,
    })
    this.#openSince = lowestIdAt('call', Date.now() - clockTolerance)
    this.#instance = instanceRow(options.instanceId, this.#openSince)
  }

  /** Operations waiting for a commit. */
  get queueLength(): number {
    return this.#queue.length
  }

  /** Why nothing can be written at present; undefined when the last attempt went well. */
  get failure(): SteleError | undefined {
    return this.#queue.failure
  }

  /** How the spool stands; undefined when there is none. */
  get spool(): SpoolState | undefined {
    return this.#options.spooling?.state
  }

  /**
   * Makes this process known and settles what dead ones left open; the first `begin` does so by itself. Returns how
   * many calls were found orphaned.
   */
  start(): Promise<number> {
    this.#started ??= this.#start()
    return this.#started
  }

  /**
   * Commits the intent to make a call, and with it the claim to its idempotency key, if it has one.
   * @throws SteleError for a bad body, an unknown conversation, call_id_conflict, call_id_taken, store_unavailable, shutting_down;
   * idempotency_key_reused, idempotency_key_in_use when another call holds the key; those of limits (docs/limits.md)
   */
  begin(input: BeginInput): Promise<BegunCall> {
    return this.#accepted.during(async () => {
      const start = this.#startOf(input)
      await this.#ready()
      const isOpen = this.#open.has(start.callId)
      if (isOpen && input.isNew) throw idTaken(start.callId)
      this.#open.add(start.callId)
      try {
        // Recovery looks no further back than this; an older id (a caller's own) must move it first.
        if (start.callId < this.#openSince) await this.#beat()
        const result = await this.#reserving.begin(start, input)
        if (result.isOwn === false && input.isNew) throw idTaken(start.callId)
        this.#unindexed.keep(start.userId, result.decision?.conversationId, start.callId)
        return this.#settlements.begun(begunBy(start, result), askedIn(input))
      } catch (error) {
        if (error instanceof OutcomeUnknown) this.#doubts.note(start.callId)
        if (!isOpen) this.#open.delete(start.callId)
        throw error
      }
    })
  }

  /**
   * Commits how a call ended. Repeating it changes nothing.
   * @param options.once refuses to repeat it: what was to be recorded would not be; `isWatched`: the watchers know of it
   * @throws SteleError invalid_value, store_unavailable, call_orphaned; call_id_taken
   */
  settle(call: BegunCall, outcome: Outcome, { once = false, isWatched = false } = {}): Promise<SettledCall> {
    return this.#accepted.during(async () => {
      await this.#ready({ evenWhenClosing: this.#open.has(call.callId) })
      const settlement = await this.#settlements.of(outcome, call)
      const operation = { kind: 'settle', call: withoutStanding(call), settlement } as const
      const { conversationId, isRepeat, isOwn } = await this.#doubts.unless(
        call.callId,
        this.#queue.submit(operation),
      )
      const { costNanousd } = settlement
      this.#ended(call, { outcome, costNanousd, conversationId, isTold: isRepeat || isWatched })
      if (isOwn === false && once) throw idTaken(call.callId)
      return { callId: call.callId, conversationId: conversationId || undefined, isRepeat, costNanousd }
    })
  }

  /**
   * Commits a whole call in one transaction.
   * @param options.isAsked it took nothing, and limits may refuse it; else it was made elsewhere, and whether it may be is over;
   *   `isWatched`: the watchers know of it
   * @throws SteleError as `begin` and `settle` do
   */
  record(
    input: BeginInput,
    outcome: Outcome,
    { isAsked = false, isWatched = false } = {},
  ): Promise<RecordedCall> {
    return this.#accepted.during(async () => {
      const start = this.#startOf(input, isAsked ? takesNothing : undefined)
      await this.#ready()
      const { callId } = start
      const settlement = await this.#settlements.ofRecorded(outcome, start, askedIn(input))
      const operation = { kind: 'record', start, settlement, ...(isAsked ? { isAsked } : {}) } as const
      const { conversationId, isRepeat, limits } = await this.#unindexed.during(callId, async () => {
        if (callId < this.#openSince) await this.#beat()
        return this.#doubts.unless(callId, this.#queue.submit(operation))
      })
      const { costNanousd } = settlement
      this.#ended(start, { outcome, costNanousd, conversationId, isTold: isRepeat || isWatched })
      return { callId, conversationId: conversationId || undefined, isRepeat, costNanousd, limits }
    })
  }

  /** Changes what a stored completion is listed with, or takes it off the list. @throws SteleError store_unavailable */
  relist(change: Omit<RelistOperation, 'kind'>): Promise<void> {
    return this.#accepted.during(async () => {
      await this.#ready()
      await this.#queue.submit({ kind: 'relist', ...change })
    })
  }

  /**
   * Commits what an application changes or chooses, which is refused while the database is away, or what becomes of a
   * response or a document outside its calls (see respond.ts, documents.ts).
   */
  change(operation: ChangeOperation): Promise<OperationResult> {
    return this.#accepted.during(async () => {
      const { kind } = operation
      await this.#ready({ evenWhenClosing: kind === 'respond' || kind === 'document' })
      return this.#queue.submit(operation)
    })
  }

  /**
   * Commits the intents to make calls for one request at once, in one transaction.
   * @throws SteleError as `begin` does; store_unavailable while the database is away, spool or not
   */
  beginAll(inputs: readonly BeginInput[]): Promise<PlacedCall[]> {
    return this.#accepted.during(async () => {
      const starts = inputs.map(input => this.#startOf(input))
      await this.#ready()
      for (const { callId } of starts) this.#open.add(callId)
      try {
        const { decisions, limits } = await this.#reserving.beginAll(starts, inputs)
        return starts.flatMap((start, index) => {
          const decision = decisions?.[index]
          this.#unindexed.keep(start.userId, decision?.conversationId, start.callId)
          if (decision === undefined) return []
          const call = { ...begunCall(start, decision), limits }
          return [this.#settlements.begun(call, askedIn(inputs[index] ?? {}))]
        })
      } catch (error) {
        for (const { callId } of starts) {
          if (error instanceof OutcomeUnknown) this.#doubts.note(callId)
          this.#open.delete(callId)
        }
        throw error
      }
    })
  }

  /** Commits how such calls ended, in one transaction. At most one of them adds a message to their conversation. */
  settleAll(endings: readonly Ended[], { isWatched = false } = {}): Promise<SettledTogether> {
    return this.#accepted.during(async () => {
      await this.#ready({ evenWhenClosing: endings.every(({ call }) => this.#open.has(call.callId)) })
      const settlements = endings.map(async ({ call, outcome }) => ({
        call: withoutStanding(call),
        settlement: await this.#settlements.of(outcome, call),
      }))
      const settled = await Promise.all(settlements)
      const { conversationId, isRepeat } = await this.#queue.submit({ kind: 'settle-all', endings: settled })
      const costs = new Map(settled.map(({ call, settlement }) => [call.callId, settlement.costNanousd]))
      const isTold = isRepeat || isWatched
      for (const { call, outcome } of endings)
        this.#ended(call, { outcome, costNanousd: costs.get(call.callId), conversationId, isTold })
      return { conversationId, isRepeat, costs }
    })
  }

  /**
   * Brings into the database what processes that are gone have left in their spools; starting does so too.
   * Undefined when there is no spool.
   */
  async drainSpools(options: { retryRejected?: boolean } = {}): Promise<Adopted | undefined> {
    return this.#options.spooling?.adopt(options)
  }

  /** Puts messages that wait for it into the search index. True when no more wait. @throws SteleError store_unavailable */
  index(what: Pick<IndexOperation, 'userId' | 'limit' | 'conversations'>): Promise<boolean> {
    return this.#accepted.during(() => this.#unindexed.index(what))
  }

  /** What of a user is on record and may not be in the search index. */
  waitingFor(userId: string): Promise<Waiting> {
    // While this process does not know what became of its calls, it looks at them as if they were another's.
    const self = this.#doubts.any ? undefined : this.#instance.id
    return this.#unindexed.waiting(this.#options.database, userId, self)
  }

  /** Notes that an API key was used; written with the next heartbeat. */
  touchKey(id: string): void {
    this.#usedKeys.set(id, Date.now())
  }

  /** Waits until everything accepted is committed, then takes this process off the list of the living. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#heartbeat)
    if (this.#started !== undefined) {
      await this.#started.catch(() => undefined)
      await this.#accepted.done()
      const leave = async (): Promise<boolean> => {
        if (this.#usedKeys.size > 0 && this.spool?.isSpooling !== true) await this.#beat()
        return this.spool?.isSpooling === true || this.#unindexed.postpone(Number.POSITIVE_INFINITY)
      }
      // What is left is found by the row of this process.
      const isLeft = await inTime(leave(), leaveTime).catch(() => true)
      // With calls still open the row stays: whoever starts next finds them by it. So it does while the database is away.
      if (this.#open.size === 0 && !isLeft && !this.#doubts.any && this.spool?.isSpooling !== true) {
        const forgetting = promptInstances(this.#options.database).forget(this.#instance.id)
        await inTime(forgetting, leaveTime).catch(error => this.#options.onError?.(error))
      }
    }
    await this.#options.lastWork?.()
    await this.#options.writer.close()
  }

  async #start(): Promise<number> {
    try {
      // Makes this process known, shows that writing works, and has the writer ready before the first call waits for it.
      await this.#beat()
      const found = await this.#recover()
      const interval = (this.#options.lease ?? defaultLease) / beatsPerLease
      this.#heartbeat = setInterval(() => void this.#accepted.during(() => this.#tick()), interval).unref()
      return found
    } catch (error) {
      this.#started = undefined
      throw storeFailure(this.#options.database, error)
    }
  }

  async #recover(): Promise<number> {
    // First what spools know of calls: they may have ended well.
    const adopted = await this.#options.spooling?.adopt()
    const found = await recoverOrphans(this.#options.database, this.#instance, this.#watch, operation =>
      this.#queue.submit(operation),
    )
    return found + (adopted?.orphaned ?? 0)
  }

  async #tick(): Promise<void> {
    try {
      await this.#beat()
      if (this.spool?.isSpooling === true) return
      await this.#doubts.resolve(this.#open, unmade =>
        giveUp(unmade, operation => this.#queue.submit(operation)),
      )
      await this.#unindexed.postpone()
      await this.#recover()
      await this.#options.removeOldCounters?.()
    } catch (error) {
      this.#watch.restart()
      this.#options.onError?.(error)
    }
  }

  /** One after another: a beat that was overtaken would put an earlier state over a later one. */
  #beat(): Promise<void> {
    const turn = this.#lastBeat.then(() => this.#beatNow())
    this.#lastBeat = turn.catch(() => undefined)
    return turn
  }

  async #beatNow(): Promise<void> {
    const at = Date.now()
    const bound = this.#unindexed.lowestCall(this.#doubts.lowest(lowestIdAt('call', at - clockTolerance)))
    const openSince = [...this.#open].reduce((low, id) => (id < low ? id : low), bound)
    // Until it is written the higher bound holds: a call that begins meanwhile and is older must move it again.
    if (openSince > this.#openSince) this.#openSince = openSince
    const usedKeys = [...this.#usedKeys].map(([id, usedAt]) => ({ id, at: usedAt }))
    const instance = { ...this.#instance, heartbeat_at: at, open_since: openSince }
    await this.#queue.submit({ kind: 'heartbeat', instance, usedKeys })
    this.#openSince = openSince
    // What could not be written, and what was used again meanwhile, goes with the next.
    for (const { id, at: usedAt } of usedKeys)
      if (this.#usedKeys.get(id) === usedAt) this.#usedKeys.delete(id)
  }

  #ended(call: EndedCall, ended: EndOfCall & { readonly isTold: boolean }): void {
    this.#unindexed.keep(call.userId, ended.conversationId, call.callId)
    this.#open.delete(call.callId)
    this.#settlements.ended(call.callId)
    if (!ended.isTold) tellEnded(this.watchers, call, ended)
  }

  #startOf(input: BeginInput, reservation?: CallStart['reservation']): CallStart {
    const start = callStart(input, this.#options.hashes, this.#instance.id)
    return reservation === undefined ? start : { ...start, reservation }
  }

  async #ready({ evenWhenClosing = false } = {}): Promise<void> {
    for (let isAgain = false; ; isAgain = true) {
      if (this.#isClosed && !evenWhenClosing) throw new SteleError('shutting_down')
      try {
        await this.start()
        return
      } catch (error) {
        // What goes into the spool needs no database yet; whoever comes next tries to start again.
        if (this.spool?.isSpooling === true) return
        // Spooling has not begun where a reading failed, and has ended where the database came back meanwhile.
        if (this.spool === undefined || isAgain) throw error
      }
    }
  }
}
