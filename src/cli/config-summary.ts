import type { Config } from '../config.ts'
import { parseDatabaseUrl } from '../db/database-url.ts'

/** The settings of this run for people to read. What is secret is said to be set or not, never shown. */
export function configSummary(config: Config): Record<string, string | number | boolean> {
  const { openaiBaseUrl, providers } = config
  return {
    database: parseDatabaseUrl(config.databaseUrl).display,
    schema: config.schema ?? 'default',
    pool: `${config.poolSize} + ${config.maxOverflow}, ${config.poolTimeout} s`,
    address: `${config.host}:${config.port}`,
    log_level: config.logLevel,
    upstream: openaiBaseUrl === undefined ? 'none' : withoutSecrets(openaiBaseUrl),
    upstream_key: isSet(config.openaiApiKey),
    providers:
      Object.entries(providers)
        .map(
          ([name, { type, baseUrl }]) =>
            `${name} (${baseUrl === undefined ? type : withoutSecrets(baseUrl)})`,
        )
        .join(', ') || 'none',
    default_provider: config.defaultProvider ?? 'none named',
    admin_key: isSet(config.apiKey),
    retention: retentionText(config),
    daily_caps: dailyCapsText(config),
    master_key: masterKeyText(config),
    content_mode: config.contentMode,
  }
}

function retentionText(config: Config): string {
  const { retentionContent, retentionMetadata, retentionInactive, retentionDeleted } = config
  const periods = {
    content: retentionContent,
    metadata: retentionMetadata,
    inactive: retentionInactive,
    deleted: retentionDeleted,
  }
  const set = Object.entries(periods).filter(([, days]) => days !== undefined)
  return set.map(([name, days]) => `${name} ${days} d`).join(', ') || 'everything is kept'
}

function dailyCapsText({ dailyTokenCap, dailyCostCap }: Config): string {
  const caps = [
    ...(dailyTokenCap === undefined ? [] : [`${dailyTokenCap} tokens`]),
    ...(dailyCostCap === undefined ? [] : [`$${dailyCostCap}`]),
  ]
  return caps.length === 0 ? 'none' : `${caps.join(', ')} a user`
}

function isSet(secret: string | undefined): string {
  return secret === undefined ? 'not set' : 'set'
}

/** Credentials and query strings of a URL may be secret; its origin and path say where it leads. */
function withoutSecrets(text: string): string {
  const url = new URL(text)
  return url.origin + url.pathname
}

function masterKeyText({ masterKey, masterKeyCommand }: Config): string {
  if (masterKeyCommand !== undefined) return 'from STELE_MASTER_KEY_COMMAND'
  return masterKey === undefined ? 'from its file' : 'from STELE_MASTER_KEY'
}
