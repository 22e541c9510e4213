import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { reasonOf, SteleError } from '../../errors.ts'
import type { Finding } from '../database.ts'
import type { DatabaseLocation } from '../database-url.ts'
import { flushToDisk } from '../flush.ts'
import { isDamage } from './failures.ts'
import { logDamage } from './log-damage.ts'

type SqliteLocation = Extract<DatabaseLocation, { kind: 'sqlite' }>

/** Marks a file as Stele's in its header (https://sqlite.org/pragma.html#pragma_application_id): `Stel` in ASCII. */
export const applicationId = 0x5374656c

const headerBytes = 100
const magic = 'SQLite format 3\0'

/** The table that every database of Stele has from its first migration on. */
const ownTable = 'stele_migrations'

/** How long another process may take to fill a file that it has made, and to write what is read meanwhile; in milliseconds. */
const fillingTime = 2_000
const writingTime = 500

/** A file that is not as it must be and may be so in a moment, when another process has done its part. */
export class NotYet extends Error {
  readonly failure: SteleError
  /** Milliseconds after which it is taken for what it looks like. */
  readonly patience: number

  constructor(failure: SteleError, patience: number) {
    super(failure.message)
    this.failure = failure
    this.patience = patience
  }
}

/**
 * Looks at the file before SQLite does, which would take much of what is wrong here for a new or an idle database and
 * write over it. Makes the file, readable by its owner alone, when there is none; SQLite gives its log the same mode. It is there with its
 * first page or not at all, whenever the process is killed: where the file system knows no links it is empty for a moment.
 * Returns whether it was made here.
 * @throws SteleError database_not_writable, database_damaged, database_foreign
 */
export function prepareFile(location: SqliteLocation): boolean {
  const { path } = location
  if (!exists(path) && create(path)) return true
  requireAccess(location)
  forgetMakersName(path)
  requireOwn(location)
  return false
}

/** Makes a database without tables. False when another process was first. @throws the system's error */
function create(path: string): boolean {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.new`
  try {
    makeAs(temporary, path)
    flushToDisk(dirname(path))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && exists(path)) return false
    throw error
  } finally {
    rmSync(temporary, { force: true })
  }
}

function makeAs(temporary: string, path: string): void {
  try {
    createPrivately(temporary)
    fill(temporary)
    linkSync(temporary, path)
  } catch (error) {
    if (exists(path)) throw error
    // What it says of this path is what is to be told.
    createPrivately(path)
  }
}

function fill(path: string): void {
  const database = new DatabaseSync(path)
  try {
    mark(database)
  } finally {
    database.close()
  }
}

/**
 * Writes the first page of a file, which carries the mark. Only of a file that is still empty can be said that its unused space is
 * to be given back step by step.
 */
export function mark(database: DatabaseSync): void {
  database.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = ${applicationId}`)
}

/** The name under which it was made stays when the process is killed just after it has got its own. */
function forgetMakersName(path: string): void {
  const { nlink, ino } = statSync(path)
  if (nlink === 1) return
  const names = readdirSync(dirname(path)).filter(
    name => name.startsWith(basename(path)) && name.endsWith('.new'),
  )
  // Whoever makes the file at the same time removes its own name, perhaps between any two of these steps.
  for (const other of names.map(name => join(dirname(path), name)))
    if (statSync(other, { throwIfNoEntry: false })?.ino === ino) rmSync(other, { force: true })
}

/** Makes an empty file that only its owner can read, and the folder it lies in. @throws the system's error, EEXIST too */
export function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'wx', 0o600))
}

/** Removes a file that was made here and could not be filled. */
export function unmakeFile({ path }: SqliteLocation): void {
  if (statSync(path).size === 0) rmSync(path)
}

function requireAccess({ path, display }: SqliteLocation): void {
  if (statSync(path).isDirectory())
    throw new SteleError('database_not_writable', { database: display, reason: 'it is a folder' })
  // SQLite would open what it may only read, and fail at the first write; it keeps its log beside the file.
  for (const needed of [path, dirname(path)]) accessSync(needed, constants.R_OK | constants.W_OK)
}

