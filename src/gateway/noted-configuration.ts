import { hash } from 'node:crypto'
import type { Config } from '../config.ts'
import { parseDatabaseUrl } from '../db/database-url.ts'
import type { Stele } from '../stele.ts'

/** Settings that are secrets, or may hold one. Nothing of them is put on record, not even hashed: it could be guessed at. */
const secret: ReadonlySet<string> = new Set([
  'apiKey',
  'openaiApiKey',
  'masterKey',
  'masterKeyCommand',
  'previousMasterKeys',
  'headers',
  'tlsPassphraseFile',
])

/** Beyond this the settings are told by their digest alone. */
const longestShown = 16_000

/**
 * Puts on record with what a gateway is started, when it is not what the one before it was started with; before it serves
 * anything. @throws SteleError store_unavailable
 */
export async function noteConfiguration(
  { auditEvents }: Pick<Stele, 'auditEvents'>,
  config: Config,
): Promise<void> {
  const text = JSON.stringify(shown(config))
  const digest = hash('sha256', text, 'hex')
  const [last] = await auditEvents.list({ action: 'configuration.changed', limit: 1 })
  if (last?.details?.['digest'] === digest) return
  const settings = text.length > longestShown ? {} : { settings: JSON.parse(text) as unknown }
  const details = { digest, ...settings }
  await auditEvents.add({ userId: '', by: 'stele', action: 'configuration.changed', details })
}

/** The settings in the order of their names, without what is secret. */
function shown(config: Config): Record<string, unknown> {
  return { ...withoutSecrets(config), databaseUrl: parseDatabaseUrl(config.databaseUrl).display }
}

function withoutSecrets(value: object): Record<string, unknown> {
  const members = Object.entries(value)
    .filter(([name, member]) => !secret.has(name) && member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(members.map(([name, member]: [string, unknown]) => [name, within(member)]))
}

function within(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(within)
  return typeof value === 'object' && value !== null ? withoutSecrets(value) : value
}
