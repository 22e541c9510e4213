import type { Worker } from 'node:cluster'
import type { Config } from '../config.ts'
import { type ErrorCode, SteleError } from '../errors.ts'
import { serve } from './serve.ts'
import { askMetricsOfAll, tellOwnMetrics } from './worker-metrics.ts'

/** What a worker tells the process that started it: that it serves, with what to announce, or why it does not. */
export type WorkerReport =
  | { readonly kind: 'ready'; readonly banner: string }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly details: SteleError['details'] }

/** What the process that started a worker tells it when it is to stop. */
export const stopMessage = 'stop'

/** One of several processes that serve the same address. It stops when it is told to, or when whoever started it is gone. */
export async function serveAsWorker(config: Config, worker: Worker): Promise<void> {
  // At a SIGHUP that comes before it serves, there is nothing to read again.
  if (config.tlsKey !== undefined) process.on('SIGHUP', () => undefined)
  let isReady = false
  const stopped = stopOf(worker, () => isReady)
  try {
    await serve(config, {
      worker: worker.id,
      sharedMetrics: {
        tellOwn: figures => tellOwnMetrics(worker, figures),
        ofAll: () => askMetricsOfAll(worker),
      },
      announce: banner => {
        isReady = true
        worker.send({ kind: 'ready', banner } satisfies WorkerReport)
      },
      stop: () => stopped,
    })
  } catch (error) {
    if (isReady || !(error instanceof SteleError)) throw error
    await report(worker, { kind: 'failed', code: error.code, details: error.details })
  } finally {
    // The channel would keep the process from ending.
    if (worker.isConnected()) process.disconnect()
  }
}

function stopOf(worker: Worker, isReady: () => boolean): Promise<void> {
  // A terminal sends Ctrl-C to every process in it; the one that started this passes it on in its own way.
  process.on('SIGINT', () => undefined)
  return new Promise(resolve => {
    process.on('SIGTERM', resolve)
    worker.on('message', message => {
      if (message === stopMessage) resolve()
    })
    worker.once('disconnect', () => {
      // Without the process that accepts connections it could not even start to listen.
      if (!isReady()) process.exit(1)
      // Node would end the process here; the replies under way come first.
      worker.exitedAfterDisconnect = true
      resolve()
    })
  })
}

function report(worker: Worker, message: WorkerReport): Promise<void> {
  return new Promise(resolve => {
    worker.send(message, () => resolve())
  })
}