function requireOwn(location: SqliteLocation): void {
  const { path, display } = location
  const header = readHeader(path)
  // Whoever makes the file fills it at once, but not in the same step.
  if (header.byteLength === 0) throw new NotYet(damaged(display, 'it is empty'), fillingTime)
  if (header.byteLength < headerBytes || header.toString('latin1', 0, magic.length) !== magic)
    throw damaged(display, 'it is not a SQLite database')
  const damage = missingPages(path, header) ?? logDamage(logOf(path))
  // Read while another process wrote it, it may look like this for a moment.
  if (damage !== undefined) throw new NotYet(damaged(display, damage), writingTime)
  if (header.readUInt32BE(68) !== applicationId) refuseForeign(location)
}

/** Whether the file ends before its last page does. While there is a log, the rest may still stand in that. */
function missingPages(path: string, header: Buffer): string | undefined {
  // The number of pages holds when it was written with the newest change.
  if (header.readUInt32BE(24) !== header.readUInt32BE(92)) return undefined
  const bytes = header.readUInt32BE(28) * pageBytesOf(header)
  if (sizeOf(logOf(path)) > 0 || sizeOf(path) >= bytes) return undefined
  return `of its ${bytes} bytes ${bytes - sizeOf(path)} are missing`
}

function pageBytesOf(header: Buffer): number {
  const bytes = header.readUInt16BE(16)
  return bytes === 1 ? 65_536 : bytes
}

/** A copy made through SQL text lacks the mark but has the tables; a database without any tables is nobody's yet. */
function refuseForeign({ path, display }: SqliteLocation): void {
  const tables = tablesOf(path)
  if (tables.length === 0 || tables.includes(ownTable)) return
  throw new SteleError('database_foreign', { database: display, tables: tables.slice(0, 3).join(', ') })
}

/** The tables in the file itself. `immutable` keeps SQLite from making files beside it, or from taking its log in. */
function tablesOf(path: string): string[] {
  const database = new DatabaseSync(`${pathToFileURL(path).href}?immutable=1`, { readOnly: true })
  try {
    const rows = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
    return rows.map(row => String(row['name']))
  } finally {
    database.close()
  }
}

/** The facts of the file that can be told without opening the database. */
export function examineFile({ path }: SqliteLocation): Finding[] {
  if (!exists(path)) return []
  const { size, uid, mode } = statSync(path)
  const rights = `owner ${uid}, mode ${(mode & 0o777).toString(8)}`
  const file = { name: 'file', value: `${size} bytes, ${rights}`, ok: size > 0 }
  try {
    const header = readHeader(path)
    const isDatabase = header.toString('latin1', 0, magic.length) === magic
    if (!isDatabase) return [file, { name: 'file header', value: 'not that of a SQLite database', ok: false }]
    const missing = missingPages(path, header)
    const pages = `${header.readUInt32BE(28)} pages of ${pageBytesOf(header)} bytes`
    // Read while a gateway wrote it, it may look damaged for a moment; a second look sees a log that has moved on.
    const damage = logDamage(logOf(path)) && logDamage(logOf(path))
    return [
      file,
      { name: 'file header', value: missing ?? pages, ok: missing === undefined },
      {
        name: 'write-ahead log',
        value: damage ?? `${sizeOf(logOf(path))} bytes`,
        ok: damage === undefined,
      },
    ]
  } catch (error) {
    return [file, { name: 'file header', value: reasonOf(error), ok: false }]
  }
}

function readHeader(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const header = Buffer.alloc(headerBytes)
    return header.subarray(0, readSync(file, header, 0, headerBytes, 0))
  } finally {
    closeSync(file)
  }
}

function logOf(path: string): string {
  return `${path}-wal`
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

export function damaged(database: string, reason: string, cause?: unknown): SteleError {
  return new SteleError('database_damaged', { database, reason }, cause === undefined ? {} : { cause })
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write to',
  EPERM: 'nobody may write to',
  EROFS: 'the file system is read-only at',
  ENOSPC: 'no space is left for',
  EDQUOT: 'the quota is used up for',
  ENOTDIR: 'a file stands in the way to',
  EEXIST: 'a file stands in the way to',
}

/** Puts whatever kept the file from being opened into one of the table's terms. */
export function whyNotOpened({ path, display }: SqliteLocation, error: unknown): SteleError {
  if (error instanceof SteleError) return error
  if (isDamage(error)) return damaged(display, 'it is not a whole SQLite database', error)
  const { code, path: at } = error as NodeJS.ErrnoException
  const known = reasons[code ?? '']
  const reason = known === undefined ? reasonOf(error) : `${known} ${at ?? path}`
  return new SteleError('database_not_writable', { database: display, reason }, { cause: error })
}
