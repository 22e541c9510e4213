import { readdir } from 'node:fs/promises'
import { type Kysely, sql } from 'kysely'
import { reasonOf, SteleError } from '../errors.ts'
import type { Database } from './database.ts'
import type { SchemaTypes } from './schema-types.ts'
import type { Tables } from './tables.ts'

/** What a file in migrations/ exports: the statements that make a change and those that undo it. */
export interface Migration {
  readonly up: (types: SchemaTypes) => string[]
  readonly down: (types: SchemaTypes) => string[]
}

export interface MigrationStatus {
  readonly id: number
  readonly name: string
  /** Milliseconds since 1970; undefined when not applied. */
  readonly appliedAt: number | undefined
}

interface KnownMigration extends Migration {
  readonly id: number
  readonly name: string
}

const folder = new URL('./migrations/', import.meta.url)

/** The table that says which migrations are applied. It is not one of `tables`: no migration makes it. */
const ledger = 'stele_migrations'

let allKnown: Promise<readonly KnownMigration[]> | undefined

/** Every migration this version knows, oldest first. */
export function knownMigrations(): Promise<readonly KnownMigration[]> {
  allKnown ??= readMigrations()
  return allKnown
}

async function readMigrations(): Promise<readonly KnownMigration[]> {
  const files = (await readdir(folder)).filter(file => /^\d{4}-[a-z0-9-]+\.(ts|js)$/.test(file)).sort()
  return Promise.all(
    files.map(async file => {
      const { up, down } = (await import(new URL(file, folder).href)) as Migration
      return { id: Number.parseInt(file, 10), name: file.replace(/\.(ts|js)$/, ''), up, down }
    }),
  )
}

/** Every known migration with the time it was applied. @throws SteleError schema_newer */
export async function migrationHistory(
  database: Database,
  db: Kysely<Tables> = database.kysely,
): Promise<MigrationStatus[]> {
  const applied = await readLedger(database, db)
  const known = await knownMigrations()
  refuseNewer(applied, known)
  return known.map(({ id, name }) => ({ id, name, appliedAt: applied.get(id) }))
}

/** Told, in the transaction that changes the schema of a record, what was applied or undone. */
export type OnSchemaChange = (tx: Kysely<Tables>, names: readonly string[]) => Promise<void>

export interface MigrateUpOptions {
  /** The last one to be applied; all, when left out. */
  readonly target?: number | undefined
  readonly onChange?: OnSchemaChange | undefined
}

/**
 * Applies what is missing, up to and including `target`, in one transaction that excludes other
 * migrators; then prepares storage for the current time. Returns the names applied.
 * @throws SteleError schema_newer, migration_failed, partitions_missing, and what `verify` raises
 */
export async function migrateUp(
  database: Database,
  { target = Number.POSITIVE_INFINITY, onChange }: MigrateUpOptions = {},
): Promise<string[]> {
  const known = await knownMigrations()
  await database.verify()
  // A role that may define nothing finds that there is nothing to define.
  const isDue = (await migrationHistory(database)).some(
    ({ id, appliedAt }) => id <= target && appliedAt === undefined,
  )
  const names = isDue ? await applyMissing(database, known, { target, onChange }) : []
  if (target > 0) await database.ensureStorage(Date.now())
  return names
}

/**
 * The same for whoever is about to record. What is recorded finds room even where partitions are missing: that is told, not raised.
 * @throws SteleError schema_newer, migration_failed, and what `verify` raises
 */
export async function migrateToRecord(
  database: Database,
  onChange: OnSchemaChange,
  tell?: (error: unknown) => void,
): Promise<void> {
  try {
    await migrateUp(database, { onChange })
  } catch (error) {
    if (!(error instanceof SteleError && error.code === 'partitions_missing')) throw error
    tell?.(error)
  }
}

