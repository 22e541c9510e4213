import type { Server as HttpsServer } from 'node:https'
import type { Logger } from 'pino'
import { type PlacesNews, severityOf } from '../audit/places/news.ts'
import { auditPlacesOf } from '../audit-settings.ts'
import { auditOf, type Config, limitsOf, pricingOf, retentionOf } from '../config.ts'
import { createProviders } from '../providers/registry.ts'
import { Indexer } from '../recorder/indexer.ts'
import type { SpoolChange } from '../recorder/spooling-writer.ts'
import { openStele, type Stele } from '../stele.ts'
import { idempotencyKeyStore } from '../store/idempotency-keys.ts'
import { processCounts } from '../telemetry/prometheus.ts'
import { createGateway } from './app.ts'
import { banner } from './banner.ts'
import { finishErasures } from './erasure-job.ts'
import { firstKey } from './first-key.ts'
import { listen } from './listen.ts'
import { createLogger } from './logger.ts'
import { noteConfiguration } from './noted-configuration.ts'
import { startRetentionJob } from './retention-job.ts'
import type { SharedMetrics } from './routes/metrics.ts'
import { shutDown } from './shutdown.ts'
import { readTls, reloadAtHangup, warnOutOfDate } from './tls.ts'

/** How often storage for the coming months is made ready, and what has expired is let go, in milliseconds. */
const storageInterval = 3_600_000

/** What stands around a gateway: a terminal, or the process that started it. */
export interface Surroundings {
  /** Told once, when the gateway listens, what a newcomer should see. */
  announce(banner: string): void
  /** Asked once it listens; resolves when it is to stop. */
  stop(): Promise<void>
  /** Its number when it is one of several, and what they have in common. */
  readonly worker?: number
  readonly sharedMetrics?: SharedMetrics
}

/**
 * Runs the gateway until it is to stop, then lets running replies end, commits everything and returns.
 * @throws SteleError when it cannot start
 */
export async function serve(
  config: Config,
  { announce, stop, worker, sharedMetrics }: Surroundings,
): Promise<void> {
  const logger = createLogger(config.logLevel, worker)
  const tls = readTls(config)
  if (tls !== undefined) warnOutOfDate(tls, logger)
  const onError = (error: unknown): void => logger.error({ err: error }, 'background work failed')
  const stele = await openStele({
    ...config,
    limits: limitsOf(config),
    retention: retentionOf(config),
    pricing: pricingOf(config),
    audit: auditOf(config),
    auditPlaces: { ...auditPlacesOf(config), onNews: news => logNews(logger, news) },
    onError,
    onSpoolChange: change => logSpooling(logger, change),
    onSql: config.sqlEcho ? sql => logger.info({ sql }, 'sql') : undefined,
  })
  try {
    await noteConfiguration(stele, config)
    const providers = createProviders(config, stele)
    for (const type of config.documentTypes) await stele.documents.register(type)
    const gateway = createGateway({
      stele,
      providers,
      logger,
      settings: config,
      tls,
      processCounts: config.metrics === 'off' ? undefined : processCounts(),
      sharedMetrics,
    })
    const storage = setInterval(() => {
      stele.database.ensureStorage(Date.now()).catch(onError)
      idempotencyKeyStore(stele.database).forgetExpired(Date.now()).catch(onError)
      stele.logins.forgetOld(Date.now()).catch(onError)
      stele.cache.sweep().catch(onError)
    }, storageInterval).unref()
    const indexer = config.search ? new Indexer(stele.recorder, onError) : undefined
    const stopReloading =
      tls === undefined
        ? undefined
        : reloadAtHangup(gateway.app.server as unknown as HttpsServer, config, logger)
    const retention = startRetentionJob(stele.retention, { period: config.retentionEvery * 1000, logger })
    let erasures: ReturnType<typeof finishErasures> | undefined
    try {
      const orphans = await stele.recorder.start()
      // The first call that ends should not be the one that waits for the prices.
      stele.costs.prices().catch(onError)
      if (orphans > 0) logger.warn({ orphans }, 'settled calls that an earlier process left open')
      const key = await firstKey(stele, config)
      const address = await listen(gateway, config)
      indexer?.start()
      erasures = finishErasures(stele, logger)
      const data = stele.database.location.display
      const stopped = stop()
      announce(banner({ address, data, providers, key, workers: config.workers }))
      await stopped
      await shutDown(gateway, {
        timeout: config.shutdownTimeout * 1000,
        staysOpen: worker !== undefined,
      })
    } finally {
      clearInterval(storage)
      stopReloading?.()
      await erasures?.stop()
      await indexer?.stop()
      await retention.stop()
      await providers.close()
    }
  } finally {
    await closeQuietly(stele, onError)
    logger.flush()
  }
}

async function closeQuietly(stele: Stele, onError: (error: unknown) => void): Promise<void> {
  await stele.close().catch(onError)
}

const levels = { info: 'info', warning: 'warn', error: 'error', critical: 'fatal' } as const

const newsTexts: Readonly<Record<PlacesNews['kind'], string>> = {
  file_failed: 'the files of the audit log cannot be written; the database has it all, and they catch up',
  file_recovered: 'the files of the audit log are written again',
  file_tampered: 'a file of the audit log was changed by somebody else; what is missing is written beside it',
  file_archived: 'a file of the audit log was taken elsewhere',
  log_rolled_back:
    'the audit log is not the one that checkpoints outside the database tell of; it is not signed',
  log_consistent: 'the audit log goes on from the checkpoints outside the database again',
  checkpoint_failed: 'a checkpoint of the audit log could not leave the database; it is tried again',
  checkpoint_recovered: 'checkpoints of the audit log leave the database again',
}

function logNews(logger: Logger, news: PlacesNews): void {
  const { kind, ...facts } = news
  logger[levels[severityOf(news)]](facts, newsTexts[kind])
}

function logSpooling(logger: Logger, change: SpoolChange): void {
  if (change.isSpooling) logger.warn({ err: change.reason }, 'the database is away; calls go to the spool')
  else logger.info({ drained: change.drained, rejected: change.rejected }, 'the spool is drained')
}
