import { onTestFinished } from 'vitest'
import { type GatewayProcess, startGatewayProcess } from '../../faults/gateway-process.ts'
import { type Place, temporaryFolder } from '../harness/databases.ts'

export interface ServeOptions {
  readonly place?: Place
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** No file may grow beyond so many bytes: writes then fail as on a full disk. */
  readonly fileLimit?: number
  /** A file that takes what it says on stderr. */
  readonly log?: string
}

/** A gateway in a process of its own, as `npm start` runs it; ended at the latest with the test. */
export async function serveProcess(options: ServeOptions = {}): Promise<GatewayProcess> {
  const { place, cwd, env, args, fileLimit, log } = options
  const gateway = startGatewayProcess({
    cwd: cwd ?? (await temporaryFolder()),
    env: {
      ...(place === undefined ? {} : { DATABASE_URL: place.databaseUrl, STELE_MASTER_KEY: place.masterKey }),
      ...(place?.schema === undefined ? {} : { DB_SCHEMA: place.schema }),
      ...env,
    },
    args,
    fileLimit,
    log,
  })
  onTestFinished(() => gateway.kill('SIGKILL'))
  return gateway
}
