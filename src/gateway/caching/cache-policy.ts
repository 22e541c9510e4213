import type { IncomingHttpHeaders } from 'node:http'
import type { CacheConfig } from '../../config-cache.ts'
import { SteleError } from '../../errors.ts'
import { type CacheMode, cacheModes, isCacheMode, type KeyCaching } from '../../model/caching.ts'

export interface CacheSettings {
  readonly cacheMode: CacheMode
  /** Seconds. */
  readonly cacheTtl: number
  readonly cache: CacheConfig
}

/** How one question is cached. */
export interface CachePolicy {
  readonly mode: Exclude<CacheMode, 'off'>
  /** '' for the user's own. */
  readonly partition: string
  /** False when a provider is to be asked whatever is there. */
  readonly looksUp: boolean
  /** Milliseconds; an answer that is older does not do. */
  readonly maxAge: number | undefined
}

const modeHeader = 'x-stele-cache'
const partitionHeader = 'x-stele-cache-partition'

/** Asks anew, and keeps the answer in place of what there is. */
const refresh = 'refresh'

/**
 * How a question is to be cached; undefined when it is not. A request may say so, then its key, then the configuration; but a
 * key that says off means it. @throws SteleError invalid_value
 */
export function cachePolicy(
  headers: IncomingHttpHeaders,
  ofKey: KeyCaching | undefined,
  { cacheMode, cache }: CacheSettings,
): CachePolicy | undefined {
  const usual = ofKey?.mode ?? cacheMode
  const asked = askedMode(headers, cache)
  const partition = partitionOf(headers, ofKey, cache)
  const { isOff, looksUp, maxAge } = cacheControl(headers['cache-control'])
  const mode = asked === refresh ? (usual === 'off' ? 'exact' : usual) : (asked ?? usual)
  if (isOff || mode === 'off' || ofKey?.mode === 'off') return undefined
  return {
    // A key may have been made where there was a model for it.
    mode: mode === 'semantic' && cache.embeddings === undefined ? 'exact' : mode,
    partition,
    looksUp: looksUp && asked !== refresh,
    maxAge,
  }
}

function askedMode(
  { [modeHeader]: given }: IncomingHttpHeaders,
  { embeddings }: CacheConfig,
): CacheMode | typeof refresh | undefined {
  if (given === undefined || given === '') return undefined
  const word = String(given).trim().toLowerCase()
  if (word !== refresh && !isCacheMode(word))
    throw refused(modeHeader, `it must be one of ${[...cacheModes, refresh].join(', ')}`)
  if (word === 'semantic' && embeddings === undefined)
    throw refused(modeHeader, 'no embeddings model is configured, so there is no semantic cache')
  return word
}

function partitionOf(
  { [partitionHeader]: given }: IncomingHttpHeaders,
  ofKey: KeyCaching | undefined,
  { partitions, partition: usual = '' }: CacheConfig,
): string {
  if (given === undefined || given === '') {
    const named = ofKey?.partition
    return named !== undefined && partitions.includes(named) ? named : usual
  }
  const name = String(given).trim()
  if (name === 'user') return ''
  if (!partitions.includes(name))
    throw refused(partitionHeader, "it must be 'user' or a partition of the configuration")
  return name
}

/** What of the directives of RFC 9111 concerns a cache that is asked. */
function cacheControl(
  given: string | undefined,
): Pick<CachePolicy, 'looksUp' | 'maxAge'> & { isOff: boolean } {
  const directives = new Set((given ?? '').toLowerCase().split(/\s*,\s*/))
  const [, seconds] = /(?:^|[\s,])max-age="?(\d{1,9})/.exec((given ?? '').toLowerCase()) ?? []
  return {
    isOff: directives.has('no-store'),
    looksUp: !directives.has('no-cache') && seconds !== '0',
    maxAge: seconds === undefined ? undefined : Number(seconds) * 1000,
  }
}

function refused(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
