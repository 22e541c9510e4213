import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A way to a server that can be cut, and that hears everything that is sent on it. */
export interface TappedLink {
  readonly url: string
  /** Everything that was sent to the server, each connection's in one piece. */
  heard(): Buffer[]
  /** Breaks every connection and takes no new one. */
  cut(): void
  restore(): void
}

export async function tapLink(target: string): Promise<TappedLink> {
  const { hostname, port } = new URL(target)
  const heard: Buffer[][] = []
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer(incoming => {
    if (isCut) return void incoming.destroy()
    const outgoing = connect(Number(port), hostname)
    const said: Buffer[] = []
    heard.push(said)
    incoming.on('data', bytes => void said.push(bytes))
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        incoming.destroy()
        outgoing.destroy()
        sockets.delete(socket)
      })
    }
    incoming.pipe(outgoing).pipe(incoming)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(() => {
    cut()
    server.close()
  })
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    heard: () => heard.map(said => Buffer.concat(said)),
    cut,
    restore: () => {
      isCut = false
    },
  }
}
