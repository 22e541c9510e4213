import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** A request as the stand-in received it. */
export interface UpstreamRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  readonly text: string
  /** Resolves when the connection or the exchange is over; true when it was cut before the reply's end. */
  readonly over: Promise<boolean>
}

/** Writes one reply. Timing is up to it: it awaits whatever it likes. */
export type Answer = (reply: ReplyWriter, request: UpstreamRequest) => void | Promise<void>

export interface ReplyWriter {
  head(status: number, headers: Readonly<Record<string, string>>): void
  /** Resolves when the bytes are with the system; false when the other side reads too slowly for now. */
  write(bytes: string | Uint8Array): Promise<boolean>
  end(bytes?: string | Uint8Array): void
  /** Cuts the connection, as a crash of the provider would. */
  reset(): void
  readonly raw: ServerResponse
}

/** A model provider that does what a test says, over real HTTP on the loopback interface. */
export interface Upstream {
  /** What OPENAI_BASE_URL would be. */
  readonly baseUrl: string
  /** Every chat completion received, oldest first. */
  readonly journal: readonly UpstreamRequest[]
  /** What answers from now on, in turn; the last one goes on. */
  answer(...answers: Answer[]): void
  /** Runs when a request has arrived, before it is answered. */
  whenReceived(look: (request: UpstreamRequest) => Promise<void> | void): void
  /** Resolves with the request number `index` as soon as it is there. */
  received(index?: number): Promise<UpstreamRequest>
  /** What GET /v1/models answers. */
  models: Answer
}

export async function startUpstream(...answers: Answer[]): Promise<Upstream> {
  const journal: UpstreamRequest[] = []
  const waiting = new Map<number, (() => void)[]>()
  let script = answers
  let look: (request: UpstreamRequest) => Promise<void> | void = () => undefined

  const upstream: Upstream = {
    baseUrl: '',
    journal,
    models: json({ object: 'list', data: [] }),
    answer(...next) {
      script = next
    },
    whenReceived(next) {
      look = next
    },
    async received(index = 0) {
      const known = journal[index]
      if (known !== undefined) return known
      await new Promise<void>(resolve => waiting.set(index, [...(waiting.get(index) ?? []), resolve]))
      return journal[index] as UpstreamRequest
    },
  }

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await readRequest(incoming, response)
    const writer = writerOf(response)
    if (request.method === 'GET') return upstream.models(writer, request)
    journal.push(request)
    for (const resolve of waiting.get(journal.length - 1) ?? []) resolve()
    await look(request)
    const answer = script.length > 1 ? script.shift() : script[0]
    if (answer === undefined) throw new Error('the stand-in was given no answer')
    await answer(writer, request)
  }

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(error => {
      if (!response.headersSent) response.writeHead(500)
      response.end(String(error))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return Object.assign(upstream, { baseUrl: `http://127.0.0.1:${port}/v1` })
}

async function readRequest(incoming: IncomingMessage, response: ServerResponse): Promise<UpstreamRequest> {
  const over = new Promise<boolean>(resolve =>
    response.once('close', () => resolve(!response.writableFinished)),
  )
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  return {
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    headers: incoming.headers,
    body,
    text: body.toString('utf8'),
    over,
  }
}

function writerOf(raw: ServerResponse): ReplyWriter {
  return {
    raw,
    head: (status, headers) => {
      raw.writeHead(status, headers)
      raw.flushHeaders()
    },
    write: bytes =>
      new Promise(resolve => {
        const isRoomy = raw.write(bytes, () => resolve(isRoomy))
      }),
    end: bytes => void raw.end(bytes),
    reset: () => void raw.socket?.resetAndDestroy(),
  }
}

/** A reply in one piece. */
export function whole(
  body: string | Uint8Array,
  {
    status = 200,
    ...headers
  }: { status?: number; 'content-type'?: string; [header: string]: string | number | undefined } = {},
): Answer {
  const given = Object.entries(headers).map(([name, value]) => [name, String(value)])
  return reply => {
    reply.head(status, { 'content-type': 'application/json', ...Object.fromEntries(given) })
    reply.end(body)
  }
}

export function json(value: unknown, options?: Parameters<typeof whole>[1]): Answer {
  return whole(JSON.stringify(value), options)
}

export const eventStream = { 'content-type': 'text/event-stream; charset=utf-8' }

/** A stream of server-sent events, each piece in an HTTP chunk of its own. */
export function stream(
  pieces: readonly (string | Uint8Array)[],
  headers: Record<string, string> = eventStream,
): Answer {
  return async reply => {
    reply.head(200, headers)
    for (const piece of pieces) await reply.write(piece)
    reply.end()
  }
}

/** A stream that breaks off: what was written arrives, then the connection is cut. */
export function brokenStream(pieces: readonly string[], cut: Promise<unknown>): Answer {
  return async reply => {
    reply.head(200, eventStream)
    for (const piece of pieces) await reply.write(piece)
    await cut
    reply.reset()
  }
}

/** Cuts the connection instead of answering. */
export const reset: Answer = reply => reply.reset()

/** Takes the request and says nothing. */
export const silence: Answer = () => undefined

/** Sends the head of a reply and nothing more. */
export function headThenSilence(headers: Record<string, string>): Answer {
  return reply => reply.head(200, headers)
}
