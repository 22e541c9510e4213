import { loadConfig } from '../../config.ts'
import type { GlobalOptions } from '../open-store.ts'

export interface ServeOptions extends GlobalOptions {
  readonly host?: string
  readonly port?: number
  readonly upstream?: string
}

/** Serves until the process is told to stop. */
export async function serveGateway({ database, host, port, upstream }: ServeOptions): Promise<void> {
  const config = loadConfig({ databaseUrl: database, host, port, openaiBaseUrl: upstream })
  const { serve } = await import('../../gateway/serve.ts')
  await serve(config)
}
