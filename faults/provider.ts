import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { openAiError } from '../test/gateway/wire.ts'
import type { Served } from './journal.ts'
import { markOf } from './marks.ts'
import { type Random, randomOf } from './random.ts'
import { type Reply, replyTo } from './replies.ts'

/** What a provider can do to a call. */
export const upstreamFaults = [
  'error 500',
  'error 500 without a body',
  'error 429',
  'reset at once',
  'reset midway',
  'ends midway',
  'garbage',
  'no [DONE]',
  'slow',
  'silence',
] as const

export type UpstreamFault = (typeof upstreamFaults)[number]

export interface Weather {
  /** Share of the calls that go wrong. */
  readonly rate: number
  /** The ways in which they do. */
  readonly faults: readonly UpstreamFault[]
}

/** A model provider on the loopback interface that answers by the mark, each time it is asked in other bytes, and keeps a journal of all it saw and said. */
export interface StandIn {
  readonly baseUrl: string
  /** Every request since it was last taken, oldest first. */
  takeJournal(): Served[]
  setWeather(weather: Weather): void
  close(): Promise<void>
}

type Entry = { -readonly [Key in keyof Served]: Served[Key] }

export async function startStandIn(seed: number): Promise<StandIn> {
  let journal: Entry[] = []
  let weather: Weather = { rate: 0, faults: [] }
  /** How often each question was asked. */
  const times = new Map<string, number>()

  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const request = Buffer.concat(chunks).toString('utf8')
    const mark = markOf(request)
    const time = (times.get(mark) ?? 0) + 1
    times.set(mark, time)
    const random = randomOf(seed, mark, time, 'provider')
    const [first, ...others] = weather.faults
    const fault =
      first !== undefined && random.chance(weather.rate) ? random.pick([first, ...others]) : undefined
    const reply = replyTo(mark, time, request)
    const { inputTokens, outputTokens } = reply
    const kind = fault ?? 'whole'
    const entry: Entry = {
      mark,
      request,
      kind,
      status: undefined,
      sent: Buffer.alloc(0),
      isWhole: false,
      inputTokens,
      outputTokens,
    }
    journal.push(entry)
    await new Answer(entry, response, random).write(fault, reply, time)
  }

  const server = createServer((incoming, response) => {
    // A gateway that is killed cuts its connections; what it did not read any more is in the journal as sent.
    answer(incoming, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    takeJournal() {
      const taken = journal
      journal = []
      return taken
    },
    setWeather(next) {
      weather = next
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** One answer under way: what is written is noted first. */
class Answer {
  readonly #entry: Entry
  readonly #response: ServerResponse
  readonly #random: Random

  constructor(entry: Entry, response: ServerResponse, random: Random) {
    this.#entry = entry
    this.#response = response
    this.#random = random
  }

  async write(fault: UpstreamFault | undefined, reply: Reply, time: number): Promise<void> {
    const { contentType, text } = reply
    switch (fault) {
      case undefined:
        return this.#whole(text, contentType, this.#random.chance(0.2) ? 5 : 0)
      case 'slow':
        return this.#whole(text, contentType, 150)
      case 'no [DONE]':
        // Said to be finished, its usage told, and ended without the last event: whole nevertheless.
        return this.#whole(text.replace(/data: \[DONE\]\n\n$/, ''), contentType, 0)
      case 'error 500':
        return this.#refuse(500, JSON.stringify(openAiError(`The server had error ${time}.`, 'server_error')))
      case 'error 500 without a body':
        return this.#refuse(500, '')
      case 'error 429':
        return this.#refuse(429, JSON.stringify(openAiError(`Slow down ${time}.`, 'rate_limit_exceeded')))
      case 'reset at once':
        return void this.#response.socket?.resetAndDestroy()
      case 'reset midway':
        await this.#part(text, contentType)
        return void this.#response.socket?.resetAndDestroy()
      case 'ends midway':
        await this.#part(text, contentType)
        return void this.#response.end()
      case 'garbage':
        this.#head(200, contentType)
        this.#note(Buffer.from(`data: {"choices": ${text.slice(0, 40)}\n\n`))
        return void this.#response.end(this.#entry.sent)
      case 'silence':
        return
    }
  }

  async #whole(text: string, contentType: string, pauseMs: number): Promise<void> {
    this.#head(200, contentType)
    // Noted before it is on its way: what the other side has got must be in the journal.
    this.#note(Buffer.from(text))
    this.#entry.isWhole = true
    await this.#inPieces(Buffer.from(text), pauseMs)
    this.#response.end()
  }

  async #part(text: string, contentType: string): Promise<void> {
    const bytes = Buffer.from(text)
    // Before the reply's end is in sight, so that it cannot pass for whole.
    const part = bytes.subarray(0, this.#random.integer(1, Math.max(1, Math.floor(bytes.byteLength / 2))))
    this.#head(200, contentType)
    this.#note(part)
    await this.#inPieces(part, 0)
  }

  #refuse(status: number, body: string): void {
    this.#head(status, 'application/json')
    this.#note(Buffer.from(body))
    this.#response.end(body)
  }

  #head(status: number, contentType: string): void {
    this.#entry.status = status
    this.#response.writeHead(status, { 'content-type': contentType })
  }

  #note(bytes: Buffer): void {
    this.#entry.sent = bytes
  }

  /** Cut anywhere, in the middle of an event or of a character too. */
  async #inPieces(bytes: Buffer, pauseMs: number): Promise<void> {
    const pieces = this.#random.integer(1, 8)
    const size = Math.max(1, Math.ceil(bytes.byteLength / pieces))
    for (let at = 0; at < bytes.byteLength; at += size) {
      await new Promise<void>((resolve, reject) =>
        this.#response.write(bytes.subarray(at, at + size), error => (error ? reject(error) : resolve())),
      )
      if (pauseMs > 0) await sleep(pauseMs)
    }
  }
}
