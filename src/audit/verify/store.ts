import type { Kysely } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import { reasonOf, SteleError } from '../../errors.ts'
import { nameOf } from '../../store/audit-queries.ts'
import type { Reading, Store } from '../../store/contents.ts'
import { type LogMark, readGuard } from '../../store/guard.ts'
import type { SignedCheckpoint } from '../checkpoint.ts'
import { waitingBacklog } from '../log/backlog.ts'
import { strangeKeys } from '../log/first-key.ts'
import { currentOf, markIsGone } from '../log/keys.ts'
import { countLog, loggedTwice, queuedLeaves, unloggedEvents } from '../log/pending.ts'
import { type AuditLogReader, auditLogReader, type LoggedEvent, type LoggedLeaf } from '../log/reader.ts'
import { type OwnKeys, ownKeys } from '../log/trusted-keys.ts'
import { Frontier, frontierAt } from '../merkle.ts'
import { type NoteKey, parseVkey, parseVkeys } from '../note-keys.ts'
import { CheckpointRows } from './checkpoint-rows.ts'
import { ContentCheck, type ContentCounts } from './contents.ts'
import { CountCheck } from './counts.ts'
import { LogGrowth, openedBy } from './growth.ts'
import { checkLogged, placeOf } from './logged.ts'
import { TileCheck } from './tiles.ts'
import { requireTold } from './told.ts'
import { type AuditVerdict, asFault, Fault } from './verdict.ts'

export interface VerifyLogOptions {
  /**
   * The public keys of the log, as text (vkeys), the one that signs now last. Left out, those of the database are taken, of which one must be wrapped by
   * the master key and have signed the newest checkpoint.
   */
  readonly keys?: readonly string[] | undefined
  /** Signed notes that were kept from earlier: the log must still begin with what they were signed for. */
  readonly checkpoints?: readonly string[] | undefined
  /** Only what came after the newest of `checkpoints` is looked at; what came before is believed. */
  readonly incremental?: boolean | undefined
  /**
   * Whether what is on record of calls, and what applications said, is held against the events that commit to it, and every request and
   * reply against the events that tell of it.
   */
  readonly contents?: boolean | undefined
  /** Told after every few thousand entries. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

export interface LogVerdict extends AuditVerdict {
  /** Events that wait to be taken into the log: nothing proves them yet. */
  readonly pending: number
  /** With `contents`: what of them was compared. */
  readonly contents: ContentCounts | undefined
}

/** Entries that are read at once. */
const atATime = 2_000

/**
 * Verifies the log of a database as it is at one moment: every entry, its event, the hashes of the tree, every checkpoint, and
 * that no event stands outside; with `contents` also the record of calls. Ends at the first thing that is wrong.
 * @throws SteleError vkey_invalid, store_unavailable
 */
export function verifyLog(database: Store, options: VerifyLogOptions = {}): Promise<LogVerdict> {
  const { contents } = database
  return database.snapshot(async db => {
    const trusted =
      options.keys === undefined
        ? await ownKeys(db, id => contents.masters.find(id ?? ''))
        : given(parseVkeys(options.keys))
    return new LogVerifier({ kysely: db, contents }, trusted, options).run()
  })
}

/** Whoever gives keys believes each of them. */
function given(keys: readonly NoteKey[]): OwnKeys {
  return { all: keys, own: keys }
}

class LogVerifier {
  readonly #reading: Reading
  readonly #db: Kysely<Tables>
  readonly #reader: AuditLogReader
  readonly #trusted: OwnKeys
  readonly #options: VerifyLogOptions
  #contents: ContentCheck | undefined
  #growth: LogGrowth | undefined
  #entries = 0
  #pending = 0

  constructor(reading: Reading, trusted: OwnKeys, options: VerifyLogOptions) {
    this.#reading = reading
    this.#db = reading.kysely
    this.#reader = auditLogReader(reading)
    this.#trusted = trusted
    this.#options = options
  }

  async run(): Promise<LogVerdict> {
    try {
      await this.#verify()
      return this.#verdict(undefined)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      return this.#verdict(error.fault)
    }
  }

