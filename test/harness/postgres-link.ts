import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { inject, onTestFinished } from 'vitest'
import type {} from './global-setup.ts'

/** A way to a PostgreSQL server, the shared one when none is named, that can be cut and restored. */
export interface Link {
  readonly databaseUrl: string
  /** Breaks every connection and takes no new one. */
  cut(): void
  /** Lets nothing through any more and breaks nothing, as a server that stands still. */
  hang(): void
  /** Takes new connections again; those that hang stay so, as behind a firewall that has forgotten them. */
  forget(): void
  restore(): void
}

/** @param onSent told of everything that a client sends, connection by connection */
export async function linkToPostgres(
  to: string = inject('postgresUrl'),
  onSent?: (from: Socket, bytes: Buffer) => void,
): Promise<Link> {
  const target = new URL(to)
  const sockets = new Set<Socket>()
  let isCut = false
  let isHanging = false
  const server = createServer(incoming => {
    if (isCut) return void incoming.destroy()
    const outgoing = connect(Number(target.port), target.hostname)
    if (onSent !== undefined) incoming.on('data', bytes => onSent(incoming, bytes))
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
    if (isHanging) incoming.pause()
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
  const hang = (): void => {
    isHanging = true
    for (const socket of sockets) socket.pause()
  }
  const forget = (): void => {
    isHanging = false
  }
  const restore = (): void => {
    isCut = false
    isHanging = false
    for (const socket of sockets) socket.resume()
  }
  return { databaseUrl: url.href, cut, hang, forget, restore }
}
