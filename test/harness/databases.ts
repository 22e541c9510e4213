import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { describe, inject, onTestFinished } from 'vitest'
import { type Database, type DatabaseSettings, openDatabase } from '../../src/db/database.ts'
import { openStele, type Stele, type SteleOptions } from '../../src/stele.ts'
import type {} from './global-setup.ts'

/** An isolated, empty database for one test. What is opened in it is closed, and it is removed, when the test ends. */
export interface Place {
  readonly databaseUrl: string
  readonly masterKey: string
  /** Where spools of this place go. */
  readonly spoolFolder: string
  /** The schema (namespace) of this place, where the database has such. */
  readonly schema: string | undefined
  /** A store in this place, migrated unless the options say otherwise. */
  stele(options?: SteleOptions): Promise<Stele>
  /** The bare database; nothing is made in it. */
  database(settings?: DatabaseSettings): Database
}

/** One kind of database that a conformance suite runs on. */
export interface Bed {
  readonly name: BedName
  readonly place: () => Promise<Place>
}

export type BedName = 'SQLite file' | 'SQLite memory' | 'PostgreSQL'

const beds: readonly Bed[] = [
  { name: 'SQLite file', place: sqlitePlace },
  { name: 'SQLite memory', place: memoryPlace },
  { name: 'PostgreSQL', place: postgresPlace },
]

/** Runs a suite on every database that outlives its connection. */
export function describeEachDatabase(name: string, suite: (bed: Bed) => void): void {
  for (const bed of beds)
    if (bed.name !== 'SQLite memory') describe(`${name} · ${bed.name}`, () => suite(bed))
}

/** Runs a suite from every database to every other, and to another of its own kind. */
export function describeEachPair(name: string, suite: (from: Bed, to: Bed) => void): void {
  const lasting = beds.filter(bed => bed.name !== 'SQLite memory')
  for (const from of lasting)
    for (const to of lasting) describe(`${name} · ${from.name} to ${to.name}`, () => suite(from, to))
}

/** Runs a suite on every database and on one in memory, where a second opening would find another database. */
export function describeEachDatabaseAndMemory(name: string, suite: (bed: Bed) => void): void {
  for (const bed of beds) describe(`${name} · ${bed.name}`, () => suite(bed))
}

/** A folder for one test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'stele-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export async function sqlitePlace(): Promise<Place> {
  const folder = await temporaryFolder()
  return placeAt(`sqlite:${join(folder, 'stele.db')}`, undefined, async () => undefined)
}

export async function memoryPlace(): Promise<Place> {
  return placeAt('sqlite::memory:', undefined, async () => undefined)
}

/** Another place whose stores have the same master key, as a copy needs it. */
export function withKeyOf(place: Place, other: Place): Place {
  const { masterKey } = other
  return { ...place, masterKey, stele: options => place.stele({ masterKey, ...options }) }
}

export async function postgresPlace(): Promise<Place> {
  const schema = `test_${randomBytes(8).toString('hex')}`
  return placeAt(inject('postgresUrl'), schema, () => onServer(`DROP SCHEMA IF EXISTS ${schema} CASCADE`))
}

/** Runs one statement on the shared server, outside every place. */
export async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

function placeAt(databaseUrl: string, schema: string | undefined, remove: () => Promise<void>): Place {
  const masterKey = randomBytes(32).toString('base64')
  const spoolFolder = join(tmpdir(), `stele-test-spool-${randomBytes(8).toString('hex')}`)
  const open: { close(): Promise<void> }[] = []
  onTestFinished(async () => {
    // Closing twice is allowed, so a test may close what it opened here.
    for (const { close } of open.reverse()) await close().catch(() => undefined)
    await rm(spoolFolder, { recursive: true, force: true })
    await remove()
  })
  return {
    databaseUrl,
    masterKey,
    spoolFolder,
    schema,
    async stele(options) {
      const stele = await openStele({ databaseUrl, masterKey, schema, poolSize: 1, spoolFolder, ...options })
      open.push(stele)
      return stele
    },
    database(settings) {
      const database = openDatabase(databaseUrl, { schema, poolSize: 1, ...settings })
      open.push(database)
      return database
    },
  }
}
