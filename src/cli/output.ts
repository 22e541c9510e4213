import { printableJson } from './printable.ts'

/** Data goes to stdout, words about it go to stderr. */

/** Standard output could not be written. */
export class OutputError extends Error {
  override readonly name = 'OutputError'
  /** True when the reader has left, as `head` does: nothing is wrong then. */
  readonly isReaderGone: boolean

  constructor(cause: NodeJS.ErrnoException) {
    super(`The output cannot be written: ${cause.message}`, { cause })
    this.isReaderGone = cause.code === 'EPIPE' || cause.code === 'ERR_STREAM_DESTROYED'
  }
}

// A failed write is told to whoever wrote; without a listener the event would also end the process with a stack trace.
process.stdout.on('error', () => undefined)
process.stderr.on('error', () => undefined)

/** Writes to stdout exactly what is given. @throws OutputError */
export function write(data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, error => (error == null ? resolve() : reject(new OutputError(error))))
  })
}

export function writeLine(line: string): Promise<void> {
  return write(`${line}\n`)
}

/** Writes a value as JSON to stdout, indented, or as one line. */
export function writeJson(value: unknown, { inOneLine = false } = {}): Promise<void> {
  return writeLine(printableJson(JSON.stringify(value, null, inOneLine ? undefined : 2)))
}

/** Says something to the person at the keyboard. */
export function say(words: string): void {
  process.stderr.write(`${words}\n`)
}

/** The width to fit lines into: that of the terminal, if stdout is one. */
export function outputWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined
}

/** Whether stdout is a terminal that shows colours and whose user wants them (NO_COLOR). */
export function hasColors(): boolean {
  return process.stdout.isTTY && process.stdout.hasColors()
}
