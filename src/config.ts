import { existsSync, readFileSync } from 'node:fs'
import { isIP, isIPv6 } from 'node:net'
import { loadEnvFile } from 'node:process'
import { z } from 'zod'
import type { AuditOptions } from './audit/log/service.ts'
import { isKeyName } from './audit/note-keys.ts'
import { compressionNames } from './compression/levels.ts'
import { cache } from './config-cache.ts'
import { environmentVariables } from './config-environment.ts'
import { dollars, limits, timeZone } from './config-limits.ts'
import { masking } from './config-masking.ts'
import { defaultDatabaseUrl } from './db/database-url.ts'
import { documentTypeSettings } from './documents/definition.ts'
import { SteleError } from './errors.ts'
import { nanousdOf } from './limits/money.ts'
import type { LimitOptions } from './limits/service.ts'
import { cacheModes } from './model/caching.ts'
import { networkProblems, networkSettings } from './network-settings.ts'
import { priceOverride } from './pricing/overrides.ts'
import type { PriceBookOptions } from './pricing/price-book.ts'
import { contentModes } from './privacy/sealed-content.ts'
import { defaultSpoolFolder, defaultSpoolLimit } from './recorder/spool-paths.ts'
import type { RetentionDefaults } from './retention/periods.ts'

/** Where the settings of a run come from, strongest first: command-line flags, environment, file, defaults. */

const seconds = z.number().positive().max(86_400)

/** Days for which something is kept; for ever when left out. */
const days = z.coerce.number().int().min(1).max(36_500).optional()

/** Names and passwords in it would be sent nowhere, and shown with it. */
const upstreamUrl = z.url({ protocol: /^https?$/ }).refine(text => {
  const url = URL.parse(text)
  return url === null || (url.username === '' && url.password === '')
}, 'it may hold no user name or password; give apiKey, or an authorization header under headers')

/** Characters of which a secret that somebody makes up has some at least: less is one key held down, or a word said twice. */
const leastCharacters = 8

function isHardToGuess(secret: string): boolean {
  return new Set(secret.toLowerCase()).size >= leastCharacters
}

function areAddresses(text: string): boolean {
  return text.split(',').every(part => {
    const [address = '', bits = '0', more] = part.trim().split('/')
    return (
      isIP(address) !== 0 &&
      more === undefined &&
      /^\d+$/.test(bits) &&
      Number(bits) <= (isIPv6(address) ? 128 : 32)
    )
  })
}

const provider = z.strictObject({
  type: z.enum(['openai-compatible', 'echo', 'replay']).default('openai-compatible'),
  /** The address up to and including the version, as OpenAI's clients take it: https://api.openai.com/v1 */
  baseUrl: upstreamUrl.optional(),
  apiKey: z.string().min(1).optional(),
  /** The environment variable that holds the key, to keep it out of the file. */
  apiKeyEnv: z.string().min(1).optional(),
  /** The models it serves; when left out, it is asked. */
  models: z.array(z.string().min(1)).optional(),
  headers: z.record(z.string(), z.string()).default({}),
  /** Whether it understands `stream_options`, which Stele uses to learn a stream's usage. */
  streamUsage: z.boolean().default(true),
  /** Whether it has `/responses`; when left out, only OpenAI itself. Others are asked by chat completions. */
  responses: z.boolean().optional(),
  /** The provider whose public prices hold there, where its address does not tell: a proxy before it, say. */
  pricesOf: z.string().min(1).optional(),
  connections: z.int().positive().max(10_000).default(256),
  connectTimeout: seconds.default(10),
  firstByteTimeout: seconds.default(300),
  idleTimeout: seconds.default(120),
  /** How often a failed request is sent to it again before the next target is asked. */
  retries: z.int().min(0).max(10).default(2),
  /** Seconds: when it asks to be left alone for longer than this, it is not waited for. */
  maxRetryAfter: z.number().min(0).max(3_600).default(10),
  /** Failures one after another after which it is not asked for a while; 0 asks it always. */
  breakerFailures: z.int().min(0).max(10_000).default(10),
  /** Seconds for which it is then not asked. */
  breakerCoolDown: seconds.default(15),
})

export type ProviderConfig = z.infer<typeof provider>

/** What is asked for a model that clients name, in this order until one answers. */
const modelRoute = z.strictObject({
  targets: z.array(z.string().min(1)).min(1).max(20),
})

