import cluster from 'node:cluster'
import { loadConfig } from '../../config.ts'
import type { GlobalOptions } from '../open-store.ts'

export interface ServeOptions extends GlobalOptions {
  readonly host?: string
  readonly port?: number
  readonly upstream?: string
  readonly workers?: number
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsPassphraseFile?: string
}

/** Serves until the process is told to stop. */
export async function serveGateway(options: ServeOptions): Promise<void> {
  const { database, host, port, upstream, workers, tlsCert, tlsKey, tlsPassphraseFile } = options
  const network = { host, port, tlsCert, tlsKey, tlsPassphraseFile }
  const config = loadConfig({ databaseUrl: database, ...network, openaiBaseUrl: upstream, workers })
  if (cluster.worker !== undefined) {
    const { serveAsWorker } = await import('../../gateway/worker.ts')
    return serveAsWorker(config, cluster.worker)
  }
  if (config.workers > 1) {
    const { serveWithWorkers } = await import('../../gateway/workers.ts')
    return serveWithWorkers(config)
  }
  const { serve } = await import('../../gateway/serve.ts')
  const { stopSignal } = await import('../../gateway/signals.ts')
  await serve(config, { announce: banner => process.stdout.write(banner), stop: () => stopSignal() })
}
