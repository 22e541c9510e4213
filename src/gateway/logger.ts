import { type Logger, pino } from 'pino'
import { SteleError } from '../errors.ts'
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
 * what was said, as a JSON parser's does. Of what was not expected the message and where it came from are told, but none
 * of the members that libraries hang on their errors: a database's tell the row, a client's the headers of its request.
 */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return withoutSecrets(String(error))
  if (!(error instanceof SteleError) || error.code === 'internal_error') return unexpected(error)
  const message = withoutSecrets(error.message)
  const { cause } = error
  if (!(cause instanceof Error)) return { message }
  return { message, cause: (cause as NodeJS.ErrnoException).code ?? cause.name }
}

function unexpected(error: Error): unknown {
  const { name, cause } = error
  const { code } = error as NodeJS.ErrnoException
  const places = error.stack?.split('\n').filter(line => /^\s+at /.test(line)) ?? []
  const message = isQuoting(error) ? name : withoutSecrets(error.message)
  return {
    type: name,
    message,
    stack: [`${name}: ${message}`, ...places].join('\n'),
    ...(typeof code === 'string' ? { code } : {}),
    ...(cause instanceof Error ? { cause: unexpected(cause) } : {}),
  }
}

/** A parser's message quotes the text that it could not read. */
function isQuoting(error: Error): boolean {
  return error instanceof SyntaxError
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
