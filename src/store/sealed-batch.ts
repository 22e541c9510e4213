import type { Batch, ContentMode, Kept, StoredBatch } from '../db/batch.ts'
import { contentColumnsOf, isOfStore, primaryKeys, type TableName, userColumnOf } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isAbsent } from '../privacy/content.ts'
import type { DataKey } from '../privacy/data-key.ts'
import { newKeyRow } from '../privacy/key-ring.ts'
import { isContentMode } from '../privacy/sealed-content.ts'
import { writeEvents } from './audit-queue.ts'
import { type Contents, type FindKeys, keyColumns, type Store } from './contents.ts'
import { isCurrent } from './data-keys.ts'
import { guardSecret } from './secrets.ts'

export interface SealingUsers {
  /** Whoever's rows the batch may write. */
  readonly all: Iterable<string>
  /** Those of them whose content it surely writes: the keys that they lack are made at once, in one order. */
  readonly writing?: Iterable<string>
  /** The API keys with which it is written. */
  readonly apiKeys?: Iterable<string>
}

/**
 * A batch whose rows are readable: seals what is written with the current keys of its users, and opens what is found. The
 * keys are read once, and stay the current ones until the batch commits: whoever destroys or replaces one waits for it,
 * and a batch that begins later sees that.
 */
async function sealedBatch(
  contents: Contents,
  stored: StoredBatch,
  { all, writing = [], apiKeys = [] }: SealingUsers,
): Promise<Batch> {
  const sealing = await openSealing(contents, stored, all)
  return sealing.batch(writing, apiKeys)
}

/** A batch of which something is to be decided before any key is made. */
export interface Sealing {
  /** When the current key of a user was made, in milliseconds since 1970; undefined when there is none. */
  keyedAt(userId: string): number | undefined
  batch(writing: Iterable<string>, apiKeys: Iterable<string>): Promise<Batch>
}

/** Reads the current keys of these users, and holds them until the batch commits. */
export async function openSealing(
  contents: Contents,
  stored: StoredBatch,
  all: Iterable<string>,
): Promise<Sealing> {
  const sealer = new Sealer(contents, stored)
  await sealer.prepare([...new Set(all)].sort())
  return {
    keyedAt: userId => sealer.keyedAt(userId),
    async batch(writing, apiKeys) {
      await sealer.require(new Set(writing))
      await sealer.knowModesOf([...new Set(apiKeys)])
      return batchOf(contents, stored, sealer)
    },
  }
}

/** Runs `work` in one transaction with such a batch. */
export function writeSealed<R>(
  { contents, batch }: Store,
  users: SealingUsers,
  work: (batch: Batch) => Promise<R>,
): Promise<R> {
  return batch(async stored => work(await sealedBatch(contents, stored, users)))
}

type Fields = Readonly<Record<string, unknown>>

/** The current keys and the modes of the users of one batch. */
class Sealer {
  readonly #contents: Contents
  readonly #stored: StoredBatch
  readonly #keys = new Map<string, DataKey>()
  readonly #keyedAt = new Map<string, number>()
  readonly #modes = new Map<string, ContentMode>()

  constructor(contents: Contents, stored: StoredBatch) {
    this.#contents = contents
    this.#stored = stored
  }

  keyedAt(userId: string): number | undefined {
    return this.#keyedAt.get(userId)
  }

