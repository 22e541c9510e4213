import { onTestFinished } from 'vitest'
import { type GatewayProcess, startGatewayProcess } from '../../faults/gateway-process.ts'
import { type Place, temporaryFolder } from '../harness/databases.ts'
import { packed, source } from '../harness/packed.ts'

export interface ServeOptions {
  readonly place?: Place
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** Runs the sources as they are, as `npm start` does. */
  readonly isSource?: boolean
  /** No file may grow beyond so many bytes: writes then fail as on a full disk. */
  readonly fileLimit?: number
  /** A file that takes what it says on stderr. */
  readonly log?: string
}

/** A gateway in a process of its own; ended at the latest with the test. */
export async function serveProcess(options: ServeOptions = {}): Promise<GatewayProcess> {
  const { place, cwd, env, args, isSource, fileLimit, log } = options
  const script = (isSource === true ? source : packed)('src/cli/main.ts')
  const gateway = startGatewayProcess({
    cwd: cwd ?? (await temporaryFolder()),
    main: script.file,
    env: {
      ...script.env,
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
