import { createHash, timingSafeEqual } from 'node:crypto'
import { BlockList, isIPv6 } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Registry } from 'prom-client'
import type { Config } from '../../config.ts'
import { SteleError } from '../../errors.ts'
import type { ProviderRegistry } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'
import { addReadings, type Counts, type Reading } from '../../telemetry/prometheus.ts'
import { needs } from './request-parts.ts'

/** Figures of all processes that serve the address, where there are several. */
export interface SharedMetrics {
  /** Has this process tell its own when another is asked. */
  tellOwn(figures: () => Promise<object[]>): void
  /** Of all as text; undefined when they could not be had. */
  ofAll(): Promise<string | undefined>
}

export interface MetricsParts {
  readonly stele: Pick<Stele, 'recorder' | 'retention' | 'commits' | 'auditLog'>
  readonly providers: Pick<ProviderRegistry, 'breakers' | 'providers'>
  readonly counts: Counts
  readonly settings: Pick<Config, 'metrics' | 'metricsToken'>
  /** Of the process as such. */
  readonly processCounts?: Registry | undefined
  readonly shared?: SharedMetrics | undefined
}

/**
 * `GET /metrics`: calls, tokens, cost, how recording and providers stand, in Prometheus' text format 0.0.4. It tells nothing of
 * users or content, and is told to this machine, or to whoever has the token for it.
 */
export async function metricsRoutes(app: FastifyInstance, parts: MetricsParts): Promise<void> {
  const { stele, providers, counts, settings, processCounts, shared } = parts
  addReadings(counts.registry, [
    ...recorderReadings(stele),
    ...retentionReadings(stele),
    ...auditLogReadings(stele),
    ...breakerReadings(providers),
  ])
  stele.commits.listen(batch => counts.committed(batch))
  app.addHook('onClose', async () => stele.commits.listen(undefined))
  const registries = [counts.registry, ...(processCounts === undefined ? [] : [processCounts])]
  const own = (): Promise<string> => Registry.merge(registries).metrics()
  const learn = modelLearner(providers, counts)
  shared?.tellOwn(async () => {
    void learn()
    return (await Promise.all(registries.map(one => one.getMetricsAsJSON()))).flat()
  })

  app.get('/metrics', needs('public'), async (request, reply) => {
    mayAsk(request, settings)
    await learn()
    const text = shared === undefined ? await own() : ((await shared.ofAll()) ?? (await own()))
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text)
  })
}

/** How long providers may take to list their models, in milliseconds, and how often they are asked at most. */
const listTime = 2_000
const listEvery = 600_000

/** Has providers asked now and then, while somebody reads the figures, what their models are called. */
function modelLearner(
  { providers }: Pick<ProviderRegistry, 'providers'>,
  counts: Counts,
): () => Promise<unknown> {
  let last = Number.NEGATIVE_INFINITY
  let current: Promise<unknown> = Promise.resolve()
  return () => {
    const now = performance.now()
    if (now - last < listEvery) return current
    last = now
    current = Promise.all(
      [...providers]
        .map(async ([name, provider]) => {
          const models = await provider.models(AbortSignal.timeout(listTime))
          counts.learn(
            name,
            models.map(({ id }) => id),
          )
        })
        .map(asking => asking.catch(() => undefined)),
    )
    return current
  }
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** @throws SteleError missing_api_key, invalid_api_key, permission_denied, route_not_found */
function mayAsk(request: FastifyRequest, { metrics, metricsToken }: MetricsParts['settings']): void {
  if (metrics === 'off') throw new SteleError('route_not_found', { method: request.method, path: '/metrics' })
  if (metricsToken !== undefined) {
    const [, given] = /^bearer +(\S+)\s*$/i.exec(request.headers.authorization ?? '') ?? []
    if (given === undefined) throw new SteleError('missing_api_key')
    if (!timingSafeEqual(digest(given), digest(metricsToken))) throw new SteleError('invalid_api_key')
    return
  }
  if (metrics === 'local' && !isFromHere(request))
    throw new SteleError('permission_denied', {
      action: 'read these figures from elsewhere: set STELE_METRICS_TOKEN, or STELE_METRICS=open',
    })
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Whether it comes from this machine itself, and not through a proxy on it. */
function isFromHere({ raw, headers }: FastifyRequest): boolean {
  if (headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined) return false
  const address = raw.socket.remoteAddress ?? ''
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

function recorderReadings({ recorder }: MetricsParts['stele']): Reading[] {
  const gauge = (name: string, help: string, read: () => number, together?: 'max'): Reading => ({
    name,
    help,
    ...(together === undefined ? {} : { together }),
    read: () => [{ value: read() }],
  })
  const waiting = gauge(
    'stele_queue_length',
    'Operations that wait for a commit.',
    () => recorder.queueLength,
  )
  if (recorder.spool === undefined) return [waiting]
  const age = (): number => {
    const oldestAt = recorder.spool?.oldestAt
    return oldestAt === undefined ? 0 : Math.max(0, (Date.now() - oldestAt) / 1000)
  }
  return [
    waiting,
    gauge(
      'stele_spooling',
      '1 while records go through the spool.',
      () => (recorder.spool?.isSpooling === true ? 1 : 0),
      'max',
    ),
    gauge('stele_spool_depth', 'Records that wait in the spool.', () => recorder.spool?.depth ?? 0),
    gauge(
      'stele_spool_bytes',
      'Bytes of the records that wait in the spool.',
      () => recorder.spool?.bytes ?? 0,
    ),
    gauge('stele_spool_age_seconds', 'How long the oldest of them waits.', age, 'max'),
  ]
}

function retentionReadings({ retention: { counts } }: MetricsParts['stele']): Reading[] {
  const counter = (name: string, help: string, read: () => number): Reading => ({
    name: `stele_retention_${name}`,
    help,
    type: 'counter',
    read: () => [{ value: read() }],
  })
  return [
    counter('runs_total', 'Runs of this process that let go what has expired.', () => counts.runs),
    counter('failures_total', 'Such runs that failed.', () => counts.failures),
    counter('rows_total', 'Rows that went, or lost what was said in them.', () => counts.rows),
    counter('bytes_total', 'Bytes of content that went.', () => counts.bytes),
    {
      name: 'stele_retention_last_run_timestamp_seconds',
      help: 'When the last run ended well; 0 before the first.',
      together: 'max',
      read: () => [{ value: (counts.lastAt ?? 0) / 1000 }],
    },
  ]
}

function auditLogReadings({ auditLog }: MetricsParts['stele']): Reading[] {
  const gauge = (name: string, help: string, read: () => number): Reading => ({
    name: `stele_audit_log_${name}`,
    help,
    together: 'max',
    read: () => [{ value: read() }],
  })
  return [
    gauge('broken', '1 while nothing is taken into the audit log, because it is not as it was signed.', () =>
      auditLog.state().failure === undefined ? 0 : 1,
    ),
    gauge(
      'size',
      'Entries of the newest checkpoint that was signed here.',
      () => auditLog.state().checkpoint?.size ?? 0,
    ),
  ]
}

const breakerStates = { closed: 0, 'half-open': 1, open: 2 } as const

function breakerReadings({ breakers }: MetricsParts['providers']): Reading[] {
  return [
    {
      name: 'stele_breaker_state',
      help: 'Whether a provider is asked: 0 yes, 1 once to see, 2 not for now.',
      together: 'max',
      labels: ['provider'],
      read: () =>
        [...breakers].map(([provider, breaker]) => ({
          labels: { provider },
          value: breakerStates[breaker.state],
        })),
    },
  ]
}
