import pg from 'pg'
import type { DatabaseSettings } from '../database.ts'
import type { DatabaseLocation } from '../database-url.ts'
import type { Sockets } from './sockets.ts'

const int8 = 20
const numeric = 1700

/** Counters and times fit a JavaScript number exactly (below 2^53); pg hands 64-bit values over as text. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === int8 || oid === numeric
      ? (value: string) => Number(value)
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

/**
 * Settings of the connections that write batches. Every batch statement joins a handful of keys to a big table through
 * its index; a planner that has not seen statistics yet would scan instead, and keep that plan.
 */
const writerSettings = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  plan_cache_mode: 'force_generic_plan',
}

/**
 * Settings of the connections that read. Nearly every statement wants the first rows in the order of an index; a planner
 * that has not seen statistics yet would gather all rows of a user from a bitmap and sort them for one page.
 */
const readerSettings = { enable_bitmapscan: 'off' }

/**
 * What the statements count on, whatever a database or a role is set to. A statement sees what others have committed before
 * it; under a stricter default those that wait for each other would fail instead. NULL in an array is none of its values, and
 * a backslash is itself. The schema is described in the words in which the expected one is written.
 */
const ownSettings = {
  default_transaction_isolation: 'read\\ committed',
  array_nulls: 'on',
  standard_conforming_strings: 'on',
  bytea_output: 'hex',
  quote_all_identifiers: 'off',
}

/**
 * How the server finds out that whoever was connected is gone without a word (a machine without power, a network that is
 * cut): seconds of silence, seconds between questions, and how many may go unanswered. Its own default is two hours, for
 * which all others would wait for what the lost one has locked. What the URL's options say instead holds.
 */
const peerSettings = {
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
}

/** Seconds. A server that is there answers in milliseconds; one that is stopped or cut off never does. */
const defaultCommitTimeout = 5

/** Milliseconds for which a server that does not answer is waited for. */
export function answerTimeOf({ commitTimeout = defaultCommitTimeout }: DatabaseSettings): number {
  return commitTimeout * 1000
}

export type PostgresLocation = Extract<DatabaseLocation, { kind: 'postgres' }>

/** Connections for reads and rare writes. */
export function openPool(location: PostgresLocation, settings: DatabaseSettings, sockets: Sockets): pg.Pool {
  const size = settings.poolSize ?? 5
  return guarded(
    new pg.Pool({
      ...common(location, settings, sockets, readerSettings),
      min: size,
      max: size + (settings.maxOverflow ?? 10),
      idleTimeoutMillis: 30_000,
    }),
  )
}

/**
 * Connections that write batches, pipelined: statements that do not need each other's results share a round trip. A batch
 * whose writer says nothing for twice as long as the server is waited for has been given up, and the server undoes it.
 */
export function openWriterPool(
  location: PostgresLocation,
  settings: DatabaseSettings,
  sockets: Sockets,
  batches: number,
): pg.Pool {
  const givenUpAfter = { idle_in_transaction_session_timeout: String(2 * answerTimeOf(settings)) }
  const pool = guarded(
    new pg.Pool({
      ...common(location, settings, sockets, { ...writerSettings, ...givenUpAfter }),
      pipeline: true,
      min: 0,
      max: batches,
      idleTimeoutMillis: 0,
    }),
  )
  pool.on('connect', client => {
    // A commit that is acknowledged before it is on disk would break the first promise. Stricter settings stay.
    client
      .query(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
      )
      .catch(() => undefined)
  })
  return pool
}

function common(
  location: PostgresLocation,
  settings: DatabaseSettings,
  sockets: Sockets,
  session: Record<string, string>,
): pg.PoolConfig {
  const sessionSettings = {
    ...(settings.schema === undefined ? {} : { search_path: settings.schema }),
    ...ownSettings,
    ...session,
  }
  // Options of the URL would take the place of these, and the schema would be lost with them.
  const url = new URL(location.connectionString)
  const given = url.searchParams.get('options')
  url.searchParams.delete('options')
  return {
    connectionString: url.href,
    connectionTimeoutMillis: (settings.poolTimeout ?? 30) * 1000,
    application_name: 'stele',
    keepAlive: true,
    stream: () => sockets.open(),
    types,
    // The last one that names a setting holds.
    options: [asOptions(peerSettings), given ?? '', asOptions(sessionSettings)].join(' '),
  }
}

function asOptions(settings: Record<string, string>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ')
}

function guarded(pool: pg.Pool): pg.Pool {
  // A connection that breaks is replaced on next use, and whoever was using it gets the error from its query; without
  // listeners the event would end the process.
  pool.on('error', () => undefined)
  pool.on('connect', client => client.on('error', () => undefined))
  return pool
}