/** A provider of which only the address and the key are given. */
export function plainProvider(baseUrl: string, apiKey: string | undefined): ProviderConfig {
  return provider.parse({ baseUrl, apiKey })
}

/** A list as JSON, or the line as it is. */
function commandOf(text: string): string | string[] {
  if (!text.startsWith('[')) return text
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every(part => typeof part === 'string') ? list : text
  } catch {
    return text
  }
}

const settings = z.strictObject({
  databaseUrl: z.string().min(1).default(defaultDatabaseUrl),
  host: z.string().min(1).default('127.0.0.1'),
  port: z.coerce.number().int().min(0).max(65_535).default(4100),
  /** Processes that serve the address together. */
  workers: z.coerce.number().int().min(1).max(64).default(1),
  ...networkSettings,
  poolSize: z.coerce.number().int().min(1).max(1_000).default(5),
  maxOverflow: z.coerce.number().int().min(0).max(1_000).default(10),
  poolTimeout: z.coerce.number().positive().max(3_600).default(30),
  commitTimeout: z.coerce.number().positive().max(3_600).default(5),
  /** What becomes of calls while a database that runs elsewhere is away. */
  onStoreFailure: z.enum(['spool', 'refuse']).default('spool'),
  spoolFolder: z.string().min(1).default(defaultSpoolFolder),
  /** Bytes that may wait in the spool of one process. */
  spoolLimit: z.coerce.number().int().positive().default(defaultSpoolLimit),
  schema: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'lower-case letters, digits and _ only')
    .optional(),
  /** Whether messages are kept in the search index: `on` and `off` too. */
  search: z.union([z.boolean(), z.stringbool()]).default(true),
  sqlEcho: z.union([z.boolean(), z.stringbool()]).default(false),
  /** Who may read /metrics: this machine, everybody, nobody. */
  metrics: z.enum(['local', 'open', 'off']).default('local'),
  /** Whoever has this may, from wherever, and nobody else. */
  metricsToken: z
    .string()
    .min(16, 'at least 16 characters')
    .regex(/^[\x21-\x7e]+$/, 'printable characters without spaces')
    .optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  /** An admin key to install when the gateway starts. */
  apiKey: z
    .string()
    .min(16, 'at least 16 characters')
    .refine(isHardToGuess, 'it is easily guessed; openssl rand -hex 24 prints one that is not')
    .regex(/^[\x21-\x7e]+$/, 'printable characters without spaces')
    .optional(),
  masterKey: z.string().min(1).optional(),
  /** Prints the master key: a command line for the shell, or a JSON list of a program and its arguments. */
  masterKeyCommand: z.union([z.string().min(1).transform(commandOf), z.array(z.string()).min(1)]).optional(),
  /** Keys that the master key takes the place of; with commas between them in the environment. */
  previousMasterKeys: z
    .union([z.string().transform(text => text.split(',').map(key => key.trim())), z.array(z.string())])
    .optional(),
  /** How content is kept where neither the API key nor the user says. */
  contentMode: z.enum(contentModes).default('encrypted'),
  bodyLimit: z.coerce
    .number()
    .int()
    .positive()
    .default(64 * 1024 * 1024),
  /** Bytes of a provider's reply, which is kept in memory until it is recorded. */
  replyLimit: z.coerce
    .number()
    .int()
    .positive()
    .default(64 * 1024 * 1024),
  /** Seconds in which a request must have arrived whole. */
  requestTimeout: z.coerce.number().positive().max(86_400).default(300),
  /** Seconds for which a client may take nothing of a reply that is there for it. */
  clientTimeout: z.coerce.number().positive().max(86_400).default(120),
  /** Seconds for which the reply to a request with an Idempotency-Key is given again to its repetitions. */
  idempotencyTtl: z.coerce.number().positive().max(31_536_000).default(86_400),
  /** Seconds for which a repetition waits while the first request is still under way. */
  idempotencyWait: z.coerce.number().min(0).max(3_600).default(30),
  /** Seconds that running replies are given when the gateway is told to stop. */
  shutdownTimeout: z.coerce.number().min(0).max(3_600).default(30),
  /** Days after which what was said goes, and after which all that is known of a call does. */
  retentionContent: days,
  retentionMetadata: days,
  /** Days after which a conversation that nobody used is deleted, and after which what was said in a deleted one goes. */
  retentionInactive: days,
  retentionDeleted: days,
  /** Seconds between two looks for what has expired. */
  retentionEvery: z.coerce.number().positive().max(86_400).default(3_600),
  /** What each user may take in a day, in tokens and in US dollars, where nothing else is set. */
  dailyTokenCap: z.coerce.number().int().min(0).optional(),
  dailyCostCap: dollars.optional(),
  limits: limits.prefault({}),
  /** The time zone whose days and months are counted; UTC, or what was set before, when left out. */
  timeZone: timeZone.optional(),
  /** Whether strangers may make accounts for themselves. */
  registration: z.enum(['open', 'closed']).default('closed'),
  /** Seconds after which a login ends that nobody uses, and after which any does. */
  sessionIdle: z.coerce.number().positive().max(31_536_000).default(43_200),
  sessionLifetime: z.coerce.number().positive().max(31_536_000).default(604_800),
  /** Addresses or networks, with commas between them, whose `x-forwarded-for` is believed. */
  trustedProxies: z
    .string()
    .refine(areAddresses, 'addresses or networks as in 10.0.0.0/8, with commas between them')
    .optional(),
  /** The model that answers chats whose history is kept here; the built-in echo when there is no other. */
  chatModel: z.string().min(1).optional(),
  /** What such a chat begins with: what is said to the model, and what is said to the user. */
  chatSystem: z.string().min(1).optional(),
  chatGreeting: z.string().min(1).optional(),
  /** Whether what is told of people is masked before a provider gets it, and in what is stored. */
  maskPiiBeforeLlm: z.union([z.boolean(), z.stringbool()]).default(false),
  maskPiiInLogs: z.union([z.boolean(), z.stringbool()]).default(false),
  masking: masking.prefault({}),
  /** What the log of audit events is called, and whether anybody may read its tree. */
  auditOrigin: z.string().refine(isKeyName, 'a name without white space and without +').optional(),
  auditLogPublic: z.union([z.boolean(), z.stringbool()]).default(false),
  /** Whether answers are given again where neither the request nor its key says so, and for how many seconds. */
  cacheMode: z.enum(cacheModes).default('off'),
  cacheTtl: z.coerce.number().positive().max(31_536_000).default(3_600),
  cache: cache.prefault({}),
  /** How the prompts of requests are compressed that say nothing of it, and whose key does not either. */
  compress: z.enum(compressionNames).default('off'),
  openaiBaseUrl: upstreamUrl.optional(),
  openaiApiKey: z.string().min(1).optional(),
  providers: z
    .record(z.string().regex(/^[a-z0-9][a-z0-9_-]*$/i, 'letters, digits, _ and - only'), provider)
    .default({}),
  /** The provider of models that name none; the OPENAI_… upstream, or the only provider, when left out. */
  defaultProvider: z.string().optional(),
  /** Models that stand for others: each for a list of targets, as `provider/model` or a model of the default provider. */
  models: z.record(z.string().min(1).max(512), modelRoute).default({}),
  /** Own prices, which win over public ones; the first that fits a call is taken. */
  prices: z.array(priceOverride).max(1_000).default([]),
  /** Types of documents that are registered when the gateway starts. */
  documentTypes: z.array(documentTypeSettings).default([]),
  /** Seconds after which a request that failed is not sent to the same target again. */
  retryBudget: z.number().min(0).max(86_400).default(60),
})

