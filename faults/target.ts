import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStele, type Stele } from '../src/stele.ts'
import { type PostgresVictim, startPostgresVictim } from './postgres.ts'
import type { DatabaseName } from './schedule.ts'

/** Where a run records: an empty database and a folder for the gateway, both of its own. */
export interface Target {
  readonly folder: string
  /** Where the gateway keeps what it cannot write; it outlives the gateway's processes. */
  readonly spoolFolder: string
  /** What the gateway needs to know. */
  readonly env: Readonly<Record<string, string>>
  /** The server, where there is one. */
  readonly postgres: PostgresVictim | undefined
  /** The record, read through the library. Whoever opens it closes it. */
  open(): Promise<Stele>
  remove(): Promise<void>
}

export const apiKey = 'sk-faults-0123456789abcdef'

/** Short, so that a provider's silence ends within a round. In seconds. */
const providerTimeouts = { firstByteTimeout: 2, idleTimeout: 2 }

const retries = 2

/** How often the provider is asked for one request at most. */
export const mostAttempts = 1 + retries

/** Seconds that replies under way are given when the gateway is told to stop; more than a provider is given. */
const shutdownTimeout = 10

export async function makeTarget(name: DatabaseName, upstreamUrl: string): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), 'stele-faults-'))
  const spoolFolder = join(folder, 'spool')
  const postgres = name === 'postgres' ? await startPostgresVictim() : undefined
  const databaseUrl = postgres?.url ?? `sqlite:${join(folder, 'stele.db')}`
  const masterKey = randomBytes(32).toString('base64')
  const config = { providers: { standin: { baseUrl: upstreamUrl, ...providerTimeouts, retries } } }
  await writeFile(join(folder, 'stele.config.json'), JSON.stringify(config))
  return {
    folder,
    spoolFolder,
    postgres,
    env: {
      DATABASE_URL: databaseUrl,
      STELE_SPOOL_FOLDER: spoolFolder,
      DB_POOL_TIMEOUT: '5',
      STELE_MASTER_KEY: masterKey,
      STELE_API_KEY: apiKey,
      STELE_SHUTDOWN_TIMEOUT: String(shutdownTimeout),
      LOG_LEVEL: 'error',
    },
    open: () => openStele({ databaseUrl, masterKey, poolSize: 2, migrate: false, spoolFolder }),
    async remove() {
      await postgres?.remove()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
