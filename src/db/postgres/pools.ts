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

/** Connections that write batches, pipelined: statements that do not need each other's results share a round trip. */
export function openWriterPool(
  location: PostgresLocation,
  settings: DatabaseSettings,
  sockets: Sockets,
  batches: number,
): pg.Pool {
  const pool = guarded(
    new pg.Pool({
      ...common(location, settings, sockets, writerSettings),
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
    options: [
      ...(given === null ? [] : [given]),
      ...Object.entries(sessionSettings).map(([name, value]) => `-c ${name}=${value}`),
    ].join(' '),
  }
}

function guarded(pool: pg.Pool): pg.Pool {
  // A connection that breaks is replaced on next use, and whoever was using it gets the error from its query; without
  // listeners the event would end the process.
  pool.on('error', () => undefined)
  pool.on('connect', client => client.on('error', () => undefined))
  return pool
}
