import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { RawReply, Running } from './running.ts'

/** A connection without an HTTP client in between: a test writes any bytes, in any pieces, and reads when it likes. */
export interface BareConnection {
  readonly socket: Socket
  send(bytes: string | Uint8Array): void
  /** Everything received so far. */
  readonly text: () => string
  /** The first `count` replies, as soon as they are whole. */
  replies(count: number): Promise<RawReply[]>
  /** Resolves when the other side has closed the connection. */
  readonly closed: Promise<unknown>
}

export async function openConnection({ address }: Pick<Running, 'address'>): Promise<BareConnection> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  onTestFinished(() => void socket.destroy())
  const closed = once(socket, 'close')
  socket.on('error', () => undefined)
  const received: Buffer[] = []
  socket.on('data', bytes => void received.push(bytes))
  return {
    socket,
    send: bytes => void socket.write(bytes),
    text: () => Buffer.concat(received).toString('utf8'),
    async replies(count) {
      for (;;) {
        const replies = parseReplies(Buffer.concat(received))
        if (replies.length >= count) return replies.slice(0, count)
        if (socket.destroyed) throw new Error(`closed after ${replies.length} of ${count} replies`)
        await Promise.race([once(socket, 'data'), closed])
      }
    },
    closed,
  }
}

/** A request in HTTP/1.1's own words, with the key of `ada`. */
export function requestText(
  { key }: Pick<Running, 'key'>,
  start: string,
  body: string | undefined,
  ...headers: string[]
): string {
  const lines = [`${start} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${key}`, ...headers]
  if (body !== undefined)
    lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`)
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`
}

/** A chat completion asked for in HTTP/1.1's own words. */
export function askText(running: Pick<Running, 'key'>, body: object, ...headers: string[]): string {
  return requestText(running, 'POST /v1/chat/completions', JSON.stringify(body), ...headers)
}

/** The replies that are whole, in their order; interim ones (1xx) are counted too. */
function parseReplies(bytes: Buffer): RawReply[] {
  const replies: RawReply[] = []
  for (let at = 0; at < bytes.length; ) {
    const headEnd = bytes.indexOf('\r\n\r\n', at)
    if (headEnd === -1) return replies
    const [start = '', ...lines] = bytes.subarray(at, headEnd).toString('latin1').split('\r\n')
    const headers = Object.fromEntries(
      lines.map(line => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    )
    const body = bodyAt(bytes, headEnd + 4, headers)
    if (body === undefined) return replies
    replies.push({
      status: Number(start.split(' ')[1]),
      headers,
      bytes: body.bytes,
      text: body.bytes.toString('utf8'),
    })
    at = body.end
  }
  return replies
}

function bodyAt(
  bytes: Buffer,
  from: number,
  headers: Readonly<Record<string, string>>,
): { bytes: Buffer; end: number } | undefined {
  if (headers['transfer-encoding'] === 'chunked') {
    const chunks: Buffer[] = []
    for (let at = from; ; ) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd === -1) return undefined
      const size = Number.parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16)
      const end = lineEnd + 2 + size + 2
      if (bytes.length < end) return undefined
      if (size === 0) return { bytes: Buffer.concat(chunks), end }
      chunks.push(bytes.subarray(lineEnd + 2, end - 2))
      at = end
    }
  }
  const end = from + Number(headers['content-length'] ?? 0)
  return bytes.length < end ? undefined : { bytes: bytes.subarray(from, end), end }
}
