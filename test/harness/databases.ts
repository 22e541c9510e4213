import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, inject, onTestFinished } from 'vitest'
import { type Database, type DatabaseSettings, openDatabase } from '../../src/db/database.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { openStele, type Stele } from '../../src/stele.ts'
import type { SteleOptions } from '../../src/stele-options.ts'
import type {} from './global-setup.ts'
import { copyPrepared, type LentSchema, lendSchema, newSchemaName, takeBack, withServer } from './prepared.ts'

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
  /** The bare database, migrated. */
  migrated(settings?: DatabaseSettings): Promise<Database>
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
  const path = join(folder, 'stele.db')
  let prepared: Promise<void> | undefined
  return placeAt({
    databaseUrl: `sqlite:${path}`,
    schema: () => undefined,
    prepare() {
      prepared ??= existsSync(path) ? Promise.resolve() : copyPrepared(path)
      return prepared
    },
    remove: async () => undefined,
  })
}

export async function memoryPlace(): Promise<Place> {
  return placeAt({
    databaseUrl: 'sqlite::memory:',
    schema: () => undefined,
    prepare: async () => undefined,
    remove: async () => undefined,
  })
}

/** Another place whose stores have the same master key, as a copy needs it. */
export function withKeyOf(place: Place, other: Place): Place {
  const { masterKey } = other
  return { ...place, masterKey, stele: options => place.stele({ masterKey, ...options }) }
}

export async function postgresPlace(): Promise<Place> {
  let lending: Promise<void> | undefined
  let lent: LentSchema | undefined
  let own: string | undefined
  return placeAt({
    databaseUrl: inject('postgresUrl'),
    schema() {
      if (lent === undefined) own ??= newSchemaName()
      return lent?.name ?? own
    },
    async prepare() {
      if (own !== undefined) return
      lending ??= lendSchema().then(schema => {
        lent = schema
      })
      await lending
    },
    async remove() {
      if (lent !== undefined) await takeBack(lent)
      if (own !== undefined) await onServer(`DROP SCHEMA IF EXISTS ${own} CASCADE`)
    },
  })
}

/** Runs one statement on the shared server, outside every place. */
export async function onServer(statement: string): Promise<void> {
  await withServer(client => client.query(statement))
}

/** What a place stands on. */
interface Ground {
  readonly databaseUrl: string
  /** Whoever asks before `prepare` was called is given one where nothing is. */
  readonly schema: () => string | undefined
  /** Makes the tables, where the place has not been used yet. */
  readonly prepare: () => Promise<void>
  readonly remove: () => Promise<void>
}

function placeAt({ databaseUrl, schema, prepare, remove }: Ground): Place {
  const masterKey = randomBytes(32).toString('base64')
  const spoolFolder = join(tmpdir(), `stele-test-spool-${randomBytes(8).toString('hex')}`)
  const open: { close(): Promise<void> }[] = []
  const bare: Place['database'] = settings => {
    const database = openDatabase(databaseUrl, { schema: schema(), poolSize: 1, ...settings })
    open.push(database)
    return database
  }
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
    get schema() {
      return schema()
    },
    async stele(options) {
      if (options?.migrate !== false) await prepare()
      const own = { databaseUrl, masterKey, schema: schema(), poolSize: 1, spoolFolder }
      const stele = await openStele({ ...own, ...options })
      open.push(stele)
      return stele
    },
    database: bare,
    async migrated(settings) {
      await prepare()
      const database = bare(settings)
      // In memory nothing is prepared.
      await migrateUp(database)
      return database
    },
  }
}