function applyMissing(
  database: Database,
  known: readonly KnownMigration[],
  { target, onChange }: MigrateUpOptions & { readonly target: number },
): Promise<string[]> {
  return database.exclusively(async tx => {
    const isWhole = target === Number.POSITIVE_INFINITY && !(await database.hasTable(tx, ledger))
    if (isWhole && (await restore(database, tx))) return known.map(({ name }) => name)
    await sql.raw(ledgerDefinition(database.schemaTypes)).execute(tx)
    const applied = await readLedger(database, tx)
    refuseNewer(applied, known)
    const missing = known.filter(({ id }) => id <= target && !applied.has(id))
    for (const migration of missing) {
      // First, so that two migrators that slipped past each other's lock collide here, before any change.
      await sql`INSERT INTO ${sql.table(ledger)} (id, name, applied_at) VALUES (${migration.id}, ${migration.name}, ${Date.now()})`.execute(
        tx,
      )
      await runAll(tx, migration.name, migration.up(database.schemaTypes))
    }
    if (isWhole) await database.schemaImage?.keep(tx)
    const names = missing.map(({ name }) => name)
    // A database that has just been made holds no record that was changed.
    if (applied.size > 0 && names.length > 0) await onChange?.(tx, names)
    return names
  })
}

/** Makes at once what all migrations made of another database of this process, where that is kept. */
async function restore({ schemaImage }: Database, tx: Kysely<Tables>): Promise<boolean> {
  if (schemaImage === undefined || !(await schemaImage.restore(tx))) return false
  await sql`UPDATE ${sql.table(ledger)} SET applied_at = ${Date.now()}`.execute(tx)
  return true
}

/** With it goes the log of audit events. A database that had one is never given another (docs/audit.md). */
const logMigration = '0023-audit-log'

async function refuseLosingLog(
  database: Database,
  tx: Kysely<Tables>,
  doomed: readonly KnownMigration[],
): Promise<void> {
  if (!doomed.some(({ name }) => name === logMigration) || !(await database.hasTable(tx, 'audit_keys')))
    return
  const key = await tx.selectFrom('audit_keys').select('id').limit(1).executeTakeFirst()
  if (key === undefined) return
  const reason = 'the log of audit events has begun: it would be lost, and no other could be begun here'
  throw new SteleError('migration_failed', { name: logMigration, reason })
}

/**
 * Undoes the newest `count` migrations in one transaction. Returns the names undone, newest first.
 * @throws SteleError schema_newer, migration_failed
 */
export async function migrateDown(
  database: Database,
  count = 1,
  onChange?: OnSchemaChange,
): Promise<string[]> {
  const known = await knownMigrations()
  return database.exclusively(async tx => {
    const applied = await readLedger(database, tx)
    refuseNewer(applied, known)
    const doomed = known
      .filter(({ id }) => applied.has(id))
      .reverse()
      .slice(0, count)
    await refuseLosingLog(database, tx, doomed)
    for (const migration of doomed) {
      await runAll(tx, migration.name, migration.down(database.schemaTypes))
      await sql`DELETE FROM ${sql.table(ledger)} WHERE id = ${migration.id}`.execute(tx)
    }
    const names = doomed.map(({ name }) => name)
    if (names.length > 0) await onChange?.(tx, names)
    return names
  })
}

/** Raises unless the live schema is exactly the one this version works with. */
export async function requireCurrentSchema(
  database: Database,
  db: Kysely<Tables> = database.kysely,
): Promise<void> {
  const history = await migrationHistory(database, db)
  if (history.some(({ appliedAt }) => appliedAt === undefined)) throw new SteleError('schema_missing')
}

async function runAll(tx: Kysely<Tables>, name: string, statements: readonly string[]): Promise<void> {
  for (const statement of statements) {
    try {
      await sql.raw(statement).execute(tx)
    } catch (error) {
      throw new SteleError('migration_failed', { name, reason: reasonOf(error) }, { cause: error })
    }
  }
}

async function readLedger(database: Database, db: Kysely<Tables>): Promise<Map<number, number>> {
  if (!(await database.hasTable(db, ledger))) return new Map()
  const { rows } = await sql<{
    id: number
    applied_at: number
  }>`SELECT id, applied_at FROM ${sql.table(ledger)}`.execute(db)
  return new Map(rows.map(row => [row.id, row.applied_at]))
}

function refuseNewer(applied: ReadonlyMap<number, number>, known: readonly KnownMigration[]): void {
  const found = Math.max(0, ...applied.keys())
  const newest = Math.max(0, ...known.map(({ id }) => id))
  if (found > newest) throw new SteleError('schema_newer', { found, known: newest })
}

function ledgerDefinition({ text, integer }: SchemaTypes): string {
  return `CREATE TABLE IF NOT EXISTS ${ledger} (id ${integer} PRIMARY KEY, name ${text} NOT NULL, applied_at ${integer} NOT NULL)`
}
