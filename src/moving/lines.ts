/** Longer lines are not read: JavaScript's strings end at about twice this. */
const maxLineBytes = 256 * 1024 * 1024

export interface LinesOptions {
  /** Bytes of a line at most. */
  readonly longest?: number
  /** Whether a longer line is the last that is read, and only so far; otherwise it is passed over. */
  readonly endsAtLonger?: boolean
}

export interface NumberedLine {
  /** Counted from 1. */
  readonly number: number
  /** Undefined when the line is longer than can be read. */
  readonly bytes: Buffer | undefined
  /** Bytes of the input up to its end. */
  readonly offset: number
}

/**
 * The lines of a stream of bytes, in memory that does not grow with it. Only a line feed ends a line: JSON text may hold
 * the other line separators of Unicode.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  { longest = maxLineBytes, endsAtLonger = false }: LinesOptions = {},
): AsyncGenerator<NumberedLine> {
  let number = 0
  let offset = 0
  let parts: Buffer[] = []
  let length = 0
  const take = (piece: Buffer): void => {
    length += piece.byteLength
    offset += piece.byteLength
    if (length <= longest) parts.push(piece)
    else parts = []
  }
  const finish = (): NumberedLine => {
    number++
    const line = { number, bytes: length <= longest ? Buffer.concat(parts) : undefined, offset }
    parts = []
    length = 0
    return line
  }
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let at = rest.indexOf(0x0a); at !== -1; at = rest.indexOf(0x0a)) {
      take(rest.subarray(0, at))
      offset++
      yield finish()
      rest = rest.subarray(at + 1)
    }
    if (rest.byteLength > 0) take(rest)
    if (endsAtLonger && length > longest) break
  }
  if (length > 0) yield finish()
}
