import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as pauseFor } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { openDatabase } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import { createLogger } from './logger.ts'
import { stopSignal } from './signals.ts'
import { stopMessage, type WorkerReport } from './worker.ts'
import { tellMetricsOfAll } from './worker-metrics.ts'

/** The pause before a worker that ended is replaced, in milliseconds; it doubles while workers do not last. */
const firstPause = 100
const longestPause = 30_000
const lasting = 60_000

/** What workers may take beyond the time that running replies are given, to settle and to close. */
const closingTime = 12_000

/** A process that serves, from its start to its end. */
interface Launched {
  readonly worker: Worker
  /** Resolves with what it announces; rejects when it ends before. */
  readonly ready: Promise<string>
  /** Resolves with how it ended. */
  readonly ended: Promise<string>
}

/**
 * Serves with several processes on one address until SIGTERM or SIGINT. Connections are dealt out in turn, which
 * `node:cluster` does on every system: with a shared socket or SO_REUSEPORT the system deals them out as it likes, and
 * clients keep theirs for long. A worker that ends is replaced. The first worker makes the database and the first key
 * and takes the address, so what is wrong with any of them is told once.
 * @throws SteleError config_invalid, worker_failed, and what keeps the first worker from starting
 */
export async function serveWithWorkers(config: Config): Promise<void> {
  const { isShared, hasOneWriter } = openDatabase(config.databaseUrl).capabilities
  if (!isShared) {
    throw new SteleError('config_invalid', {
      problems: '  workers: only one can work on a database in memory',
    })
  }
  const logger = createLogger(config.logLevel)
  cluster.schedulingPolicy = cluster.SCHED_RR
  const port = config.port === 0 ? await freePort(config.host) : config.port
  cluster.setupPrimary({ args: [...process.argv.slice(2), '--port', String(port)] })
  const first = launch()
  const banner = await first.ready
  const stopping = new AbortController()
  const stop = stopSignal(() => killAll())
  // They read the certificate again.
  if (config.tlsKey !== undefined)
    process.on('SIGHUP', () => running().forEach(worker => void worker.process.kill('SIGHUP')))
  process.stdout.write(banner)
  if (hasOneWriter)
    logger.warn({ workers: config.workers }, 'this database takes one writer at a time: one worker is faster')
  const slots = Array.from({ length: config.workers }, (_, index) =>
    keepRunning(logger, stopping.signal, index === 0 ? first : launch()),
  )
  try {
    await stop
    stopping.abort()
    for (const worker of running()) worker.send(stopMessage, () => undefined)
    await endWithin(Promise.all(slots), config.shutdownTimeout * 1000 + closingTime)
  } finally {
    logger.flush()
  }
}

/** All workers must get the same port, those that replace others too. */
async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host)
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new SteleError('address_unavailable', { host, port: 0, reason: String(cause) }, { cause })
  }
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function launch(): Launched {
  const worker = cluster.fork()
  tellMetricsOfAll(worker, running)
  const { promise: ready, resolve, reject } = Promise.withResolvers<string>()
  worker.on('message', (report: WorkerReport) => {
    if (report.kind === 'ready') resolve(report.banner)
    else if (report.kind === 'failed') reject(new SteleError(report.code, report.details))
  })
  const ended = (once(worker, 'exit') as Promise<[number | null, string | null]>).then(([code, signal]) => {
    const how = `ended with ${signal ?? `code ${code}`}`
    reject(new SteleError('worker_failed', { reason: `${how} before it was ready` }))
    return how
  })
  // Only the first one's start is waited for; of the others it is told when they end.
  ready.catch(() => undefined)
  return { worker, ready, ended }
}

/** Replaces a worker whenever it ends, later and later while its successors do not last. */
async function keepRunning(logger: Logger, stopping: AbortSignal, first: Launched): Promise<void> {
  let pause = firstPause
  for (let current = first; ; current = launch()) {
    const since = performance.now()
    const how = await current.ended
    if (stopping.aborted) return
    if (performance.now() - since > lasting) pause = firstPause
    const reason = await current.ready.then(
      () => how,
      (error: Error) => error.message,
    )
    logger.error({ worker: current.worker.id, reason, pause }, 'a worker ended; another will take its place')
    await pauseFor(pause, undefined, { signal: stopping }).catch(() => undefined)
    if (stopping.aborted) return
    pause = Math.min(pause * 2, longestPause)
  }
}

async function endWithin(ended: Promise<unknown>, timeout: number): Promise<void> {
  const timer = new AbortController()
  const isLate = pauseFor(timeout, true, { signal: timer.signal }).catch(() => false)
  if ((await Promise.race([ended, isLate])) !== true) return timer.abort()
  killAll()
  await ended
  throw new SteleError('worker_failed', {
    reason: 'did not stop in time and was killed; the next start settles what it left open',
  })
}

function running(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter(worker => worker !== undefined)
}

function killAll(): void {
  for (const worker of running()) worker.process.kill('SIGKILL')
}
