import { createHmac } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { ContentMode } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import {
  type ContentColumn,
  contentColumnsOf,
  isOfStore,
  type Opened,
  primaryKeys,
  type Row,
  type SealedBytes,
  type TableName,
  type Tables,
  userColumnOf,
} from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { absentContent, decodeText, encodeContent, isAbsent } from '../privacy/content.ts'
import { type DataKey, dataKey, dataKeyLength } from '../privacy/data-key.ts'
import { KeyRing, type KeyRow, type MasterKeys } from '../privacy/key-ring.ts'
import { type ContentPlace, keyIdOf, modeOf, openContent, sealContent } from '../privacy/sealed-content.ts'
import { KnownModes } from './known-modes.ts'

/** What reads the record: a connection, and the keys to what was said. */
export interface Reading {
  readonly kysely: Kysely<Tables>
  readonly contents: Contents
}

/** A database, and the keys to what was said in it. */
export interface Store extends Database {
  readonly contents: Contents
}

/** The same for reading while somebody waits. */
export function promptly({ prompt, contents }: Pick<Store, 'prompt' | 'contents'>): Reading {
  return { kysely: prompt, contents }
}

/** What stands in a database where content is not kept. */
export function absentStored(): SealedBytes {
  return absentContent() as unknown as SealedBytes
}

/** Names a data key. */
export interface KeyName {
  readonly user_id: string
  readonly id: string
}

/** Asks a database for the rows of these keys, all of different names. */
export type FindKeys = (names: readonly KeyName[]) => Promise<readonly KeyRow[]>

export interface ContentsOptions {
  readonly masters: MasterKeys
  /** How content is kept where neither the key nor the user says. */
  readonly mode: ContentMode
  /** Whether the database has content from before it was encrypted, which nothing authenticates. */
  readonly acceptsOld: boolean
  /** From `openEventSecret`. */
  readonly eventSecret: Uint8Array
}

/** Names nobody: what is the store's is no user's. */
const nobody = ''

type Fields = Readonly<Record<string, unknown>>

/** The border between content as it is stored and as it is read: seals the one and opens the other. */
export class Contents {
  readonly ring: KeyRing
  readonly masters: MasterKeys
  readonly mode: ContentMode
  readonly acceptsOld: boolean
  readonly modes = new KnownModes()
  readonly keyModes = new KnownModes()
  readonly #storeKey: DataKey
  readonly #acceptsOldEvents: boolean

  constructor({ masters, mode, acceptsOld, eventSecret }: ContentsOptions) {
    this.masters = masters
    this.mode = mode
    this.acceptsOld = acceptsOld
    this.ring = new KeyRing({ masters })
    this.#storeKey = dataKey(nobody, eventSecret.subarray(0, dataKeyLength))
    this.#acceptsOldEvents = eventSecret[dataKeyLength] === 1
  }

  /**
   * Rows with their content readable. They have the columns of their primary key, and every content column among them is
   * opened. Text of which nothing is kept, or whose key is destroyed, is null.
   * @throws SteleError content_unreadable, content_erased, master_key_mismatch
   */
  open<R extends object>(db: Kysely<Tables>, table: TableName, rows: readonly R[]): Promise<Opened<R>[]> {
    return this.openBy(findKeysIn(db), table, rows)
  }

  async openOne<R extends object>(
    db: Kysely<Tables>,
    table: TableName,
    row: R | undefined,
  ): Promise<Opened<R> | undefined> {
    return row && (await this.open(db, table, [row]))[0]
  }

