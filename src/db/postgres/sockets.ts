import { once } from 'node:events'
import { Socket } from 'node:net'
import type pg from 'pg'

/** The sockets of all connections to a server: pg has no way to give one up without asking the server. */
export class Sockets {
  readonly #open = new Set<Socket>()

  /** A new one, for a connection to be made. */
  open(): Socket {
    const socket = new Socket()
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    return socket
  }

  /** Breaks every connection, made or being made. */
  destroy(): void {
    for (const socket of this.#open) socket.destroy()
  }

  /** Resolves when there is none left. */
  async whenClosed(): Promise<void> {
    for (const socket of this.#open) if (!socket.closed) await once(socket, 'close')
  }
}

/** The socket of a connection; pg's types do not name it. */
export function socketOf(client: pg.PoolClient): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream
}
