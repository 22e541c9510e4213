/**
 * Cuts a stream of server-sent events into whole events without changing a byte
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
 */
export class SseSplitter {
  #rest: Buffer = Buffer.alloc(0)

  /** The events that `chunk` completes, each with the blank line that ends it. */
  push(chunk: Uint8Array): Buffer[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const events: Buffer[] = []
    for (let end = eventEnd(rest); end !== -1; end = eventEnd(rest)) {
      events.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    this.#rest = rest
    return events
  }

  /** What is left when the stream has ended: an event that lacks its blank line, if any. */
  end(): Buffer[] {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    return rest.length === 0 ? [] : [rest]
  }
}

/** The data of an event, undefined for comments and for events without any. */
export function eventData(event: Buffer): string | undefined {
  const lines = event
    .toString('utf8')
    .split(/\r\n|\n|\r/)
    .filter(line => line === 'data' || line.startsWith('data:'))
    .map(line => line.slice(5).replace(/^ /, ''))
  return lines.length === 0 ? undefined : lines.join('\n')
}

const newline = 0x0a
const carriageReturn = 0x0d

/** The position after the first blank line, -1 when there is none yet. */
function eventEnd(bytes: Buffer): number {
  for (let at = nextLineEnd(bytes, 0); at !== -1; at = nextLineEnd(bytes, at)) {
    const after = lineEndLength(bytes, at)
    // Where lines end in CR LF, a CR at the very end is half of one: the LF is still to come.
    const isHalf = bytes[at] === carriageReturn && at + 1 === bytes.length && bytes[at - 1] === newline
    if (isHalf) return -1
    if (after > 0) return at + after
  }
  return -1
}

/** The position after the next line end at or after `from`, -1 when the line is not ended (for sure) yet. */
function nextLineEnd(bytes: Buffer, from: number): number {
  const lf = bytes.indexOf(newline, from)
  const cr = bytes.indexOf(carriageReturn, from)
  if (lf === -1 && cr === -1) return -1
  const at = lf === -1 ? cr : cr === -1 ? lf : Math.min(lf, cr)
  return at + lineEndLength(bytes, at)
}

function lineEndLength(bytes: Buffer, at: number): number {
  if (bytes[at] === newline) return 1
  if (bytes[at] !== carriageReturn) return 0
  return bytes[at + 1] === newline ? 2 : 1
}
