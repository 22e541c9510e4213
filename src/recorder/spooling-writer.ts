import type { ErrorCode } from '../errors.ts'
import type { CallStart } from '../model/call.ts'
import type { JsonObject } from '../model/json-object.ts'
import { eventRow } from '../store/audit-events.ts'
import { type Adopted, adoptSpools } from './adopt-spools.ts'
import { Drain, drainable, type SpooledCalls } from './drain.ts'
import { withoutContentOf } from './erased.ts'
import { type Applied, type HeartbeatOperation, type Operation, repeated } from './operations.ts'
import { Spool, SpoolInUse, type SpoolStatus } from './spool.ts'
import { spoolPath, spoolsIn } from './spool-paths.ts'
import type { Writer } from './writer.ts'

export interface SpoolingOptions {
  readonly writer: Writer
  /** Where the spool of this process belongs, and those that others have left. */
  readonly folder: string
  readonly instanceId: string
  /** Seals what is spooled; 32 bytes. */
  readonly key: Uint8Array
  /** Bytes in the spool from which on no call is begun. */
  readonly limit: number
  /** Whether a call may be begun although nobody can tell what is left of its limits; any, when left out. */
  readonly mayBegin?: ((start: CallStart) => boolean) | undefined
  /** Told what went wrong in the background. */
  readonly onError?: ((error: unknown) => void) | undefined
  /** Told when spooling starts, with its reason, and when everything is drained. */
  readonly onChange?: ((change: SpoolChange) => void) | undefined
}

export type SpoolChange =
  | { readonly isSpooling: true; readonly reason: unknown }
  | { readonly isSpooling: false; readonly drained: number; readonly rejected: number }

export interface SpoolState extends SpoolStatus {
  /** Whether what is written goes through the spool now. */
  readonly isSpooling: boolean
  /** Whether it holds so much that no call is begun. */
  readonly isFull: boolean
  /** From how many bytes on it is full. */
  readonly limit: number
}

/** A batch is tried again for this long before it is spooled, in milliseconds: a connection that broke is soon replaced. */
const patience = 250

const firstPause = 50

/** To what share of what the spool held when the last batch came it must shrink before the next one may. */
const netDecrease = 0.9
const longestPause = 1_000

/** Begins are refused at the limit; what settles a call that was let through may still go this much beyond it. */
const settleAllowance = 2

/**
 * Writes to the database, and while that is away to the spool: what it answers is durable either way. From the first
 * failure on everything goes through the spool, in order, until the spool is drained: a later operation must not
 * overtake an earlier one that it builds on.
 */
export class SpoolingWriter implements Writer {
  readonly #options: SpoolingOptions
  readonly #spool: Spool
  readonly #calls: SpooledCalls = new Map()
  #isSpooling = false
  #appending = 0
  /** What this process last said of itself: said again before calls of its own are drained. */
  #alive: HeartbeatOperation | undefined
  /**
   * The database is back and the spool is being drained. Then a batch is let in only when the spool holds clearly less than
   * before the last one came: whatever the load, it becomes empty.
   */
  #isCatchingUp = false
  #letInBelow = Number.POSITIVE_INFINITY
  readonly #waiting: (() => void)[] = []
  #isClosing = false
  #draining: Promise<void> = Promise.resolve()
  #wake: () => void = () => undefined

  constructor(options: SpoolingOptions) {
    const { folder, key, instanceId } = options
    this.#options = options
    this.#spool = new Spool({ path: spoolPath(folder, key, instanceId), key })
  }

  get concurrentBatches(): number {
    return this.#options.writer.concurrentBatches
  }

