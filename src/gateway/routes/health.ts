import type { FastifyInstance } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { Stele } from '../../stele.ts'

/** `/healthz`: the process answers. `/readyz`: it can record, be it in the spool. */
export async function healthRoutes(app: FastifyInstance, { stele }: { stele: Stele }): Promise<void> {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async () => {
    const { spool, queueLength } = stele.recorder
    if (spool?.isFull) throw new SteleError('spool_full', { limit: spool.limit })
    const isSpooling = spool !== undefined && (spool.isSpooling || !(await answers(stele)))
    if (spool === undefined && !(await answers(stele)))
      throw new SteleError('store_unavailable', { reason: 'it does not answer' })
    const waiting = { waiting: queueLength }
    if (spool === undefined) return { status: 'ready', ...waiting }
    const { depth, bytes, oldestAt } = spool
    const age = oldestAt === undefined ? 0 : Math.max(0, (Date.now() - oldestAt) / 1000)
    return { status: isSpooling ? 'spooling' : 'ready', ...waiting, spool: { depth, bytes, age } }
  })
}

async function answers(stele: Stele): Promise<boolean> {
  return stele.ping().then(
    () => true,
    () => false,
  )
}
