import type { PostgresPool, PostgresPoolClient } from 'kysely'
import type pg from 'pg'
import { SteleError } from '../../errors.ts'
import { socketOf } from './sockets.ts'

/**
 * A pool's connections for statements that somebody waits for. One that is not answered in time has its connection broken
 * off, so that the pool is not used up by a server that stands still. Ending it is left to the pool's owner.
 * @param milliseconds for a connection, and for each statement
 */
export function promptPool(pool: () => pg.Pool, milliseconds: number): PostgresPool {
  return {
    options: {},
    async connect() {
      const client = await connect(pool(), milliseconds)
      const answered = (text: string, values: unknown[]) => inTime(client, milliseconds, text, values)
      return {
        // It reads no cursors.
        query: answered as unknown as PostgresPoolClient['query'],
        release: destroy => client.release(destroy),
      }
    },
    end: async () => undefined,
  }
}

async function inTime(
  client: pg.PoolClient,
  milliseconds: number,
  text: string,
  values: unknown[],
): Promise<pg.QueryResult> {
  const timer = setTimeout(() => socketOf(client).destroy(), milliseconds)
  try {
    return await client.query(text, values)
  } finally {
    clearTimeout(timer)
  }
}

async function connect(pool: pg.Pool, milliseconds: number): Promise<pg.PoolClient> {
  const late = Promise.withResolvers<never>()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    late.reject(new SteleError('store_unavailable', { reason: 'it does not answer' }))
  }, milliseconds)
  const connecting = pool.connect()
  connecting.then(
    client => isLate && client.release(),
    () => undefined,
  )
  return Promise.race([connecting, late.promise]).finally(() => clearTimeout(timer))
}
