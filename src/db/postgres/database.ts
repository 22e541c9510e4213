import { CompiledQuery, Kysely, PostgresDialect, type PostgresPool, sql } from 'kysely'
import type pg from 'pg'
import { SteleError } from '../../errors.ts'
import type { Database, DatabaseSettings, FailureKind } from '../database.ts'
import type { SchemaTypes } from '../schema-types.ts'
import type { Tables } from '../tables.ts'
import { batchLocks, postgresBatch, type RunStatement, soleWorkLocks } from './batch.ts'
import { describeSchema, examine, whyUnsuitable } from './describe.ts'
import { dropMonth, storageMonths } from './drop-month.ts'
import { grantStatements } from './grants.ts'
import { guards, permitStatement } from './guards.ts'
import { ensurePartitions, mayPartition, missingPartitions, monthsAround, monthsOf } from './partitions.ts'
import { answerTimeOf, openPool, openWriterPool, type PostgresLocation } from './pools.ts'
import { promptPool } from './prompt-pool.ts'
import { postgresSearchReader, unindex } from './search.ts'
import { blindSearchIndex, searchIndex } from './search-tables.ts'
import { Sockets } from './sockets.ts'
import { withinTime } from './within-time.ts'

/** Two batches under way keep the server busy with one while the other waits for its commit to reach the disk. */
const concurrentBatches = 2

/** Milliseconds that the server is given to take leave before its connections are broken off. */
const closeTime = 3_000

/** Transaction-level advisory lock of everything that changes the schema. The number is arbitrary, but Stele's own. */
const schemaLock = 7_353_853_001

/** How long batches may be kept waiting for whoever wants a lock alone. */
const longestAlone = '10s'

const schemaTypes: SchemaTypes = {
  name: 'postgres',
  text: 'text COLLATE "C"',
  integer: 'bigint',
  bytes: 'bytea',
  plainContent: column => `'\\x01'::bytea || convert_to(${column}, 'UTF8')`,
  textOfContent: column => `convert_from(substr(${column}, 2), 'UTF8')`,
  clustered: '',
  partitionedBy: column => ` PARTITION BY RANGE (${column})`,
  afterPartitioned: table => [`CREATE TABLE ${table}_default PARTITION OF ${table} DEFAULT`],
  searchIndex,
  blindSearchIndex,
  guards,
}

