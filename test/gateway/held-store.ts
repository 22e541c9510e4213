import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { inject, onTestFinished } from 'vitest'
import { parseDatabaseUrl } from '../../src/db/database-url.ts'
import type { Place } from '../harness/databases.ts'

/** Keeps every writer out of a place until it is released; readers still read what is committed. */
export async function holdWriters({ databaseUrl, schema }: Place): Promise<{ release(): Promise<void> }> {
  const location = parseDatabaseUrl(databaseUrl)
  if (location.kind === 'sqlite') {
    const other = new DatabaseSync(location.path)
    other.exec('BEGIN IMMEDIATE')
    return { release: async () => other.close() }
  }
  const other = new pg.Client({ connectionString: databaseUrl })
  await other.connect()
  await other.query(`BEGIN; LOCK TABLE ${schema}.llm_requests, ${schema}.llm_responses IN EXCLUSIVE MODE`)
  return { release: () => other.end() }
}

/** A way to the shared PostgreSQL server that can be cut and restored. */
export interface Link {
  readonly databaseUrl: string
  cut(): void
  restore(): void
}

export async function linkToPostgres(): Promise<Link> {
  const target = new URL(inject('postgresUrl'))
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer(incoming => {
    if (isCut) return void incoming.destroy()
    const outgoing = connect(Number(target.port), target.hostname)
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
  const restore = (): void => {
    isCut = false
  }
  return { databaseUrl: url.href, cut, restore }
}
