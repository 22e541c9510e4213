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
    for (const pid of processes) signalTo(pid, 'SIGKILL')
    await ended(processes)
  }
  const shutDown = async (): Promise<void> => {
    const processes = await processesOf(folder)
    // The server's "fast" shutdown: https://www.postgresql.org/docs/current/server-shutdown.html
    if (processes[0] !== undefined) signalTo(processes[0], 'SIGINT')
    await ended(processes)
  }
  const thaw = (): void => {
    for (const pid of frozen.splice(0)) signalTo(pid, 'SIGCONT')
  }
  return {
    url,
    async start() {
      if (isRemoved) throw new Error('the run is over')
      await start()
    },
    kill,
    shutDown,
    async freeze() {
      frozen = await processesOf(folder)
      for (const pid of frozen) signalTo(pid, 'SIGSTOP')
    },
    thaw,
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
      thaw()
      // Killed, it would leave shared memory behind, which only its own next start removes.
      if ((await processesOf(folder)).length === 0) await start().catch(() => undefined)
      await shutDown()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The server's first process, which is a child of this one and the parent of all others, and then those. */
async function processesOf(folder: string): Promise<number[]> {
  const lines = await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => '')
  const first = Number(lines.split('\n', 1)[0])
  const all = await allProcesses()
  // The file outlives a kill, and its number may be another's by now.
  if (all.get(first) !== process.pid) return []
  return [first, ...[...all].filter(([, parent]) => parent === first).map(([pid]) => pid)]
}

/** Sessions come and go: one that has ended meanwhile needs no signal. */
function signalTo(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** The number of every process that runs, with its parent's; those that only wait to be buried are left out. */
async function allProcesses(): Promise<Map<number, number>> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,stat='])
  const lines = stdout.trim().split('\n')
  const fields = lines.map(line => line.trim().split(/\s+/)).filter(([, , state]) => state?.[0] !== 'Z')
  return new Map(fields.map(([pid, parent]) => [Number(pid), Number(parent)]))
}

/** Resolves when none of these processes runs any more; there is no event to wait for. */
async function ended(processes: readonly number[]): Promise<void> {
  for (;;) {
    const all = await allProcesses()
    if (!processes.some(pid => all.has(pid))) return
    await sleep(10)
  }
}