export function openPostgres(location: PostgresLocation, settings: DatabaseSettings): Database {
  if (settings.schema !== undefined && !/^[a-z_][a-z0-9_]{0,62}$/.test(settings.schema)) {
    throw new SteleError('config_invalid', { problems: 'DB_SCHEMA: lower-case letters, digits and _ only' })
  }
  let pool: pg.Pool | undefined
  let writers: pg.Pool | undefined
  let isClosed = false
  /** Partitions that are known to be there. */
  const madeFor = new Set<string>()
  const answerTime = answerTimeOf(settings)
  const sockets = new Sockets()
  const openOnce = (): pg.Pool => {
    pool ??= openPool(location, settings, sockets)
    return pool
  }
  const queries = (of: PostgresPool | (() => Promise<PostgresPool>)): Kysely<Tables> =>
    new Kysely<Tables>({
      dialect: new PostgresDialect({ pool: of }),
      ...(settings.onSql === undefined ? {} : { log: event => settings.onSql?.(event.query.sql) }),
    })
  const kysely = queries(async () => openOnce())
  const prompt = queries(promptPool(openOnce, answerTime))
  const search = settings.search !== false
  const exclusively: Database['exclusively'] = work =>
    kysely.transaction().execute(async tx => {
      await sql`SELECT pg_advisory_xact_lock(${schemaLock})`.execute(tx)
      // To make one that is there takes the right to make one.
      if (settings.schema !== undefined && !(await hasSchema(tx, settings.schema)))
        await sql`CREATE SCHEMA IF NOT EXISTS ${sql.id(settings.schema)}`.execute(tx)
      return work(tx)
    })
  const inBatch = async <R>(work: (run: RunStatement) => Promise<R>): Promise<R> => {
    if (isClosed) throw new SteleError('store_unavailable', { reason: 'it is closed' })
    // One more for what is done alone, so that batches of calls do not wait for it.
    writers ??= openWriterPool(location, settings, sockets, concurrentBatches + 1)
    return withinTime(writers, answerTime, client => inTransaction(client, settings.onSql, work))
  }
  return {
    location,
    capabilities: {
      blockingWrites: false,
      concurrentBatches,
      mayBeAway: true,
      isShared: true,
      hasOneWriter: false,
    },
    schemaTypes,
    schemaImage: undefined,
    // Whether there is a database behind the address, only asking it can tell.
    exists: () => true,
    file: undefined,
    backupAdvice:
      'Its own tools do that: pg_dump --format=custom --file=stele.dump "$DATABASE_URL", or pg_basebackup for the whole server; docs/databases.md tells more.',
    kysely,
    prompt,
    search: search ? postgresSearchReader(prompt) : undefined,
    unindex,
    batch: work => inBatch(run => work(postgresBatch(run, { search }))),
    batchAlone: (doing, work) =>
      inBatch(async run => {
        const { rows } = await run(
          'SELECT pg_try_advisory_xact_lock($1::int, hashtext(current_schema())) AS taken',
          [soleWorkLocks[doing]],
        )
        const [row] = rows as { readonly taken: boolean }[]
        return row?.taken === true ? work(postgresBatch(run, { search })) : undefined
      }),
    snapshot: work =>
      kysely.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work),
    exclusively,
    holding: (lock, how, work) =>
      kysely.transaction().execute(async tx => {
        // Whoever waits to be alone keeps batches waiting.
        await sql`SET LOCAL lock_timeout = ${sql.lit(longestAlone)}`.execute(tx)
        const take = how === 'alone' ? sql`pg_advisory_xact_lock` : sql`pg_advisory_xact_lock_shared`
        await sql`SELECT ${take}(${batchLocks[lock]})`.execute(tx)
        return work(tx)
      }),
    async permit(tx, reason) {
      await tx.executeQuery(CompiledQuery.raw(permitStatement, [reason]))
    },
    async hasTable(db, name) {
      const { rows } = await sql`SELECT 1 WHERE to_regclass(${name}) IS NOT NULL`.execute(db)
      return rows.length > 0
    },
    async ensureStorage(time) {
      const months = monthsAround(time)
      const missing = await missingPartitions(kysely, months)
      if (missing.length === 0) return []
      if (!(await mayPartition(kysely)))
        throw new SteleError('partitions_missing', { partitions: missing.map(({ name }) => name).join(', ') })
      return exclusively(tx => ensurePartitions(tx, months))
    },
    async ensureStorageFor(table, rows) {
      const missing = monthsOf(table, rows).filter(({ name }) => !madeFor.has(`${table}_${name}`))
      if (missing.length === 0) return
      // Who may not make them leaves the rows to the default partition, until whoever may does.
      if (await mayPartition(kysely)) await exclusively(tx => ensurePartitions(tx, missing, [table]))
      for (const { name } of missing) madeFor.add(`${table}_${name}`)
    },
    // The server sees to its own storage.
    async verify() {
      const reason = await whyUnsuitable(kysely)
      if (reason !== undefined)
        throw new SteleError('database_unsuitable', { database: location.display, reason })
    },
    examineStorage: () => [],
    forUpdate: sql`FOR UPDATE`,
    storageMonths: (before, now) => storageMonths(kysely, before, now),
    dropMonth: async (month, mayGo) => {
      const outcome = await dropMonth(kysely, month, mayGo)
      if (outcome === 'dropped')
        for (const table of month.tables) madeFor.delete(`${table}_${month.name.replace('-', '_')}`)
      return outcome
    },
    // The server's own vacuum makes the space of removed rows usable again.
    reclaim: async () => ({ freed: 0, left: 0 }),
    // Its rows go whole.
    forgetWords: async () => false,
    overwriting: work => kysely.transaction().execute(work),
    // What is left of removed rows is the server's own, until its vacuum comes by: of keys it comes now.
    scrub: () => vacuumKeys(kysely),
    classify,
    grantStatements: role => grantStatements(role, settings.schema ?? 'public'),
    describeSchema: () => describeSchema(kysely),
    examine: () => examine(kysely),
    async close() {
      if (isClosed) return
      isClosed = true
      const cutOff = setTimeout(() => sockets.destroy(), closeTime)
      try {
        // Ended here, not by Kysely, which knows nothing of a pool that only its sibling has used.
        await Promise.all([pool?.end(), writers?.end()])
        await sockets.whenClosed()
      } finally {
        clearTimeout(cutOff)
      }
    },
  }
}

