import type { Socket } from 'node:net'
import type pg from 'pg'
import { SteleError } from '../../errors.ts'
import { socketOf } from './sockets.ts'

/** How often it is looked whether anything moves, as a share of the time in which something must. */
const looks = 4

/** Bytes a millisecond that even a slow link carries: what waits to be sent is given that much longer. */
const slowestRate = 1_000

/**
 * Uses a connection of the pool for as long as anything moves on it. When nothing has for `milliseconds` it is broken off:
 * whether its transaction was committed is unknown, as with any connection that breaks.
 * @throws SteleError store_unavailable when the server has stood still for too long
 */
export async function withinTime<R>(
  pool: pg.Pool,
  milliseconds: number,
  use: (client: pg.PoolClient) => Promise<R>,
): Promise<R> {
  let socket: Socket | undefined
  let isLate = false
  let movedAt = performance.now()
  let traffic = 0
  const late = Promise.withResolvers<never>()
  const timer = setInterval(() => {
    const now = performance.now()
    const seen = socket === undefined ? 0 : socket.bytesRead + socket.bytesWritten - socket.writableLength
    if (seen !== traffic) movedAt = now
    traffic = seen
    if (now - movedAt < milliseconds + (socket?.writableLength ?? 0) / slowestRate) return
    isLate = true
    clearInterval(timer)
    socket?.destroy()
    late.reject(new SteleError('store_unavailable', { reason: `no answer within ${milliseconds / 1000} s` }))
  }, milliseconds / looks)
  const work = async (): Promise<R> => {
    const connected = await pool.connect()
    if (isLate) {
      connected.release()
      return late.promise
    }
    socket = socketOf(connected)
    return use(connected)
  }
  try {
    const working = work()
    // Once it is late nobody waits for what becomes of it.
    working.catch(() => undefined)
    return await Promise.race([working, late.promise])
  } finally {
    clearInterval(timer)
  }
}
