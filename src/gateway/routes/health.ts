import type { FastifyInstance } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { Stele } from '../../stele.ts'

/** `/healthz`: the process answers. `/readyz`: it can record. */
export async function healthRoutes(app: FastifyInstance, { stele }: { stele: Stele }): Promise<void> {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async () => {
    try {
      await stele.ping()
    } catch (cause) {
      throw new SteleError('store_unavailable', { reason: 'it does not answer' }, { cause })
    }
    return { status: 'ready', waiting: stele.recorder.queueLength }
  })
}
