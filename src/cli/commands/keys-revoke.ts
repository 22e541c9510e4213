import { SteleError } from '../../errors.ts'
import type { ApiKey } from '../../store/api-keys.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeLine } from '../output.ts'
import { printableLine } from '../printable.ts'
import { timeText } from '../values.ts'

export interface RevokeKeyOptions extends GlobalOptions {
  readonly dryRun?: boolean
}

/** Revokes an API key; prints its id. */
export async function revokeKey(id: string, options: RevokeKeyOptions): Promise<void> {
  await withStele(options, async ({ apiKeys }) => {
    const key = (await apiKeys.list()).find(each => each.id === id)
    if (key === undefined) throw new SteleError('api_key_not_found', { key: id })
    if (key.revokedAt !== undefined) say(`Revoked already, ${timeText(key.revokedAt)}: ${described(key)}`)
    else if (options.dryRun === true) say(`Would revoke: ${described(key)}`)
    else {
      await apiKeys.revoke(id, { by: operatorHere() })
      say(`Revoked: ${described(key)}`)
    }
    await writeLine(id)
  })
}

function described({ userId, name, prefix }: ApiKey): string {
  return printableLine(`${prefix}… of ${userId}${name === '' ? '' : ` (${name})`}`)
}