/** The server passes over a table that the role may not clean, and only warns. */
async function vacuumKeys(db: Kysely<Tables>): Promise<'done' | 'left'> {
  await sql`VACUUM data_keys`.execute(db)
  const { rows } = await sql<{ may: boolean }>`
    SELECT pg_has_role(relowner, 'USAGE') OR CASE WHEN current_setting('server_version_num')::int >= 170000
      THEN has_table_privilege(oid, 'MAINTAIN') ELSE false END AS may
    FROM pg_class WHERE oid = to_regclass('data_keys')`.execute(db)
  return rows[0]?.may === true ? 'done' : 'left'
}

async function hasSchema(db: Kysely<Tables>, name: string): Promise<boolean> {
  const { rows } = await sql`SELECT 1 FROM pg_namespace WHERE nspname = ${name}`.execute(db)
  return rows.length > 0
}

async function inTransaction<R>(
  client: pg.PoolClient,
  onSql: ((sql: string) => void) | undefined,
  work: (run: RunStatement) => Promise<R>,
): Promise<R> {
  const run: RunStatement = (text, values) => {
    onSql?.(text)
    return client.query({ name: statementName(text), text, values })
  }
  let failure: Error | undefined
  try {
    // Not awaited: it travels with the first statement. If it fails, so does everything after it.
    client.query('BEGIN').catch(() => undefined)
    const result = await work(run)
    await client.query('COMMIT')
    return result
  } catch (error) {
    const rolledBack = await client.query('ROLLBACK').then(
      () => true,
      () => false,
    )
    if (!rolledBack) failure = error as Error
    throw error
  } finally {
    client.release(failure)
  }
}

/** Names of prepared statements, the same on every connection of this process. */
const statementNames = new Map<string, string>()

function statementName(text: string): string {
  const known = statementNames.get(text)
  if (known !== undefined) return known
  const name = `stele_${statementNames.size}`
  statementNames.set(text, name)
  return name
}

/** No SQLSTATE starts with E, as the system's own codes do: EPIPE is a broken connection, not a refusal. */
const sqlState = /^[0-9FHPX][0-9A-Z]{4}$/

/**
 * A database that is gone, a server that turned read-only (failover), and one that has ended a transaction of which it heard
 * nothing for too long, as of a machine that slept.
 */
const unavailable = new Set(['3D000', '25006', '25P03', '25P04'])

/**
 * SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html. Beside those named: connection, credentials,
 * resources, operator intervention, system errors.
 */
function classify(error: unknown): FailureKind {
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code !== 'string' || !sqlState.test(code)) {
    if (error instanceof SteleError) return error.code === 'store_unavailable' ? 'unavailable' : 'rejected'
    return error instanceof TypeError || error instanceof RangeError ? 'rejected' : 'unavailable'
  }
  if (code === '40001' || code === '40P01' || code === '55P03') return 'contended'
  return /^(08|28|53|57|58)/.test(code) || unavailable.has(code) ? 'unavailable' : 'rejected'
}
