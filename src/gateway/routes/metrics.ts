import type { FastifyInstance } from 'fastify'
import type { Recorder } from '../../recorder/recorder.ts'

interface Gauge {
  readonly name: string
  readonly help: string
  readonly value: number
}

/** `GET /metrics`: how recording stands, in Prometheus' text format 0.0.4. It tells nothing of users or content. */
export async function metricsRoutes(
  app: FastifyInstance,
  { recorder }: { recorder: Pick<Recorder, 'queueLength' | 'spool'> },
): Promise<void> {
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(gauges(recorder).map(lines).join('')),
  )
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

function lines({ name, help, value }: Gauge): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`
}
