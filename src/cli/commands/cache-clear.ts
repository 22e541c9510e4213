import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson } from '../output.ts'

export interface ClearCacheOptions extends GlobalOptions {
  readonly user?: string
  readonly model?: string
  readonly json?: boolean
}

/** Removes answers from the cache. Running gateways find them no more. */
export async function clearCache({
  user: userId,
  model,
  json,
  ...options
}: ClearCacheOptions): Promise<void> {
  const removed = await withStele(options, ({ cache }) => cache.clear({ userId, model }, operatorHere()))
  if (json === true) return writeJson({ removed })
  say(removed === 1 ? 'Removed 1 answer.' : `Removed ${removed} answers.`)
}