  /** The same inside a transaction that has its own way to look keys up. */
  async openBy<R extends object>(find: FindKeys, table: TableName, rows: readonly R[]): Promise<Opened<R>[]> {
    const columns = contentColumnsOf(table)
    const keys = isOfStore(table)
      ? new Map([[nameOf(nobody, this.#storeKey.id), this.#storeKey]])
      : await this.#keysOf(find, table, columns, rows as readonly Fields[])
    return (rows as readonly Fields[]).map(row => {
      const opened: Record<string, unknown> = { ...row }
      for (const column of columns) {
        const stored = row[column.name]
        if (stored instanceof Uint8Array)
          opened[column.name] = this.#openValue(keys, placeOf(table, column, row), column, stored)
        // Where a database lets text stand in the place of bytes, nobody has sealed it.
        else if (stored != null && !this.#acceptsPlain(table, column))
          throw new SteleError('content_unreadable', { reason: `${table}.${column.name} is not sealed` })
      }
      return opened as Opened<R>
    })
  }

  /** A row as it is stored: its content columns sealed with the key. `row` has, or `key` names, its primary key. */
  seal(table: TableName, row: object, key: DataKey, mode: ContentMode, rowKey: object = row): object {
    const sealed: Record<string, unknown> = { ...row }
    for (const column of contentColumnsOf(table)) {
      const value = sealed[column.name]
      if (value == null) continue
      const content = value instanceof Uint8Array ? value : encodeContent(String(value))
      sealed[column.name] = sealContent(key, mode, placeOf(table, column, rowKey as Fields), content)
    }
    return sealed
  }

  /** A row of what is the store's as it is stored. Never as a digest alone: who did what must stay readable. */
  sealOfStore(table: TableName, row: object, rowKey: object = row): object {
    return this.seal(table, row, this.#storeKey, this.mode === 'plain' ? 'plain' : 'encrypted', rowKey)
  }

  /** Shows that something that waits for the log was queued by whoever has the keys: 32 bytes. */
  macOfQueued(queueId: string, bytes: Uint8Array): Buffer {
    return createHmac('sha256', this.#storeKey.derive('audit queue 1'))
      .update(`${queueId.length}:${queueId}`)
      .update(bytes)
      .digest()
  }

  sealEvent(row: Row<'audit_events'>): Tables['audit_events'] {
    return this.sealOfStore('audit_events', row) as Tables['audit_events']
  }

  /** Whether a text column may be as it was before content was encrypted. */
  #acceptsPlain(table: TableName, { isText }: ContentColumn): boolean {
    return isText && (isOfStore(table) ? this.#acceptsOldEvents : this.acceptsOld)
  }

  #openValue(
    keys: ReadonlyMap<string, DataKey | undefined>,
    place: ContentPlace,
    { isText, nullable }: ContentColumn,
    stored: Uint8Array,
  ): Uint8Array | string | null {
    const name = nameOf(place.userId, keyIdOf(stored))
    if (keys.has(name) && keys.get(name) === undefined) {
      if (isText) return nullable ? null : ''
      // Nothing was to be read of it before either.
      if (modeOf(stored) === 'hashed') return absentContent()
      throw new SteleError('content_erased')
    }
    const acceptsOld = isOfStore(place.table as TableName) ? this.#acceptsOldEvents : this.acceptsOld
    const value = openContent(keys.get(name), place, stored, acceptsOld)
    if (!isText) return value
    if (isAbsent(value)) return nullable ? null : ''
    return decodeText(value)
  }

  /** The keys that the values of these rows name; undefined where one is destroyed, nothing where it is not there. */
  async #keysOf(
    find: FindKeys,
    table: TableName,
    columns: readonly ContentColumn[],
    rows: readonly Fields[],
  ): Promise<Map<string, DataKey | undefined>> {
    const keys = new Map<string, DataKey | undefined>()
    const unknown = new Map<string, KeyName>()
    for (const row of rows)
      for (const column of columns) {
        const stored = row[column.name]
        const id = stored instanceof Uint8Array ? keyIdOf(stored) : undefined
        if (id === undefined) continue
        const userId = String(row[userColumnOf(table)])
        const name = nameOf(userId, id)
        if (keys.has(name) || unknown.has(name)) continue
        const held = this.ring.get(userId, id)
        if (held === undefined) unknown.set(name, { user_id: userId, id })
        else keys.set(name, held === 'destroyed' ? undefined : held)
      }
    if (unknown.size > 0)
      for (const row of await find([...unknown.values()]))
        keys.set(nameOf(row.user_id, row.id), this.ring.take(row))
    return keys
  }
}

export const keyColumns = ['user_id', 'id', 'wrapped_key', 'master_key_id'] as const

function findKeysIn(db: Kysely<Tables>): FindKeys {
  return names =>
    db
      .selectFrom('data_keys')
      .select(keyColumns)
      .where('user_id', 'in', [...new Set(names.map(name => name.user_id))])
      .where('id', 'in', [...new Set(names.map(name => name.id))])
      .execute()
}

function placeOf(table: TableName, column: ContentColumn, row: Fields): ContentPlace {
  const key = primaryKeys[table].map(name => partOf(table, name, row))
  const userId = isOfStore(table) ? nobody : String(partOf(table, userColumnOf(table), row))
  return { userId, table, column: column.name, row: key }
}

function partOf(table: TableName, name: string, row: Fields): string | number {
  const value = row[name]
  if (typeof value === 'string' || typeof value === 'number') return value
  throw new Error(`content of ${table} was asked for without ${name}`)
}

function nameOf(userId: string, id: string | undefined): string {
  return `${id} ${userId}`
}
