/**
 * Load over raw keep-alive sockets, its own process: `node load-generator.ts '<LoadOptions as JSON>'`; one JSON line of
 * {@link LoadResult}. Written by hand because a full HTTP client would take the CPU the servers under test need.
 */
import { connect, type Socket } from 'node:net'
import { percentile, round } from './statistics.ts'
import { loadTexts, requestBody, uniqueText } from './texts.ts'

export interface LoadOptions {
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  readonly seconds: number
  /** Part of every message, so that no two runs send the same one. */
  readonly run: string
}

export interface LoadResult {
  readonly requests: number
  readonly errors: number
  readonly firstError?: string
  readonly perSecond: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
}

/** A hard stop for a server that never answers. */
const GRACE_MS = 10_000

const options = JSON.parse(process.argv[2] ?? '{}') as LoadOptions
const { texts } = loadTexts()
const head =
  `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:${options.port}\r\ncontent-type: application/json\r\n` +
  Object.entries(options.headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')

const latencies: number[] = []
let errors = 0
let firstError: string | undefined
let serial = 0
let deadline = 0

function fail(what: string): void {
  errors += 1
  firstError ??= what.slice(0, 400)
}

/** Whether `reply` (latin1) is a whole HTTP response. */
function isComplete(reply: string): boolean {
  const end = reply.indexOf('\r\n\r\n')
  if (end < 0) return false
  const header = reply.slice(0, end + 2).toLowerCase()
  const at = header.indexOf('\r\ncontent-length:')
  if (at >= 0) return reply.length >= end + 4 + Number.parseInt(header.slice(at + 17), 10)
  return reply.endsWith('\r\n0\r\n\r\n')
}

/** One connection sending one request after the other until the deadline. */
function connection(): Promise<void> {
  return new Promise(resolve => {
    const socket: Socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
    let reply = ''
    let mark = ''
    let sentAt = 0
    const send = () => {
      if (performance.now() >= deadline) {
        socket.destroy()
        return
      }
      mark = `${options.run}-${serial}`
      const body = requestBody(uniqueText(texts, serial++, options.run))
      reply = ''
      sentAt = performance.now()
      socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    }
    socket.setEncoding('latin1')
    socket.on('connect', send)
    socket.on('data', (chunk: string) => {
      reply += chunk
      if (!isComplete(reply)) return
      if (!reply.startsWith('HTTP/1.1 200')) fail(reply)
      else if (!reply.includes(mark)) fail(`the reply to ${mark} is another's: ${reply}`)
      else latencies.push(performance.now() - sentAt)
      send()
    })
    socket.on('error', error => fail(String(error)))
    socket.on('close', () => {
      if (performance.now() < deadline) fail('connection closed by the server')
      resolve()
    })
  })
}

const start = performance.now()
deadline = start + options.seconds * 1000
setTimeout(
  () => {
    process.stderr.write('the server did not answer in time\n')
    process.exit(1)
  },
  options.seconds * 1000 + GRACE_MS,
).unref()
await Promise.all(Array.from({ length: options.connections }, connection))
const seconds = (performance.now() - start) / 1000
latencies.sort((a, b) => a - b)
const at = (fraction: number) =>
  latencies.length === 0 ? Number.NaN : round(percentile(latencies, fraction), 4)
const result: LoadResult = {
  requests: latencies.length,
  errors,
  ...(firstError === undefined ? {} : { firstError }),
  perSecond: latencies.length / seconds,
  p50Ms: at(0.5),
  p95Ms: at(0.95),
  p99Ms: at(0.99),
}
process.stdout.write(`${JSON.stringify(result)}\n`)
