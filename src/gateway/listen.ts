import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Config } from '../config.ts'
import { reasonOf, SteleError } from '../errors.ts'
import type { Gateway } from './app.ts'

/** What `localhost` stands for: clients try either, and on some machines one alone. */
const loopback = { four: '127.0.0.1', six: '::1' } as const

/** Codes of a machine that has no IPv6. */
const notThere: ReadonlySet<unknown> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT'])

type ListenSettings = Pick<Config, 'host' | 'port' | 'maxConnections'>

/**
 * Has a gateway listen, on `localhost` at both addresses that it stands for. Returns the first as a URL.
 * @throws SteleError address_unavailable
 */
export async function listen({ app }: Gateway, settings: ListenSettings): Promise<string> {
  const { host, port } = settings
  const isBoth = host === 'localhost'
  // A second door into the same server: with two servers one would have none of the limits, nor the next certificate.
  const door = isBoth ? doorTo(app.server, settings) : undefined
  if (door !== undefined) app.addHook('preClose', async () => void door.close())
  try {
    const address = await app.listen({ host: isBoth ? loopback.four : host, port })
    if (door !== undefined) await open(door, (app.server.address() as AddressInfo).port)
    return address
  } catch (cause) {
    // It may have one of the two.
    if (isBoth) await app.close()
    const code = (cause as NodeJS.ErrnoException).code
    const reason =
      code === 'EADDRINUSE' ? 'the port is taken; choose another with PORT or --port' : reasonOf(cause)
    throw new SteleError('address_unavailable', { host, port, reason }, { cause })
  }
}

/** Takes connections for a server that listens elsewhere, and counts those of both. */
function doorTo(server: Server, { maxConnections }: ListenSettings): Server {
  let held = 0
  server.on('connection', (socket: Socket) => {
    held++
    socket.once('close', () => held--)
    if (held > maxConnections) socket.destroy()
  })
  // As a server of HTTP has its own connections.
  return createServer(
    { allowHalfOpen: true, noDelay: true },
    socket => void server.emit('connection', socket),
  )
}

async function open(door: Server, port: number): Promise<void> {
  door.listen({ host: loopback.six, port })
  try {
    await once(door, 'listening')
  } catch (error) {
    if (!notThere.has((error as NodeJS.ErrnoException).code)) throw error
  }
}
