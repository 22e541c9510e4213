import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { loadConfig, resolveConfig } from '../../src/config.ts'
import type { environmentVariables } from '../../src/config-environment.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

const secret = 'sk-very-secret-value'

describe('defaults and precedence', () => {
  test('nothing given gives the defaults', () => {
    expect(resolveConfig({}, {})).toMatchObject({
      databaseUrl: 'sqlite:.stele/stele.db',
      host: '127.0.0.1',
      port: 4100,
      poolSize: 5,
      maxOverflow: 10,
      poolTimeout: 30,
      sqlEcho: false,
      logLevel: 'info',
      providers: {},
    })
  })

  test('a flag is stronger than the environment, that than the file, that than the default', () => {
    const file = { port: 1, host: 'file', poolSize: 2 }
    const environment = { PORT: '3', HOST: 'environment' }
    const config = resolveConfig({ port: 4 }, environment, () => file)
    expect([config.port, config.host, config.poolSize, config.maxOverflow]).toEqual([4, 'environment', 2, 10])
  })

  test('a flag that was not given and a variable that is empty count as absent', () => {
    const config = resolveConfig({ port: undefined }, { PORT: '', HOST: '' }, () => ({ port: 7 }))
    expect([config.port, config.host]).toEqual([7, '127.0.0.1'])
  })

  test('every documented variable is read', () => {
    const values: Record<keyof typeof environmentVariables, string> = {
      DATABASE_URL: 'sqlite::memory:',
      HOST: '0.0.0.0',
      PORT: '80',
      STELE_WORKERS: '3',
      DB_POOL_SIZE: '1',
      DB_MAX_OVERFLOW: '0',
      DB_POOL_TIMEOUT: '0.5',
      DB_COMMIT_TIMEOUT: '2.5',
      STELE_ON_STORE_FAILURE: 'refuse',
      STELE_SPOOL_FOLDER: '/var/spool/stele',
      STELE_SPOOL_LIMIT: '4096',
      DB_SCHEMA: 'stele_1',
      STELE_SEARCH: 'off',
      SQL_ECHO: 'true',
      LOG_LEVEL: 'debug',
      STELE_METRICS: 'open',
      STELE_METRICS_TOKEN: 'a-token-of-my-own',
      STELE_API_KEY: 'a-key-of-my-own-making',
      DAILY_TOKEN_CAP: '1000',
      DAILY_COST_CAP: '2.5',
      STELE_TIME_ZONE: 'Europe/Berlin',
      STELE_MASTER_KEY: 'a2V5',
      STELE_MASTER_KEY_COMMAND: '["vault","read"]',
      STELE_PREVIOUS_MASTER_KEYS: 'b25l, dHdv',
      STELE_CONTENT_MODE: 'hashed',
      STELE_BODY_LIMIT: '1024',
      STELE_REPLY_LIMIT: '2048',
      STELE_REQUEST_TIMEOUT: '3',
      STELE_CLIENT_TIMEOUT: '0.5',
      STELE_MAX_CONNECTIONS: '500',
      STELE_KEEP_ALIVE_TIMEOUT: '5',
      STELE_TLS_CERT: 'server.crt',
      STELE_TLS_KEY: 'server.key',
      STELE_TLS_PASSPHRASE_FILE: 'server.passphrase',
      STELE_CORS_ORIGINS: 'https://app.example.com, http://localhost:3000',
      STELE_CORS_CREDENTIALS: 'true',
      STELE_ALLOWED_HOSTS: 'stele.example.com,*.internal',
      STELE_IDEMPOTENCY_TTL: '60',
      STELE_IDEMPOTENCY_WAIT: '0',
      STELE_SHUTDOWN_TIMEOUT: '0',
      STELE_RETENTION_CONTENT: '30',
      STELE_RETENTION_METADATA: '365',
      STELE_RETENTION_INACTIVE: '90',
      STELE_RETENTION_DELETED: '7',
      STELE_RETENTION_EVERY: '60',
      STELE_REGISTRATION: 'open',
      STELE_SESSION_IDLE: '600',
      STELE_SESSION_LIFETIME: '3600',
      STELE_TRUSTED_PROXIES: '10.0.0.0/8,127.0.0.1',
      STELE_CHAT_MODEL: 'coach',
      STELE_CHAT_SYSTEM: 'Be a coach.',
      STELE_CHAT_GREETING: 'Hello!',
      MASK_PII_BEFORE_LLM: 'true',
      MASK_PII_IN_LOGS: 'on',
      STELE_CACHE_MODE: 'exact',
      STELE_CACHE_TTL: '90',
      AUDIT_ORIGIN: 'log.example',
      AUDIT_LOG_PUBLIC: 'true',
      STELE_COMPRESS: 'medium',
      OPENAI_BASE_URL: 'http://localhost:11434/v1',
      OPENAI_API_KEY: 'sk-1',
    }
    expect(resolveConfig({}, values)).toMatchObject({
      databaseUrl: 'sqlite::memory:',
      host: '0.0.0.0',
      port: 80,
      workers: 3,
      poolSize: 1,
      maxOverflow: 0,
      poolTimeout: 0.5,
      commitTimeout: 2.5,
      onStoreFailure: 'refuse',
      spoolFolder: '/var/spool/stele',
      spoolLimit: 4096,
      schema: 'stele_1',
      search: false,
      sqlEcho: true,
      logLevel: 'debug',
      metrics: 'open',
      metricsToken: 'a-token-of-my-own',
      apiKey: 'a-key-of-my-own-making',
      registration: 'open',
      dailyTokenCap: 1_000,
      dailyCostCap: '2.5',
      timeZone: 'Europe/Berlin',
      sessionIdle: 600,
      sessionLifetime: 3600,
      trustedProxies: '10.0.0.0/8,127.0.0.1',
      masterKey: 'a2V5',
      masterKeyCommand: ['vault', 'read'],
      previousMasterKeys: ['b25l', 'dHdv'],
      contentMode: 'hashed',
      bodyLimit: 1024,
      replyLimit: 2048,
      requestTimeout: 3,
      clientTimeout: 0.5,
      maxConnections: 500,
      keepAliveTimeout: 5,
      tlsCert: 'server.crt',
      tlsKey: 'server.key',
      tlsPassphraseFile: 'server.passphrase',
      corsOrigins: ['https://app.example.com', 'http://localhost:3000'],
      corsCredentials: true,
      allowedHosts: ['stele.example.com', '*.internal'],
      idempotencyTtl: 60,
      idempotencyWait: 0,
      shutdownTimeout: 0,
      retentionContent: 30,
      retentionMetadata: 365,
      retentionInactive: 90,
      retentionDeleted: 7,
      retentionEvery: 60,
      chatModel: 'coach',
      chatSystem: 'Be a coach.',
      chatGreeting: 'Hello!',
      openaiBaseUrl: 'http://localhost:11434/v1',
      openaiApiKey: 'sk-1',
    })
  })

  test('content that would outlive its metadata is refused', () => {
    const environment = { STELE_RETENTION_CONTENT: '31', STELE_RETENTION_METADATA: '30' }
    expect(() => resolveConfig({}, environment)).toThrow(/STELE_RETENTION_CONTENT\): content cannot outlive/)
    expect(() => resolveConfig({}, { STELE_RETENTION_CONTENT: '0' })).toThrow(/STELE_RETENTION_CONTENT/)
  })

  test.for([
    ['true', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ] as const)('SQL_ECHO=%s means %s', ([value, expected]) => {
    expect(resolveConfig({}, { SQL_ECHO: value }).sqlEcho).toBe(expected)
  })

  test('variables of other programs are nobody’s business', () => {
    expect(resolveConfig({}, { PATH: '/bin', STELE_UNHEARD_OF: 'x' })).toEqual(resolveConfig({}, {}))
  })

  test('a key of a provider is read from the variable that is named for it', () => {
    const file = {
      providers: { groq: { baseUrl: 'https://api.groq.com/openai/v1', apiKeyEnv: 'GROQ_API_KEY' } },
    }
    expect(resolveConfig({}, { GROQ_API_KEY: secret }, () => file).providers['groq']?.apiKey).toBe(secret)
  })
})

