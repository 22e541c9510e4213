import { type Logger, pino } from 'pino'
import { SteleError } from '../errors.ts'
import { framesOf, quietReasonOf } from '../quiet-error.ts'
import { unsaid, withoutSecrets } from './redact.ts'

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
  return pino({ level, base, ...logOptions }, destination)
}

/**
 * Where an expected failure was raised says nothing. What is behind it is named by its code alone: its message may quote
 * what was said, as a JSON parser's does. Of what was not expected everything is told that cannot quote: none of the members
 * that libraries hang on their errors, as a database's tell the row, a client's the headers of its request.
 */
function describe(error: unknown): object {
  if (!(error instanceof Error)) return { message: withoutSecrets(quietReasonOf(error)) }
  const { cause, name: type } = error
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  if (error instanceof SteleError && error.code !== 'internal_error') {
    const message = withoutSecrets(error.message)
    if (!(cause instanceof Error)) return { message }
    return { message, cause: (cause as NodeJS.ErrnoException).code ?? cause.name }
  }
  const message = withoutSecrets(quietReasonOf(error))
  return {
    type,
    message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof constraint === 'string' ? { constraint } : {}),
    stack: [`${type}: ${message}`, ...framesOf(error)].join('\n'),
    ...(cause === undefined ? {} : { cause: describe(cause) }),
  }
}

/** How every line is written: without secrets, whatever part of the program or of its libraries wants them said. */
export const logOptions = {
  serializers: { err: describe, error: describe },
  redact: { paths: unsaid, censor: '[hidden]' },
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
