import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { benchDirectory, rootDirectory } from './peers.ts'
import { freePort, type RunningProcess, startProcess } from './processes.ts'
import { temporaryDirectory } from './temporary-directory.ts'
import { startPostgres, type TemporaryPostgres } from './temporary-postgres.ts'

/** A server that answers chat completions, running. */
export interface Target {
  readonly name: string
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  stop(): Promise<void>
}

export interface EventLoopDelay {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export interface SteleTarget extends Target {
  /** The gateway's process. */
  readonly pid: number
  /** Its database server, when it has one. */
  readonly postgres: TemporaryPostgres | undefined
  /** How late the event loop ran since the previous call. */
  eventLoopDelay(): Promise<EventLoopDelay>
  /** Ends the server and counts the calls it recorded as completed, then removes its data. */
  stopAndCount(): Promise<number>
}

const lib = (file: string) => join(import.meta.dirname, file)

export async function startUpstream(): Promise<Target> {
  const port = await freePort()
  const server = await startProcess({
    args: [lib('upstream.ts'), String(port)],
    readyUrl: `http://127.0.0.1:${port}/`,
  })
  return { name: 'direct', port, headers: { authorization: 'Bearer x' }, stop: server.stop }
}

export async function startBareProxy(upstream: Target): Promise<Target> {
  const port = await freePort()
  const server = await startProcess({
    args: [lib('bare-proxy.ts'), String(port), `http://127.0.0.1:${upstream.port}`],
    readyUrl: `http://127.0.0.1:${port}/healthz`,
  })
  return { name: 'bare proxy', port, headers: { authorization: 'Bearer x' }, stop: server.stop }
}

export async function startPortkey(upstream: Target): Promise<Target> {
  const port = await freePort()
  const script = join(benchDirectory, 'node_modules', '@portkey-ai', 'gateway', 'build', 'start-server.js')
  const server = await startProcess({
    args: [script, `--port=${port}`, '--headless'],
    env: { NODE_ENV: 'production' },
    readyUrl: `http://127.0.0.1:${port}/`,
  })
  const headers = {
    authorization: 'Bearer x',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstream.port}/v1`,
  }
  return { name: '@portkey-ai/gateway', port, headers, stop: server.stop }
}

export async function startStele(
  upstream: Target,
  database: 'sqlite' | 'postgresql',
  settings: Readonly<Record<string, string>> = {},
): Promise<SteleTarget> {
  const port = await freePort()
  const directory = await temporaryDirectory('gateway')
  const server = database === 'postgresql' ? await startPostgres() : undefined
  const databaseFile = join(directory.path, 'stele.db')
  const delayFile = join(directory.path, 'event-loop-delay.json')
  const key = `sk-stele-${randomBytes(32).toString('base64url')}`
  const cleanUp = async () => {
    await server?.stop()
    await directory.remove()
  }
  let stele: RunningProcess
  try {
    stele = await startProcess({
      args: ['--import', lib('event-loop-delay.ts'), join(rootDirectory, 'src', 'cli', 'main.ts'), 'serve'],
      cwd: rootDirectory,
      env: {
        DATABASE_URL: server?.url ?? `sqlite:${databaseFile}`,
        PORT: String(port),
        HOST: '127.0.0.1',
        OPENAI_BASE_URL: `http://127.0.0.1:${upstream.port}/v1`,
        OPENAI_API_KEY: 'x',
        STELE_API_KEY: key,
        STELE_MASTER_KEY: randomBytes(32).toString('base64'),
        STELE_SPOOL_FOLDER: join(directory.path, 'spool'),
        LOG_LEVEL: 'warn',
        BENCH_EVENT_LOOP_FILE: delayFile,
        ...settings,
      },
      readyUrl: `http://127.0.0.1:${port}/healthz`,
    })
  } catch (error) {
    await cleanUp()
    throw error
  }
  return {
    name: ['stele', `(${database})`, ...Object.keys(settings)].join(' '),
    pid: stele.pid,
    postgres: server,
    port,
    headers: { authorization: `Bearer ${key}` },
    async eventLoopDelay() {
      const before = await sequenceOf(delayFile)
      stele.child.kill('SIGUSR2')
      const deadline = Date.now() + 10_000
      while (Date.now() < deadline) {
        if ((await sequenceOf(delayFile)) > before)
          return JSON.parse(await readFile(delayFile, 'utf8')) as EventLoopDelay
        await new Promise(resolve => setTimeout(resolve, 20))
      }
      throw new Error('Stele did not report its event-loop delay')
    },
    async stop() {
      await stele.stop()
      await cleanUp()
    },
    async stopAndCount() {
      await stele.stop()
      try {
        return server === undefined ? countSqlite(databaseFile) : await countPostgres(server.url)
      } finally {
        await cleanUp()
      }
    },
  }
}

async function sequenceOf(file: string): Promise<number> {
  try {
    return (JSON.parse(await readFile(file, 'utf8')) as { sequence: number }).sequence
  } catch {
    return 0
  }
}

const COUNT = "SELECT count(*) AS calls FROM llm_responses WHERE status = 'completed'"

function countSqlite(file: string): number {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return Number(database.prepare(COUNT).get()?.['calls'])
  } finally {
    database.close()
  }
}

async function countPostgres(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ calls: string }>(COUNT)
    return Number(rows[0]?.calls)
  } finally {
    await client.end()
  }
}
