import type { Config } from '../config.ts'
import { adminUser } from '../model/own-users.ts'
import type { Stele } from '../stele.ts'

/**
 * Sees to it that somebody can use the gateway: installs the configured admin key, or makes one when there is no key at
 * all. Returns the secret it made, which is shown once and kept nowhere.
 */
export async function firstKey(
  { apiKeys, users }: Stele,
  { apiKey }: Pick<Config, 'apiKey'>,
): Promise<string | undefined> {
  const isThere = apiKey === undefined ? await apiKeys.any() : await apiKeys.isInstalled(apiKey)
  if (isThere) return undefined
  await users.ensure(adminUser, { role: 'admin' })
  const name = apiKey === undefined ? 'first key' : 'STELE_API_KEY'
  const made = await apiKeys.createFirst({ userId: adminUser, name, scopes: ['admin'], secret: apiKey })
  return apiKey === undefined ? made?.secret : undefined
}
