import { onTestFinished } from 'vitest'
import { type GatewayProcess, startGatewayProcess } from '../../faults/gateway-process.ts'
import { type Place, temporaryFolder } from '../harness/databases.ts'

export interface ServeOptions {
  readonly place?: Place
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** A gateway in a process of its own, as `npm start` runs it; ended at the latest with the test. */
export async function serveProcess({ place, cwd, env }: ServeOptions = {}): Promise<GatewayProcess> {
  const gateway = startGatewayProcess({
    cwd: cwd ?? (await temporaryFolder()),
    env: {
      ...(place === undefined ? {} : { DATABASE_URL: place.databaseUrl, STELE_MASTER_KEY: place.masterKey }),
      ...(place?.schema === undefined ? {} : { DB_SCHEMA: place.schema }),
      ...env,
    },
  })
  onTestFinished(() => gateway.kill('SIGKILL'))
  return gateway
}
