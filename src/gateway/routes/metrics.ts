import type { FastifyInstance } from 'fastify'
import type { Recorder } from '../../recorder/recorder.ts'
import type { Retention } from '../../retention/service.ts'
import { needs } from './request-parts.ts'

interface Gauge {
  readonly name: string
  readonly help: string
  readonly value: number
  /** `gauge` when left out. */
  readonly type?: 'counter'
}

/** `GET /metrics`: how recording stands, in Prometheus' text format 0.0.4. It tells nothing of users or content. */
export async function metricsRoutes(
  app: FastifyInstance,
  { recorder, retention }: { recorder: Pick<Recorder, 'queueLength' | 'spool'>; retention: Retention },
): Promise<void> {
  app.get('/metrics', needs('public'), async (_request, reply) =>
    reply
      .type('text/plain; version=0.0.4; charset=utf-8')
      .send([...gauges(recorder), ...retentionCounters(retention)].map(lines).join('')),
  )
}

function retentionCounters({ counts }: Retention): Gauge[] {
  const counter = (name: string, help: string, value: number): Gauge => ({
    name: `stele_retention_${name}`,
    help,
    value,
    type: 'counter',
  })
  return [
    counter('runs_total', 'Runs of this process that let go what has expired.', counts.runs),
    counter('failures_total', 'Such runs that failed.', counts.failures),
    counter('rows_total', 'Rows that went, or lost what was said in them.', counts.rows),
    counter('bytes_total', 'Bytes of content that went.', counts.bytes),
    {
      name: 'stele_retention_last_run_timestamp_seconds',
      help: 'When the last run ended well; 0 before the first.',
      value: (counts.lastAt ?? 0) / 1000,
    },
  ]
}

function gauges({ queueLength, spool }: Pick<Recorder, 'queueLength' | 'spool'>): Gauge[] {
  const waiting = {
    name: 'stele_queue_length',
    help: 'Operations that wait for a commit.',
    value: queueLength,
  }
  if (spool === undefined) return [waiting]
  const { isSpooling, depth, bytes, oldestAt } = spool
  const age = oldestAt === undefined ? 0 : Math.max(0, (Date.now() - oldestAt) / 1000)
  return [
    waiting,
    { name: 'stele_spooling', help: '1 while records go through the spool.', value: isSpooling ? 1 : 0 },
    { name: 'stele_spool_depth', help: 'Records that wait in the spool.', value: depth },
    { name: 'stele_spool_bytes', help: 'Bytes of the records that wait in the spool.', value: bytes },
    { name: 'stele_spool_age_seconds', help: 'How long the oldest of them waits.', value: age },
  ]
}

function lines({ name, help, value, type }: Gauge): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type ?? 'gauge'}\n${name} ${value}\n`
}
