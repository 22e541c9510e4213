import { connect } from 'node:net'
import { Agent, request } from 'undici'
import type { RawReply } from '../gateway/running.ts'
import type { Kind, Markers } from './markers.ts'

/** Somebody who says marked things on every route, all of one kind. */
export interface Speaker {
  readonly kind: Kind
  readonly markers: Markers
  /** A model name of the given manner, which has a marker itself. */
  model(manner: string): string
  text(where: string): string
  long(where: string): string
  /** Letters and digits alone, for what is not to hold more. */
  word(where: string): string
  /** The same for what is plain on purpose. */
  label(where: string): string
  /** The same for the id of something that is looked for. */
  asked(where: string): string
  /** Of a secret that a reply held, which must stand nowhere else. */
  learn(what: string, secret: string): void
  send(method: string, path: string, options?: Said): Promise<RawReply>
  /** The parsed reply of a request that must succeed. */
  ask(method: string, path: string, options?: Said): Promise<Record<string, unknown>>
}

export interface Said {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds after which the client leaves. */
  readonly leavesAfter?: number
}

export interface SpeakerOptions {
  readonly address: () => string
  readonly key: string
  readonly kind: Kind
  readonly markers: Markers
  readonly learn: Speaker['learn']
}

/** Requests without a manner end well. */
export const well = 'speaks'

export function speaker({
  address,
  key,
  kind,
  markers,
  learn,
}: SpeakerOptions): Speaker & { leave(): Promise<void> } {
  const agent = new Agent({ headersTimeout: 15_000, bodyTimeout: 15_000 })
  const send: Speaker['send'] = async (method, path, { body, headers = {}, leavesAfter } = {}) => {
    const note = markers.make(kind, `a header of ${method} ${path}`)
    const response = await request(address() + path, {
      dispatcher: agent,
      method: method as 'GET',
      headers: {
        authorization: `Bearer ${key}`,
        'x-note': note,
        cookie: `note=${note}`,
        'user-agent': note,
        referer: `http://127.0.0.1/?note=${note}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body:
        body === undefined
          ? null
          : typeof body === 'string' || Buffer.isBuffer(body)
            ? body
            : JSON.stringify(body),
      ...(leavesAfter === undefined ? {} : { signal: AbortSignal.timeout(leavesAfter) }),
    })
    const bytes = Buffer.from(await response.body.arrayBuffer())
    return { status: response.statusCode, headers: response.headers, bytes, text: bytes.toString('utf8') }
  }
  return {
    kind,
    markers,
    learn,
    model: manner => `${manner}-${markers.make('model', `the model of a request that ${manner}`)}`,
    text: where => markers.text(kind, where),
    long: where => markers.long(kind, where),
    word: where => markers.make(kind, where),
    label: where => markers.make('label', where),
    asked: where => markers.make('asked', where),
    send,
    async ask(method, path, said) {
      const reply = await send(method, path, said)
      // Of what is kept as a digest alone nothing can be shown.
      if (kind === 'hashed' && reply.status === 410) return {}
      if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`)
      return JSON.parse(reply.text) as Record<string, unknown>
    },
    leave: () => agent.destroy(),
  }
}

/** Sends bytes that are no HTTP, or not all of it, and waits until the other side has had enough. */
export function sendRaw(address: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(address)
  return new Promise(resolve => {
    let said = ''
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    socket.setTimeout(3_000, () => socket.destroy())
    socket.on('data', data => {
      said += data.toString('latin1')
      socket.end()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(said))
  })
}
