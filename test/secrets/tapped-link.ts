import type { Socket } from 'node:net'
import { type Link, linkToPostgres } from '../harness/postgres-link.ts'

/** A way to a server that hears everything that is sent on it. */
export interface TappedLink extends Link {
  /** Everything that was sent to the server, each connection's in one piece. */
  heard(): Buffer[]
}

export async function tapLink(target: string): Promise<TappedLink> {
  const heard = new Map<Socket, Buffer[]>()
  const link = await linkToPostgres(target, (from, bytes) => {
    const said = heard.get(from) ?? []
    said.push(bytes)
    heard.set(from, said)
  })
  return { ...link, heard: () => [...heard.values()].map(said => Buffer.concat(said)) }
}