  #verdict(fault: AuditVerdict['fault']): LogVerdict {
    const verified = this.#growth?.verified
    return {
      verified: fault === undefined,
      fault,
      entries: this.#entries,
      checkpoints: this.#growth?.checkpoints ?? 0,
      size: verified?.size ?? this.#growth?.size ?? 0,
      checkpoint: verified?.note,
      complete: true,
      pending: this.#pending,
      contents: this.#contents?.counts,
    }
  }

  async #verify(): Promise<void> {
    const latest = await this.#reader.latest()
    const { takesOld } = await this.#checkBegun(latest !== undefined)
    const { all } = this.#trusted
    const kept = (this.#options.checkpoints ?? []).map(note => openedBy(note, all, 'the kept checkpoint: '))
    const start = this.#options.incremental === true ? Math.max(0, ...kept.map(({ size }) => size)) : 0
    if (start > (latest?.size ?? 0))
      throw new Fault({
        index: latest?.size ?? 0,
        reason: `the kept checkpoint is of ${start} entries, and the log has only ${latest?.size ?? 0}`,
      })
    const believed = await this.#frontier(start)
    if (this.#options.contents === true)
      this.#contents = new ContentCheck(this.#reading, { size: start, root: believed.root() })
    const growth = new LogGrowth(all, keptFrom(kept, start), believed)
    this.#growth = growth
    await this.#follow(growth, latest?.size ?? 0)
    await this.#contents?.end()
    await this.#checkCounts(growth.size, start)
    await this.#checkOutside(growth.size, takesOld)
    // A log that nothing was ever taken into is as it should be.
    if (growth.size > 0 || latest !== undefined || kept.length > 0) growth.end()
    if (this.#options.keys !== undefined) growth.requireNewest()
    if (latest !== undefined) openedBy(latest.note, this.#trusted.own, 'the newest checkpoint: ')
    if (this.#contents !== undefined) await requireTold(this.#reading)
  }

  /**
   * The guard tells which log was begun, and nobody has made another guard. Until something is signed the log is its key: whoever says
   * which keys are to be believed must have said that one.
   */
  async #checkBegun(isSigned: boolean): Promise<LogMark> {
    const { masters } = this.#reading.contents
    const findMaster = (id: string | undefined) => masters.find(id ?? '')
    const guard = await readGuard(this.#db, findMaster).catch(error => {
      if (error instanceof SteleError && error.code === 'master_key_mismatch') return undefined
      throw error
    })
    if (guard?.log === undefined) throw new Fault({ reason: markIsGone })
    const { own } = await ownKeys(this.#db, findMaster)
    if (!isSigned && own.length === 0) throw new Fault({ reason: 'the log that this database had is gone' })
    const rows = await this.#db.selectFrom('audit_keys').selectAll().execute()
    const reason = strangeKeys(rows, guard.log)
    if (reason !== undefined) throw new Fault({ reason: `the log is another: ${reason}` })
    const current = currentOf(rows)
    if (!isSigned && this.#options.keys?.includes(current?.vkey ?? '') === false)
      throw new Fault({
        reason: 'nothing is signed yet, and the key that signs now is not one of those to be believed',
      })
    return guard.log
  }

  async #frontier(size: number): Promise<Frontier> {
    if (size === 0) return new Frontier()
    try {
      return await frontierAt(this.#reader.hashes(), size)
    } catch (error) {
      throw asFault(error)
    }
  }

  /** Every entry, its event, the tiles and the checkpoints, in their order. */
  async #follow(growth: LogGrowth, total: number): Promise<void> {
    const start = growth.size
    const tiles = await TileCheck.from(start, (level, tile) => this.#reader.tile(level, tile))
    const checkpoints = new CheckpointRows(this.#reader, start)
    const counts = new CountCheck()
    await checkpoints.meet(growth)
    for (;;) {
      const leaves = await this.#reader.leaves({ from: growth.size, to: growth.size + atATime })
      for (const entry of await this.#withEvents(leaves)) {
        if (entry instanceof Fault) throw entry
        const leaf = checkLogged(entry, growth.size)
        try {
          growth.append(leaf)
        } catch (error) {
          throw error instanceof Fault ? new Fault({ ...placeOf(entry), ...error.fault }) : error
        }
        await tiles.append(leaf)
        await this.#contents?.check(entry)
        this.#entries++
        await checkpoints.meet(growth)
      }
      if (start === 0) counts.add(leaves)
      this.#options.onProgress?.(growth.size - start, Math.max(total, growth.size) - start)
      if (leaves.length < atATime) break
    }
    await checkpoints.end(growth)
    await tiles.end()
    if (start > 0) return
    await this.#checkKeys(checkpoints.keysMade)
    await counts.compare(this.#db)
  }

  /** Entries with their events; an event that cannot be read ends the verification when all before it are verified. */
  async #withEvents(leaves: readonly LoggedLeaf[]): Promise<(LoggedEvent | Fault)[]> {
    const [first, last] = [leaves[0], leaves.at(-1)]
    if (first === undefined || last === undefined) return []
    try {
      return await this.#reader.events({ from: first.index, to: last.index + 1 })
    } catch (error) {
      const fault = asFault(error)
      if (leaves.length === 1) return [new Fault({ ...placeOf(first), ...fault.fault })]
      const middle = Math.ceil(leaves.length / 2)
      const before = await this.#withEvents(leaves.slice(0, middle))
      return before.some(entry => entry instanceof Fault)
        ? before
        : [...before, ...(await this.#withEvents(leaves.slice(middle)))]
    }
  }

  /** The keys are those that the checkpoints name, each until the next; one that has not signed yet is the master key's. */
  async #checkKeys(made: ReadonlyMap<string, number>): Promise<void> {
    const keys = await this.#reader.keys()
    for (const [at, { id, vkey, createdAt, retiredAt }] of keys.entries()) {
      const isKnown = made.has(id)
        ? made.get(id) === createdAt
        : this.#options.keys !== undefined || this.#trusted.own.some(key => key.id === id)
      if (parseVkey(vkey).id !== id || !isKnown || retiredAt !== keys[at + 1]?.createdAt)
        throw new Fault({ reason: `the key ${id} is not listed as it was made` })
    }
    const missing = [...made.keys()].find(id => !keys.some(key => key.id === id))
    if (missing !== undefined) throw new Fault({ reason: `the key ${missing} is gone` })
  }

  /** Rows that no look at the log in its order comes across. */
  async #checkCounts(size: number, start: number): Promise<void> {
    const counts = await countLog(this.#db)
    if (counts.leaves !== size)
      throw new Fault({ reason: `the log has ${counts.leaves} rows for ${size} entries` })
    const tiles = TileCheck.count(size)
    if (counts.tiles !== tiles)
      throw new Fault({ reason: `the tree of the log has ${counts.tiles} tiles, and ${tiles} belong to it` })
    const seen = this.#growth?.checkpoints ?? 0
    if (start === 0 && counts.checkpoints !== seen)
      throw new Fault({
        reason: `there are ${counts.checkpoints} checkpoints, and ${seen} belong to the log`,
      })
    const twice = await loggedTwice(this.#db)
    if (twice !== undefined) throw new Fault({ eventId: twice.id, reason: 'the log has the event twice' })
  }

  /** Every event is in the log or waits for it. */
  async #checkOutside(size: number, takesOld: boolean): Promise<void> {
    const waiting = new Map<string, EventLeaf>()
    for await (const leaves of queuedLeaves(this.#reading)) {
      if (leaves === undefined)
        throw new Fault({ reason: 'what waits to be taken in is not as it was written' })
      for (const leaf of leaves) waiting.set(nameOf(leaf.eventId, leaf.userId), leaf)
    }
    const backlog = await this.#waitingBacklog(size, takesOld)
    for await (const events of unloggedEvents(this.#db)) {
      const left = events.filter(({ id, user_id }) => !waiting.has(nameOf(id, user_id)))
      const [stray] = backlog === undefined ? left : left.filter(({ id }) => id > backlog)
      if (stray !== undefined)
        throw new Fault({ eventId: stray.id, reason: 'the event is neither in the log nor waits for it' })
      this.#pending += events.length
    }
  }

  async #waitingBacklog(size: number, takesOld: boolean): Promise<string | undefined> {
    try {
      return await waitingBacklog(this.#reading, { size, takesOld })
    } catch (error) {
      if (error instanceof SteleError && error.code === 'audit_log_broken')
        throw new Fault({ reason: reasonOf(error) })
      throw error
    }
  }
}

type EventLeaf = Pick<LoggedLeaf, 'salt' | 'commitment'>

/** Kept checkpoints that are still to come, or that are just reached. */
function keptFrom(kept: readonly SignedCheckpoint[], start: number): SignedCheckpoint[] {
  return kept.filter(({ size }) => size >= start)
}
