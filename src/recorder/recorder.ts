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
  type SettledCall,
} from '../model/call.ts'
import { promptInstances } from '../store/instances.ts'
import type { Waiting } from '../store/search-queue.ts'
import type { Adopted } from './adopt-spools.ts'
import type { BeginInput } from './begin-input.ts'
import { idTaken } from './call-ids.ts'
import { callStart } from './call-start.ts'
import { Doubts } from './doubts.ts'
import { beatsPerLease, defaultLease, instanceRow, Watch } from './instance.ts'
import type {
  AppendOperation,
  ChooseOperation,
  DocumentOperation,
  EditOperation,
  IndexOperation,
  OperationResult,
  RelistOperation,
  ResealOperation,
  RespondOperation,
} from './operations.ts'
import { CommitQueue, OutcomeUnknown } from './queue.ts'
import type { RecorderOptions } from './recorder-options.ts'
import { giveUp, recoverOrphans } from './recovery.ts'
import { begunBy, Reserving, withoutStanding } from './reserving.ts'
import { Settlements } from './settlements.ts'
import type { SpoolState } from './spooling-writer.ts'
import { UnindexedConversations } from './unindexed.ts'

/** A call and how it ended. */
export interface Ended {
  readonly call: PlacedCall
  readonly outcome: Outcome
}

/** Milliseconds that taking this process off the list of the living may take: it will be found gone all the same. */
const leaveTime = 3_000

/** Clocks of two machines may differ this much before a scan for open calls could start too late. */
const clockTolerance = 60_000

/** Owns every transaction of a call: what `begin` and `settle` resolve with is committed. */
export class Recorder {
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
  #accepted = 0
  readonly #whenQuiet: (() => void)[] = []
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
      submit: operation => this.#accept(() => this.#queue.submit(operation)),
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
    return this.#accept(async () => {
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
        return this.#settlements.begun(begunBy(start, result), input.body)
      } catch (error) {
        if (error instanceof OutcomeUnknown) this.#doubts.note(start.callId)
        if (!isOpen) this.#open.delete(start.callId)
        throw error
      }
    })
  }

  /**
   * Commits how a call ended. Repeating it changes nothing.
   * @param options.once refuses to repeat it: what was to be recorded would not be
   * @throws SteleError store_unavailable, call_orphaned; call_id_taken
   */
  settle(call: BegunCall, outcome: Outcome, { once = false } = {}): Promise<SettledCall> {
    return this.#accept(async () => {
      await this.#ready({ evenWhenClosing: this.#open.has(call.callId) })
      const settlement = await this.#settlements.of(outcome, call)
      const operation = { kind: 'settle', call: withoutStanding(call), settlement } as const
      const { conversationId, isRepeat, isOwn } = await this.#doubts.unless(
        call.callId,
        this.#queue.submit(operation),
      )
      this.#unindexed.keep(call.userId, conversationId, call.callId)
      this.#open.delete(call.callId)
      this.#settlements.ended(call.callId)
      if (isOwn === false && once) throw idTaken(call.callId)
      const { costNanousd } = settlement
      return { callId: call.callId, conversationId: conversationId || undefined, isRepeat, costNanousd }
    })
  }

  /** Commits a whole call that was made elsewhere, in one transaction. */
  record(input: BeginInput, outcome: Outcome): Promise<SettledCall> {
    return this.#accept(async () => {
      const start = this.#startOf(input)
      await this.#ready()
      const { callId, userId } = start
      const settlement = await this.#settlements.ofRecorded(outcome, start, input.body)
      const { conversationId, isRepeat } = await this.#unindexed.during(callId, async () => {
        if (callId < this.#openSince) await this.#beat()
        return this.#doubts.unless(callId, this.#queue.submit({ kind: 'record', start, settlement }))
      })
      this.#unindexed.keep(userId, conversationId, callId)
      return { callId, conversationId: conversationId || undefined, isRepeat }
    })
  }

  /** Changes what a stored completion is listed with, or takes it off the list. @throws SteleError store_unavailable */
  relist(change: Omit<RelistOperation, 'kind'>): Promise<void> {
    return this.#accept(async () => {
      await this.#ready()
      await this.#queue.submit({ kind: 'relist', ...change })
    })
  }

  /**
   * Commits what an application changes or chooses, which is refused while the database is away, or what becomes of a
   * response or a document outside its calls (see respond.ts, documents.ts).
   */
  change(
    operation:
      | AppendOperation
      | EditOperation
      | ChooseOperation
      | RespondOperation
      | DocumentOperation
      | ResealOperation,
  ): Promise<OperationResult> {
    return this.#accept(async () => {
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
    return this.#accept(async () => {
      const starts = inputs.map(input => this.#startOf(input))
      await this.#ready()
      for (const { callId } of starts) this.#open.add(callId)
      try {
        const { decisions } = await this.#reserving.beginAll(starts, inputs)
        return starts.flatMap((start, index) => {
          const decision = decisions?.[index]
          this.#unindexed.keep(start.userId, decision?.conversationId, start.callId)
          if (decision === undefined) return []
          return [this.#settlements.begun(begunCall(start, decision), inputs[index]?.body ?? '')]
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
  settleAll(endings: readonly Ended[]): Promise<Pick<SettledCall, 'conversationId' | 'isRepeat'>> {
    return this.#accept(async () => {
      await this.#ready({ evenWhenClosing: endings.every(({ call }) => this.#open.has(call.callId)) })
      const settlements = endings.map(async ({ call, outcome }) => ({
        call,
        settlement: await this.#settlements.of(outcome, call),
      }))
      const operation = { kind: 'settle-all', endings: await Promise.all(settlements) } as const
      const { conversationId, isRepeat } = await this.#queue.submit(operation)
      for (const { call } of endings) {
        this.#unindexed.keep(call.userId, conversationId, call.callId)
        this.#open.delete(call.callId)
        this.#settlements.ended(call.callId)
      }
      return { conversationId, isRepeat }
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
    return this.#accept(() => this.#unindexed.index(what))
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
      if (this.#accepted > 0) await new Promise<void>(resolve => this.#whenQuiet.push(resolve))
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
      this.#heartbeat = setInterval(() => void this.#accept(() => this.#tick()), interval).unref()
      return found
    } catch (error) {
      this.#started = undefined
      throw error
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

  #startOf(input: BeginInput): CallStart {
    return callStart(input, this.#options.hashes, this.#instance.id)
  }

  /** Counts work from the moment it is accepted, before it reaches the queue: `close` waits for it. */
  async #accept<T>(work: () => Promise<T>): Promise<T> {
    this.#accepted++
    try {
      return await work()
    } finally {
      this.#accepted--
      if (this.#accepted === 0) for (const resolve of this.#whenQuiet.splice(0)) resolve()
    }
  }

  async #ready({ evenWhenClosing = false } = {}): Promise<void> {
    if (this.#isClosed && !evenWhenClosing) throw new SteleError('shutting_down')
    try {
      await this.start()
    } catch (error) {
      // What goes into the spool needs no database yet; whoever comes next tries to start again.
      if (this.spool?.isSpooling !== true) throw error
    }
  }
}