describe('what is refused', () => {
  test('an unknown key is named, wherever it stands', async () => {
    const file = { databseUrl: secret, providers: { a: { baseUrl: 'https://a/v1', apikey: secret } } }
    const error = await failure('config_invalid', () => resolveConfig({}, {}, () => file))
    expect(error.message).toContain('databseUrl: is not a setting')
    expect(error.message).toContain('providers.a.apikey: is not a setting')
    expectNoValues(error)
  })

  test('all problems are told at once, each with its variable, none with its value', async () => {
    const environment = {
      PORT: `70000${secret}`,
      DB_POOL_SIZE: '0',
      DB_SCHEMA: `Robert'); DROP ${secret}`,
      LOG_LEVEL: secret,
      STELE_API_KEY: 'short',
      OPENAI_BASE_URL: `ftp://user:${secret}@host`,
      SQL_ECHO: secret,
    }
    const error = await failure('config_invalid', () => resolveConfig({}, environment))
    for (const variable of Object.keys(environment)) expect(error.message).toContain(`(${variable})`)
    expectNoValues(error)
    expect(error.message).not.toContain('short')
    expect(error.message).not.toContain('70000')
  })

  test.for(['aaaaaaaaaaaaaaaa', '1234123412341234', 'passPASSpassPASS'])(
    'an admin key that is easily guessed: %s',
    async apiKey => {
      const error = await failure('config_invalid', () => resolveConfig({}, { STELE_API_KEY: apiKey }))
      expect(error.message).toContain('openssl rand')
      expect(error.message).not.toContain(apiKey)
    },
  )

  test.for(['65536', '-1', '1.5', 'http', '0x'])('PORT=%s', async port => {
    await failure('config_invalid', () => resolveConfig({}, { PORT: port }))
  })

  test('a provider without an address, a default provider that is none', async () => {
    const file = { providers: { a: {} }, defaultProvider: 'b' }
    const error = await failure('config_invalid', () => resolveConfig({}, {}, () => file))
    expect(error.message).toContain('providers.a.baseUrl')
    expect(error.message).toContain('defaultProvider')
  })

  test('a provider whose name would not fit into a model', async () => {
    const file = { providers: { 'a/b': { baseUrl: 'https://a/v1' } } }
    await failure('config_invalid', () => resolveConfig({}, {}, () => file))
  })
})

