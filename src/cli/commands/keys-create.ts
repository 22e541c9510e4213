import type { CompressionName } from '../../compression/levels.ts'
import type { ContentMode } from '../../db/batch.ts'
import type { CacheMode } from '../../model/caching.ts'
import type { Scope } from '../../store/api-keys.ts'
import { checkUserId } from '../../store/users.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { printableLine } from '../printable.ts'
import { timeText } from '../values.ts'
import { keyRecord } from './keys-list.ts'

export interface CreateKeyOptions extends GlobalOptions {
  readonly user: string
  readonly name?: string
  readonly service?: boolean
  readonly admin?: boolean
  readonly scope?: readonly Scope[]
  readonly expires?: number
  readonly contentMode?: ContentMode
  readonly maskBeforeLlm?: boolean
  readonly maskInStorage?: boolean
  readonly cache?: CacheMode
  readonly cachePartition?: string
  readonly compress?: CompressionName
  readonly json?: boolean
}

/** Makes an API key. Its secret alone goes to stdout, so that it can be piped to where it belongs. */
export async function createKey(options: CreateKeyOptions): Promise<void> {
  const { user, name, expires, json } = options
  const userId = checkUserId(user)
  await withStele(options, async ({ apiKeys }) => {
    const key = await apiKeys.create({
      userId,
      name: name ?? '',
      scopes: options.scope ?? [scopeOf(options)],
      by: operatorHere(),
      expiresAt: expires,
      contentMode: options.contentMode,
      cache: { mode: options.cache, partition: options.cachePartition },
      masking: { beforeLlm: options.maskBeforeLlm === true, inStorage: options.maskInStorage === true },
      compression: options.compress,
    })
    if (json === true) return writeJson(keyRecord(key))
    const end = key.expiresAt === undefined ? 'without end' : `until ${timeText(key.expiresAt)}`
    say(
      printableLine(
        `Made ${key.id} (${key.scopes.join(' ')}) for ${userId}, ${end}. The key, shown only now:`,
      ),
    )
    return writeLine(key.secret)
  })
}

function scopeOf({ service, admin }: CreateKeyOptions): Scope {
  if (admin === true) return 'admin'
  return service === true ? 'service' : 'member'
}