export type Config = z.infer<typeof settings>

/** How the log of audit events is kept, as the library takes it. */
export function auditOf({ auditOrigin }: Config): AuditOptions {
  return { origin: auditOrigin }
}

/** How long things are kept, as the library takes it. */
export function retentionOf(config: Config): RetentionDefaults {
  return {
    contentDays: config.retentionContent,
    metadataDays: config.retentionMetadata,
    inactiveDays: config.retentionInactive,
    deletedDays: config.retentionDeleted,
  }
}

/** What the prices of calls are told by, as the library takes it. */
export function pricingOf({ prices, providers, openaiBaseUrl }: Config): PriceBookOptions {
  const upstream = openaiBaseUrl === undefined ? {} : { openai: { baseUrl: openaiBaseUrl } }
  return { overrides: prices, providers: { ...upstream, ...providers } }
}

/** What each user may take, and how limits are held, as the library takes it. */
export function limitsOf(config: Config): LimitOptions {
  const { eachUser, ...rules } = config.limits
  const { dailyTokenCap = eachUser.tokensPerDay, dailyCostCap, timeZone } = config
  const nanousdPerDay = dailyCostCap === undefined ? eachUser.nanousdPerDay : nanousdOf(dailyCostCap)
  return { ...rules, eachUser: { ...eachUser, tokensPerDay: dailyTokenCap, nanousdPerDay }, timeZone }
}