describe('the file', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('is read from where STELE_CONFIG says', async () => {
    const path = join(await temporaryFolder(), 'my.json')
    writeFileSync(path, '{"port": 4321}')
    vi.stubEnv('STELE_CONFIG', path)
    expect(loadConfig({ host: 'here' })).toMatchObject({ port: 4321, host: 'here' })
  })

  test('that is named must be there', async () => {
    vi.stubEnv('STELE_CONFIG', join(await temporaryFolder(), 'none.json'))
    const error = await failure('config_invalid', () => loadConfig())
    expect(error.message).toContain('none.json: cannot be read')
  })

  test.for(['{"port": ', '[]', '"text"', 'null', ''])(
    'that holds %j is no configuration, and is not quoted',
    async text => {
      const path = join(await temporaryFolder(), 'bad.json')
      writeFileSync(path, `${text}`)
      vi.stubEnv('STELE_CONFIG', path)
      const error = await failure('config_invalid', () => loadConfig())
      expect(error.message).toContain('must be a JSON object')
    },
  )

  test('with a broken text does not show its keys', async () => {
    const path = join(await temporaryFolder(), 'bad.json')
    writeFileSync(path, `{"openaiApiKey": "${secret}",,}`)
    vi.stubEnv('STELE_CONFIG', path)
    expectNoValues(await failure('config_invalid', () => loadConfig()))
  })
})

function expectNoValues(error: Error): void {
  expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toContain(secret)
}