  get state(): SpoolState {
    const { status } = this.#spool
    const { limit } = this.#options
    return { ...status, limit, isSpooling: this.#isSpooling, isFull: status.bytes >= limit }
  }

  /**
   * Brings into the database what other processes have left in the same folder.
   * @throws whatever keeps the database from working
   */
  async adopt({ retryRejected = false } = {}): Promise<Adopted> {
    const { folder, key, writer, onError } = this.#options
    const own = spoolPath(folder, key, this.#options.instanceId)
    const others = (await spoolsIn(folder, key)).filter(path => path !== own)
    const adopted = await adoptSpools(others, key, writer, { retryRejected, onError })
    if (adopted.drained + adopted.rejected + adopted.orphaned > 0)
      await this.#note('spool.adopted', { ...adopted })
    return adopted
  }

  /**
   * Takes what an erased user said from what waits here and in the spools that others have left in the same folder. Returns
   * how many entries there were; those of processes that live lose it when they are drained.
   */
  async erase(userId: string, erasedAt: number): Promise<number> {
    const { folder, key, instanceId } = this.#options
    for (const [callId, known] of this.#calls) {
      if (!('start' in known)) continue
      const left = withoutContentOf({ kind: 'begin', start: known.start }, userId, erasedAt)
      if ('start' in left) this.#calls.set(callId, { start: left.start })
    }
    const own = spoolPath(folder, key, instanceId)
    let erased = 0
    for (const path of await spoolsIn(folder, key)) {
      if (path === own) {
        erased += await this.#spool.erase(userId, erasedAt)
        continue
      }
      const spool = new Spool({ path, key })
      try {
        erased += await spool.erase(userId, erasedAt)
      } catch (error) {
        if (!(error instanceof SpoolInUse)) throw error
      } finally {
        await spool.close()
      }
    }
    return erased
  }

  async apply(operations: readonly Operation[]): Promise<Applied[]> {
    const alive = operations.find(operation => operation.kind === 'heartbeat')
    if (alive !== undefined) this.#alive = alive
    if (this.#isCatchingUp) await new Promise<void>(resolve => this.#waiting.push(resolve))
    const placed = operations.map(operation => this.#place(operation))
    const mayBeCommitted = !this.#isSpooling
    if (mayBeCommitted) {
      try {
        return this.#forgetEnded(placed, await this.#tryDatabase(placed))
      } catch (reason) {
        this.#startSpooling(reason)
      }
    }
    return this.#forgetEnded(placed, await this.#append(placed, mayBeCommitted))
  }

  async close(): Promise<void> {
    this.#isClosing = true
    this.#wake()
    await this.#draining
    await this.#spool.close()
    await this.#options.writer.close()
  }

  async #tryDatabase(given: readonly Operation[]): Promise<Applied[]> {
    const { writer } = this.#options
    const deadline = performance.now() + patience
    let operations = given
    for (let pause = firstPause; ; pause *= 2) {
      try {
        return await writer.apply(operations)
      } catch (error) {
        if (this.#isSpooling || performance.now() + pause > deadline) throw error
        operations = given.map(repeated)
        await new Promise(resolve => setTimeout(resolve, pause))
      }
    }
  }

  /** A call that was begun in the spool is settled by what its begin has come to, or together with it. */
  #place(operation: Operation): Operation {
    if (operation.kind !== 'settle' || operation.call.conversationId !== undefined) return operation
    const known = this.#calls.get(operation.call.callId)
    if (known === undefined) return operation
    const { settlement } = operation
    return 'call' in known
      ? { kind: 'settle', call: known.call, settlement }
      : { kind: 'record', start: known.start, settlement, isAcknowledged: true }
  }

  /** Of a call that has ended there is nothing more to know: the end itself holds what draining it takes. */
  #forgetEnded(operations: readonly Operation[], applied: Applied[]): Applied[] {
    if (this.#calls.size === 0) return applied
    for (const [index, operation] of operations.entries()) {
      if (applied[index]?.ok !== true) continue
      if (operation.kind === 'settle') this.#calls.delete(operation.call.callId)
      else if (operation.kind === 'record') this.#calls.delete(operation.start.callId)
    }
    return applied
  }

  async #append(operations: readonly Operation[], mayBeCommitted: boolean): Promise<Applied[]> {
    const answers = operations.map(operation => this.#refusal(operation, mayBeCommitted))
    const accepted = operations.filter((_, index) => answers[index] === undefined)
    this.#appending++
    try {
      if (accepted.length > 0) await this.#spool.append(accepted.map(drainable))
    } finally {
      this.#appending--
    }
    for (const operation of accepted)
      if (operation.kind === 'begin') this.#calls.set(operation.start.callId, { start: operation.start })
    return answers.map(
      answer => answer ?? { ok: true, result: { conversationId: undefined, isRepeat: false } },
    )
  }

  #refusal(operation: Operation, mayBeCommitted: boolean): Applied | undefined {
    const { limit } = this.#options
    const { bytes } = this.#spool.status
    // Only the database knows the end of a conversation, where an edit finds what it changes, and where a comparison belongs.
    if (!('start' in operation) && !isEnd(operation))
      return refused('store_unavailable', { reason: 'it does not answer' }, mayBeCommitted)
    const isNew = operation.kind === 'begin' || (operation.kind === 'record' && !operation.isAcknowledged)
    // Only the database knows whether an idempotency key is new: two gateways could each take it in a spool of their own.
    if (isNew && operation.start.claim !== undefined)
      return refused(
        'store_unavailable',
        { reason: 'whether the idempotency key is new cannot be told' },
        mayBeCommitted,
      )
    const isAsked = operation.kind === 'begin' || (isNew && operation.isAsked === true)
    if (isAsked && this.#options.mayBegin?.(operation.start) === false)
      return refused(
        'store_unavailable',
        { reason: 'whether the limits allow the call cannot be told' },
        mayBeCommitted,
      )
    return bytes >= (isNew ? limit : limit * settleAllowance)
      ? refused('spool_full', { limit }, mayBeCommitted)
      : undefined
  }

  #startSpooling(reason: unknown): void {
    if (this.#isSpooling) return
    this.#isSpooling = true
    this.#draining = this.#drain()
    this.#tell({ isSpooling: true, reason })
  }

  async #drain(): Promise<void> {
    const { writer } = this.#options
    const presence = (begins: readonly CallStart[]) =>
      begins.length === 0 || this.#alive === undefined ? [] : [stillAlive(this.#alive)]
    const drain = new Drain({ spool: this.#spool, writer, calls: this.#calls, presence })
    let drained = 0
    let rejected = 0
    for (let pause = firstPause; ; ) {
      try {
        const step = await drain.step()
        drained += step.drained
        rejected += step.rejected
        // Nothing is being added either: from here on, in this very turn, operations go to the database again.
        if (step.isEmpty && this.#appending === 0 && this.#spool.status.depth === 0) break
        this.#isCatchingUp = !step.isEmpty && !this.#isClosing
        if (!this.#isCatchingUp) this.#letIn(Number.POSITIVE_INFINITY)
        else if (this.#spool.status.bytes <= this.#letInBelow) {
          this.#letInBelow = this.#spool.status.bytes * netDecrease
          this.#letIn(1)
        }
        pause = firstPause
        if (step.isEmpty) await this.#sleep(1)
      } catch {
        this.#isCatchingUp = false
        this.#letInBelow = Number.POSITIVE_INFINITY
        this.#letIn(Number.POSITIVE_INFINITY)
        if (this.#isClosing) return
        await this.#sleep(pause)
        pause = Math.min(pause * 2, longestPause)
      }
    }
    this.#isSpooling = false
    this.#isCatchingUp = false
    this.#letInBelow = Number.POSITIVE_INFINITY
    this.#letIn(Number.POSITIVE_INFINITY)
    await this.#spool.release().catch(() => undefined)
    await this.#note('spool.drained', { drained, rejected })
    this.#tell({ isSpooling: false, drained, rejected })
  }

  /** What waited is in the database whether or not that can be told there. */
  async #note(action: 'spool.adopted' | 'spool.drained', details: JsonObject): Promise<void> {
    const outcome = details['rejected'] === 0 ? 'success' : 'failure'
    const event = eventRow({ userId: '', by: 'stele', action, outcome, details }, Date.now())
    const step = { events: [{ event, details: undefined }] }
    await this.#options.writer
      .apply([{ kind: 'events', step }])
      .catch(error => this.#options.onError?.(error))
  }

  /** Whoever is told must not stand in the way of the drain. */
  #tell(change: SpoolChange): void {
    try {
      this.#options.onChange?.(change)
    } catch (error) {
      this.#options.onError?.(error)
    }
  }

  #letIn(count: number): void {
    for (const resolve of this.#waiting.splice(0, count)) resolve()
  }

  /** Until the time is up or the writer is closed. */
  #sleep(milliseconds: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, milliseconds).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
      if (this.#isClosing) this.#wake()
    })
  }
}

/** How calls ended, and with them a response or a document, whose begin may be in the spool; what else becomes of these can wait. */
function isEnd(operation: Operation): boolean {
  const { kind } = operation
  if (kind === 'respond' || kind === 'document') return operation.change.kind === 'end'
  return kind === 'settle' || kind === 'settle-all'
}

function stillAlive({ instance }: HeartbeatOperation): HeartbeatOperation {
  return { kind: 'heartbeat', instance: { ...instance, heartbeat_at: Date.now() }, usedKeys: [] }
}

function refused(
  code: ErrorCode,
  details: Record<string, string | number>,
  mayBeCommitted: boolean,
): Applied {
  return { ok: false, error: { code, details, mayBeCommitted } }
}
