import type pg from 'pg'
import { SteleError } from '../../errors.ts'
import { breakOff } from './sockets.ts'

/**
 * Uses a connection of the pool, for a limited time. One that is still in use then is broken off: whether its transaction
 * was committed is unknown, as with any connection that breaks.
 * @throws SteleError store_unavailable when the time is up
 */
export async function withinTime<R>(
  pool: pg.Pool,
  milliseconds: number,
  use: (client: pg.PoolClient) => Promise<R>,
): Promise<R> {
  let client: pg.PoolClient | undefined
  let isLate = false
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    isLate = true
    if (client !== undefined) breakOff(client)
    late.reject(new SteleError('store_unavailable', { reason: `no answer within ${milliseconds / 1000} s` }))
  }, milliseconds)
  const work = async (): Promise<R> => {
    const connected = await pool.connect()
    if (isLate) {
      connected.release()
      return late.promise
    }
    client = connected
    return use(connected)
  }
  try {
    const working = work()
    // Once it is late nobody waits for what becomes of it.
    working.catch(() => undefined)
    return await Promise.race([working, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
