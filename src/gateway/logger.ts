import { type Logger, pino } from 'pino'

/**
 * Writes this whole line by line: processes that share a pipe must not write into each other's lines, which the system
 * only grants up to this many bytes at once (PIPE_BUF).
 */
const maxWrite = 4096

/** JSON lines on stderr. `worker` tells processes of one gateway apart. */
export function createLogger(level: string, worker?: number): Logger {
  const destination = pino.destination({ fd: 2, sync: false, maxWrite })
  // A log that cannot be written (its disk may be full) must not end what it tells about.
  destination.on('error', () => undefined)
  return pino({ level, base: worker === undefined ? null : { worker } }, destination)
}
