import type { FastifyInstance } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { ProviderRegistry } from '../../providers/registry.ts'
import type { SpoolState } from '../../recorder/spooling-writer.ts'
import type { Stele } from '../../stele.ts'
import { needs } from './request-parts.ts'

interface Parts {
  readonly stele: Stele
  readonly providers: Pick<ProviderRegistry, 'breakers'>
}

/**
 * `/healthz`: the process answers. `/readyz`: it can record, be it in the spool. A full disk can still be read: the last attempt to write counts. How the providers stand is told there
 * too, but does not count: a gateway whose providers are down is ready to say so.
 */
export async function healthRoutes(app: FastifyInstance, { stele, providers }: Parts): Promise<void> {
  app.get('/healthz', needs('public'), async () => ({ status: 'ok' }))
  app.get('/readyz', needs('public'), async () => {
    const { spool, queueLength, failure } = stele.recorder
    if (failure !== undefined) throw withoutReason(failure)
    if (spool?.isFull) throw new SteleError('spool_full', { limit: spool.limit })
    const isSpooling = spool !== undefined && (spool.isSpooling || !(await answers(stele)))
    if (spool === undefined && !(await answers(stele)))
      throw new SteleError('store_unavailable', { reason: 'it does not answer' })
    const breakers = [...providers.breakers].map(([name, { state }]) => [name, state])
    return {
      status: isSpooling ? 'spooling' : 'ready',
      waiting: queueLength,
      ...(spool === undefined ? {} : { spool: figures(spool) }),
      audit_log: stele.auditLog.state().failure === undefined ? 'ok' : 'broken',
      providers: Object.fromEntries(breakers),
    }
  })
}

/** Anybody may ask: the reason, which may name hosts and files, is for those who may read the log. */
function withoutReason({ code, details, cause }: SteleError): SteleError {
  return new SteleError(code, { ...details, reason: 'the last attempt to write failed' }, { cause })
}

function figures({ depth, bytes, oldestAt }: SpoolState): object {
  return { depth, bytes, age: oldestAt === undefined ? 0 : Math.max(0, (Date.now() - oldestAt) / 1000) }
}

async function answers(stele: Stele): Promise<boolean> {
  return stele.ping().then(
    () => true,
    () => false,
  )
}