const defaultFile = 'stele.config.json'

/**
 * The settings of this run. Reads `.env` and the configuration file of the working directory when they are there.
 * @param flags settings given on the command line
 * @throws SteleError config_invalid, naming every problem and no value
 */
export function loadConfig(flags: Readonly<Record<string, unknown>> = {}): Config {
  if (existsSync('.env')) loadEnvFile('.env')
  return resolveConfig(flags, process.env, readFile)
}

/** The same from given sources. */
export function resolveConfig(
  flags: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
  read: (path: string, isRequired: boolean) => unknown = () => undefined,
): Config {
  const named = environment['STELE_CONFIG']
  const fromFile = read(named ?? defaultFile, named !== undefined) ?? {}
  const fromEnvironment = Object.fromEntries(
    Object.entries(environmentVariables)
      .map(([variable, setting]) => [setting, environment[variable]])
      .filter(([, value]) => value !== undefined && value !== ''),
  )
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
  const checked = settings.safeParse({ ...fromFile, ...fromEnvironment, ...given })
  if (!checked.success)
    throw new SteleError('config_invalid', { problems: checked.error.issues.map(problem).join('\n') })
  return withProviderKeys(checked.data, environment)
}

function readFile(path: string, isRequired: boolean): unknown {
  if (!isRequired && !existsSync(path)) return undefined
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    throw new SteleError('config_invalid', { problems: `  ${path}: cannot be read` })
  }
  try {
    const value: unknown = JSON.parse(text)
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value
  } catch {}
  // The parser's message would quote the text, which may hold keys.
  throw new SteleError('config_invalid', { problems: `  ${path}: must be a JSON object` })
}

function withProviderKeys(config: Config, environment: Readonly<Record<string, string | undefined>>): Config {
  const problems = networkProblems(config)
  for (const [name, provider] of Object.entries(config.providers)) {
    if (provider.type === 'openai-compatible' && provider.baseUrl === undefined)
      problems.push(`  providers.${name}.baseUrl: is missing`)
    // A variable that is not set is no problem until somebody calls the provider: most commands never do.
    if (provider.apiKeyEnv !== undefined) provider.apiKey = environment[provider.apiKeyEnv] || undefined
  }
  const { defaultProvider } = config
  if (
    defaultProvider !== undefined &&
    !Object.hasOwn(config.providers, defaultProvider) &&
    defaultProvider !== 'openai' &&
    defaultProvider !== 'echo' &&
    defaultProvider !== 'replay'
  ) {
    problems.push('  defaultProvider: names no provider of this configuration')
  }
  const { retentionContent, retentionMetadata } = config
  if ((retentionContent ?? 0) > (retentionMetadata ?? Number.POSITIVE_INFINITY))
    problems.push('  retentionContent (STELE_RETENTION_CONTENT): content cannot outlive its metadata')
  if (config.cacheMode === 'semantic' && config.cache.embeddings === undefined)
    problems.push('  cacheMode (STELE_CACHE_MODE): semantic takes a model in cache.embeddings')
  if (problems.length > 0) throw new SteleError('config_invalid', { problems: problems.join('\n') })
  return config
}

function problem(issue: z.core.$ZodIssue): string {
  const setting = issue.path.map(String).join('.')
  const variable = Object.entries(environmentVariables).find(([, name]) => name === setting)?.[0]
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .map(key => `  ${[...issue.path, key].map(String).join('.')}: is not a setting`)
      .join('\n')
  }
  return `  ${setting}${variable === undefined ? '' : ` (${variable})`}: ${issue.message}`
}

/** How the content of a store is kept, and what with. */
export function privacyOf(
  config: Config,
): Pick<Config, 'masterKey' | 'masterKeyCommand' | 'previousMasterKeys' | 'contentMode'> {
  const { masterKey, masterKeyCommand, previousMasterKeys, contentMode } = config
  return { masterKey, masterKeyCommand, previousMasterKeys, contentMode }
}
