import { SteleError } from './errors.ts'

/**
 * What is kept, logged or printed of an error without quoting: parsers, databases and checks of arguments name in their messages
 * what they did not like, which may be what somebody said, or a secret.
 */

/** What of an error says where it comes from. */
interface Facts {
  readonly code?: unknown
  readonly syscall?: unknown
  readonly errstr?: unknown
}

/** Why something failed, in one line. */
export function quietReasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return quietReasonOf(error.errors[0])
  if (!(error instanceof Error)) return 'something else than an error was thrown'
  const { code, syscall, errstr } = error as Facts
  // A call of the system names a path or an address; an error with nothing to tell it by was worded in a program.
  const isWorded =
    error instanceof SteleError ||
    typeof syscall === 'string' ||
    (error.name === 'Error' && code === undefined)
  if (isWorded) return error.message.split('\n', 1)[0] || error.name
  if (typeof errstr === 'string') return errstr
  return typeof code === 'string' ? `${error.name} ${code}` : error.name
}

/** Where it was raised: the lines of its stack without its message. */
export function framesOf({ stack = '', message }: Error): string[] {
  const at = stack.indexOf(message)
  const frames = at === -1 ? stack : stack.slice(at + message.length)
  return frames
    .split('\n')
    .map(line => line.trim())
    .filter(line => line.startsWith('at '))
}
