import { type Logger, pino } from 'pino'
import { SteleError } from '../errors.ts'

type Destination = ReturnType<typeof pino.destination>

/**
 * Writes this whole line by line: processes that share a pipe must not write into each other's lines, which the system
 * only grants up to this many bytes at once (PIPE_BUF).
 */
const maxWrite = 4096

/** JSON lines on stderr. `worker` tells processes of one gateway apart. */
export function createLogger(level: string, worker?: number): Logger {
  const destination = pino.destination({ fd: 2, sync: false, maxWrite })
  outliveErrors(destination)
  const base = worker === undefined ? null : { worker }
  return pino({ level, base, serializers: { err: describe } }, destination)
}

/**
 * Where an expected failure was raised says nothing. What is behind it is named by its code alone: its message may quote
 * what was said, as a JSON parser's does.
 */
function describe(error: Error): unknown {
  if (!(error instanceof SteleError) || error.code === 'internal_error') return pino.stdSerializers.err(error)
  const { message, cause } = error
  if (!(cause instanceof Error)) return { message }
  return { message, cause: (cause as NodeJS.ErrnoException).code ?? cause.name }
}

/** A log that cannot be written, on a full disk say, must neither end what it tells about nor keep it from ending. */
function outliveErrors(destination: Destination): void {
  const { flushSync } = destination
  destination.on('error', () => {
    // At exit it would try again for ever.
    destination.flushSync = () => undefined
  })
  destination.on('write', () => {
    destination.flushSync = flushSync
  })
}
