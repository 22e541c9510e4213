import type { Config } from '../config.ts'
import type { Stele } from '../stele.ts'

/** The user whose keys may do everything. */
const adminUser = 'admin'

/**
 * Sees to it that somebody can use the gateway: installs the configured admin key, or makes one when there is no key at
 * all. Returns the secret it made, which is shown once and kept nowhere.
 */
export async function firstKey(
  { apiKeys, users }: Stele,
  { apiKey }: Pick<Config, 'apiKey'>,
): Promise<string | undefined> {
  const key = { userId: adminUser, name: 'first key', scopes: ['admin'] as const }
  if (apiKey !== undefined) {
    if ((await apiKeys.findBySecret(apiKey)) === undefined) {
      await users.ensure(adminUser, { role: 'admin' })
      await apiKeys.create({ ...key, name: 'STELE_API_KEY', secret: apiKey })
    }
    return undefined
  }
  if (await apiKeys.any()) return undefined
  await users.ensure(adminUser, { role: 'admin' })
  return (await apiKeys.create(key)).secret
}