  async prepare(users: readonly string[]): Promise<void> {
    if (users.length === 0) return
    const { ring, modes } = this.#contents
    const rows = await this.#stored.find(
      'data_keys',
      ['user_id'],
      users.map(user_id => ({ user_id })),
      [...keyColumns, 'created_at'],
      { where: isCurrent, lock: 'shared' },
    )
    for (const row of rows) {
      const key = ring.take(row)
      if (key === undefined) continue
      this.#keys.set(row.user_id, key)
      this.#keyedAt.set(row.user_id, row.created_at)
    }
    const unknown = users.filter(user => modes.get(user) === undefined)
    if (unknown.length > 0)
      for (const row of await this.#stored.find(
        'users',
        ['id'],
        unknown.map(id => ({ id })),
        ['id', 'content_mode'],
      ))
        modes.set(row.id, modeFrom(row.content_mode))
    for (const user of users) {
      const mode = modes.get(user) ?? 'default'
      this.#modes.set(user, mode === 'default' ? this.#contents.mode : mode)
    }
  }

  /** Looks up how what is written with these API keys is kept, as far as that is not known. */
  async knowModesOf(apiKeys: readonly string[]): Promise<void> {
    const { keyModes } = this.#contents
    const unknown = apiKeys.filter(id => keyModes.get(id) === undefined)
    if (unknown.length === 0) return
    const names = unknown.map(id => ({ id }))
    for (const row of await this.#stored.find('api_keys', ['id'], names, ['id', 'content_mode']))
      keyModes.set(row.id, modeFrom(row.content_mode))
  }

  /** Makes the keys that are missing; whichever of two that do so at once was first, its keys count. */
  async require(users: ReadonlySet<string>): Promise<void> {
    const unknown = [...users].filter(user => !this.#modes.has(user)).sort()
    if (unknown.length > 0) await this.prepare(unknown)
    const missing = [...users].filter(user => !this.#keys.has(user)).sort()
    if (missing.length === 0) return
    await welcomeBack(this.#stored, missing)
    const master = this.#contents.masters.find(await guardSecret(this.#stored))
    const now = Date.now()
    await this.#stored.insertAbsent(
      'data_keys',
      missing.map(user => newKeyRow(user, master, now)),
    )
    await this.prepare(missing)
    if (missing.some(user => !this.#keys.has(user)))
      throw new SteleError('store_unavailable', { reason: 'a key was not kept' })
  }

  /** A row as it is stored. `key` has its primary key and may hold more. */
  seal(table: TableName, row: object, key: object, { writtenWith, contentMode }: Kept): object {
    const userId = String((key as Fields)[userColumnOf(table)])
    const dataKey = this.#keys.get(userId)
    if (dataKey === undefined) throw new Error('a key was not asked for')
    const ofKey = writtenWith === undefined ? undefined : this.#contents.keyModes.last(writtenWith)
    const ofUser = this.#modes.get(userId) ?? this.#contents.mode
    const mode = contentMode ?? (ofKey === undefined || ofKey === 'default' ? ofUser : ofKey)
    const sealed = this.#contents.seal(table, row, dataKey, mode, key)
    // Nothing reproduces what is not kept.
    return mode === 'hashed' && table === 'messages' && 'wire_hash' in row
      ? { ...sealed, wire_hash: '' }
      : sealed
  }
}

function modeFrom(text: string | null): ContentMode | 'default' {
  return isContentMode(text) ? text : 'default'
}

/**
 * Whoever was erased may come back, but only once all of what they had is gone: until then nothing new may be mixed with it.
 * @throws SteleError user_erasing
 */
async function welcomeBack(stored: StoredBatch, users: readonly string[]): Promise<void> {
  const rows = await stored.find(
    'users',
    ['id'],
    users.map(id => ({ id })),
    ['id', 'status'],
    { lock: 'shared' },
  )
  const leaving = rows.find(({ status }) => status === 'erasing')
  if (leaving !== undefined) throw new SteleError('user_erasing', { user: leaving.id })
  const back = rows.filter(({ status }) => status === 'erased')
  await stored.update(
    'users',
    ['status'],
    ['id'],
    back.map(({ id }) => ({ set: { status: 'active' }, match: { id } })),
  )
}

/** Whether it is content that is to be sealed: what says that nothing is kept is stored as it is. */
function needsKey(value: unknown): boolean {
  return value != null && !(value instanceof Uint8Array && isAbsent(value))
}

function batchOf(contents: Contents, stored: StoredBatch, sealer: Sealer): Batch {
  const findKeys: FindKeys = names => stored.find('data_keys', ['user_id', 'id'], names, keyColumns)

  /** Rows as they are stored; those without content stay as they are. */
  const sealed = async <R extends object>(table: TableName, rows: readonly R[]): Promise<readonly R[]> => {
    const columns = contentColumnsOf(table)
    const withContent = (row: R): boolean => columns.some(({ name }) => needsKey((row as Fields)[name]))
    if (columns.length === 0 || !rows.some(withContent)) return rows
    if (isOfStore(table)) return rows.map(row => contents.sealOfStore(table, row) as R)
    const users = rows.filter(withContent).map(row => String((row as Fields)[userColumnOf(table)]))
    await sealer.require(new Set(users))
    return rows.map(row => (withContent(row) ? (sealer.seal(table, row, row, row as Kept) as R) : row))
  }

  return {
    stored,
    search: stored.search,
    async find(table, by, keys, columns, options) {
      const isContent = contentColumnsOf(table).some(({ name }) =>
        (columns as readonly string[]).includes(name),
      )
      const asked = isContent ? [...new Set([...columns, ...primaryKeys[table]])] : columns
      const rows = await stored.find(table, by as never, keys as never, asked as never, options)
      return isContent ? ((await contents.openBy(findKeys, table, rows)) as never) : (rows as never)
    },
    async insert(table, rows) {
      if (table === 'audit_events') return writeEvents(stored, contents, rows as never)
      await stored.insert(table, (await sealed(table, rows)) as never)
    },
    async insertAbsent(table, rows) {
      // Which of them were absent would not be told, and the log takes in what is queued.
      if (table === 'audit_events') throw new Error('an event is written once')
      await stored.insertAbsent(table, (await sealed(table, rows)) as never)
    },
    insertOrAdd: (table, key, add, rows) => stored.insertOrAdd(table, key, add, rows as never),
    async update(table, set, match, updates) {
      const columns = contentColumnsOf(table).filter(({ name }) => (set as readonly string[]).includes(name))
      const writes = (update: { readonly set: object }): boolean =>
        columns.some(({ name }) => needsKey((update.set as Fields)[name]))
      const users = updates
        .filter(writes)
        .map(update => String((update.match as Fields)[userColumnOf(table)]))
      if (users.length === 0) return stored.update(table, set, match, updates as never)
      if (isOfStore(table)) throw new Error('what is on record of an event is never changed')
      await sealer.require(new Set(users))
      const changes = updates.map(update => {
        if (!writes(update)) return update
        return { ...update, set: sealer.seal(table, update.set, update.match, update) }
      })
      return stored.update(table, set, match, changes as never)
    },
    remove: (table, by, keys) => stored.remove(table, by, keys as never),
  }
}
