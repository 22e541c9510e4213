import { pino } from 'pino'
import type { Config } from '../config.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { createProviders } from '../providers/registry.ts'
import { openStele, type Stele } from '../stele.ts'
import { idempotencyKeyStore } from '../store/idempotency-keys.ts'
import { createGateway, type Gateway } from './app.ts'
import { banner } from './banner.ts'
import { firstKey } from './first-key.ts'
import { shutDown } from './shutdown.ts'

/** How often storage for the coming months is made ready, and what has expired is let go, in milliseconds. */
const storageInterval = 3_600_000

/**
 * Runs the gateway until SIGTERM or SIGINT, then lets running replies end, commits everything and returns.
 * @throws SteleError when it cannot start
 */
export async function serve(config: Config): Promise<void> {
  const logger = pino({ level: config.logLevel, base: null }, pino.destination({ fd: 2, sync: false }))
  const onError = (error: unknown): void => logger.error({ err: error }, 'background work failed')
  const stele = await openStele({
    ...config,
    onError,
    onSql: config.sqlEcho ? sql => logger.info({ sql }, 'sql') : undefined,
  })
  try {
    const providers = createProviders(config, stele)
    const gateway = createGateway({ stele, providers, logger, settings: config })
    const storage = setInterval(() => {
      stele.database.ensureStorage(Date.now()).catch(onError)
      idempotencyKeyStore(stele.database).forgetExpired(Date.now()).catch(onError)
    }, storageInterval).unref()
    try {
      const orphans = await stele.recorder.start()
      if (orphans > 0) logger.warn({ orphans }, 'settled calls that an earlier process left open')
      const key = await firstKey(stele, config)
      const address = await listen(gateway, config)
      const stop = stopSignal()
      process.stdout.write(banner({ address, data: stele.database.location.display, providers, key }))
      await stop
      await shutDown(gateway, config.shutdownTimeout * 1000)
    } finally {
      clearInterval(storage)
      await providers.close()
    }
  } finally {
    await closeQuietly(stele, onError)
    logger.flush()
  }
}

async function listen({ app }: Gateway, { host, port }: Config): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    const reason =
      code === 'EADDRINUSE' ? 'the port is taken; choose another with PORT or --port' : reasonOf(cause)
    throw new SteleError('address_unavailable', { host, port, reason }, { cause })
  }
}

/** Resolves at the first signal to stop; a second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(130))
        resolve()
      })
    }
  })
}

async function closeQuietly(stele: Stele, onError: (error: unknown) => void): Promise<void> {
  await stele.close().catch(onError)
}
