import type { FastifyInstance } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { ProviderRegistry } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'

interface Parts {
  readonly stele: Stele
  readonly providers: Pick<ProviderRegistry, 'breakers'>
}

/**
 * `/healthz`: the process answers. `/readyz`: it can record. How the providers stand is told there too, but does not count:
 * a gateway whose providers are down is ready to say so.
 */
export async function healthRoutes(app: FastifyInstance, { stele, providers }: Parts): Promise<void> {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async () => {
    try {
      await stele.ping()
    } catch (cause) {
      throw new SteleError('store_unavailable', { reason: 'it does not answer' }, { cause })
    }
    const breakers = [...providers.breakers].map(([name, { state }]) => [name, state])
    return {
      status: 'ready',
      waiting: stele.recorder.queueLength,
      providers: Object.fromEntries(breakers),
    }
  })
}
