import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { startPostgresServer } from '../test/harness/postgres-server.ts'

/** A PostgreSQL to do things to. */
export interface PostgresVictim {
  readonly url: string
  /** Ends every process of it at once, as a crash of its machine would. */
  kill(): Promise<void>
  /** Ends it in order, cutting off whoever is connected. */
  shutDown(): Promise<void>
  /** Starts it again after either. */
  start(): Promise<void>
  /** Every process of it stands still, connections open. */
  freeze(): Promise<void>
  thaw(): void
  /** Ends every session of the gateway. */
  terminateSessions(): Promise<void>
  /** Takes every free connection. Returns what lets go of them. */
  crowd(): Promise<() => Promise<void>>
  /** Ends it and removes its data. */
  remove(): Promise<void>
}

/** Few, so that they can all be taken. */
const maxConnections = 40

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export async function startPostgresVictim(): Promise<PostgresVictim> {
  const before = new Map(signals.map(signal => [signal, process.listeners(signal)]))
  const { url, folder, start } = await startPostgresServer({ maxConnections })
  // The package would wait at a signal for a server that was killed here; whoever started this one ends it.
  for (const signal of signals)
    for (const listener of process.listeners(signal))
      if (!before.get(signal)?.includes(listener)) process.off(signal, listener)

  let frozen: number[] = []
  let isRemoved = false
  const administrate = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => undefined)
    await client.connect()
    await client.query(statement).finally(() => client.end().catch(() => undefined))
  }
  const kill = async (): Promise<void> => {
    const processes = await processesOf(folder)
    for (const pid of processes) signal(pid, 'SIGKILL')
    await ended(processes)
  }
  return {
    url,
    async start() {
      if (isRemoved) throw new Error('the run is over')
      await start()
    },
    kill,
    async shutDown() {
      const processes = await processesOf(folder)
      // The server's "fast" shutdown: https://www.postgresql.org/docs/current/server-shutdown.html
      if (processes[0] !== undefined) signal(processes[0], 'SIGINT')
      await ended(processes)
    },
    async freeze() {
      frozen = await processesOf(folder)
      for (const pid of frozen) signal(pid, 'SIGSTOP')
    },
    thaw() {
      for (const pid of frozen.splice(0)) signal(pid, 'SIGCONT')
    },
    terminateSessions: () =>
      administrate(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stele' AND pid <> pg_backend_pid()",
      ),
    async crowd() {
      const taken: pg.Client[] = []
      for (let full = false; !full; ) {
        const client = new pg.Client({ connectionString: url, application_name: 'crowd' })
        client.on('error', () => undefined)
        full = await client.connect().then(
          () => false,
          () => true,
        )
        if (!full) taken.push(client)
      }
      return async () => {
        await Promise.all(taken.map(client => client.end().catch(() => undefined)))
      }
    },
    async remove() {
      isRemoved = true
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The server's first process, which is the parent of all others, and then those. */
async function processesOf(folder: string): Promise<number[]> {
  const lines = await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => '')
  const first = Number(lines.split('\n', 1)[0])
  if (!(first > 0)) return []
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid='])
  const all = stdout
    .trim()
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
  const children = all.filter(([, parent]) => parent === first).map(([pid]) => pid ?? 0)
  return all.some(([pid]) => pid === first) ? [first, ...children] : children
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

/** Resolves when the system knows none of these processes any more; there is no event to wait for. */
async function ended(processes: readonly number[]): Promise<void> {
  while (processes.some(pid => signal(pid, 0))) await sleep(10)
}
