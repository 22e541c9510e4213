import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { resolveConfig } from '../../src/config.ts'
import { createGateway } from '../../src/gateway/app.ts'
import { createProviders } from '../../src/providers/registry.ts'
import { openStele } from '../../src/stele.ts'

/** A gateway in this process, on a free loopback port, with a key and a user of this run's own. */
export async function startGateway(databaseUrl: string, upstreamUrl: string) {
  const config = resolveConfig(
    { databaseUrl, openaiBaseUrl: upstreamUrl, openaiApiKey: 'none needed' },
    process.env,
  )
  const stele = await openStele(config)
  const providers = createProviders(config, stele)
  const { app } = createGateway({
    stele,
    providers,
    logger: pino({ level: 'silent' }),
    settings: config,
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const userId = `mt-bench ${new Date().toISOString()}`
  const { secret } = await stele.apiKeys.create({ userId, name: 'mt-bench' })
  return {
    stele,
    userId,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: secret,
    async close() {
      await app.close()
      await providers.close()
      await stele.close()
    },
  }
}
