import type { Config, ProviderConfig } from '../config.ts'
import { SteleError } from '../errors.ts'
import type { Stele } from '../stele.ts'
import { echoProvider } from './echo.ts'
import { openaiCompatible } from './openai-compatible.ts'
import type { Provider } from './provider.ts'
import { replayProvider } from './replay.ts'

export interface Route {
  readonly provider: Provider
  /** The model as the provider knows it. */
  readonly model: string
}

export interface ProviderRegistry {
  /** All providers by name. */
  readonly providers: ReadonlyMap<string, Provider>
  /** The provider of models that name none. */
  readonly defaultProvider: Provider
  /** True when nothing but the built-in echo would answer. */
  readonly isEchoOnly: boolean
  /** Which provider answers for a model. @throws SteleError model_not_found */
  route(model: string): Route
  close(): Promise<void>
}

const builtInUpstream = 'openai'

/** The provider that `OPENAI_BASE_URL` and `OPENAI_API_KEY` describe, as OpenAI's own clients read them. */
function upstreamFromEnvironment(config: Config): ProviderConfig | undefined {
  if (config.openaiBaseUrl === undefined && config.openaiApiKey === undefined) return undefined
  return {
    type: 'openai-compatible',
    baseUrl: config.openaiBaseUrl ?? 'https://api.openai.com/v1',
    apiKey: config.openaiApiKey,
    headers: {},
    streamUsage: true,
    connections: 256,
    connectTimeout: 10,
    firstByteTimeout: 300,
    idleTimeout: 120,
  }
}

export function createProviders(
  config: Config,
  stele: Pick<Stele, 'database' | 'calls' | 'hashes'>,
): ProviderRegistry {
  const upstream = upstreamFromEnvironment(config)
  const configured = {
    ...(upstream === undefined ? {} : { [builtInUpstream]: upstream }),
    ...config.providers,
  }
  const names = Object.keys(configured)
  requireKeys(config)
  const providers = new Map<string, Provider>([
    ['echo', echoProvider('echo')],
    ['replay', replayProvider('replay', stele)],
  ])
  for (const [name, provider] of Object.entries(configured))
    providers.set(name, create(name, provider, stele))

  const defaultName =
    config.defaultProvider ??
    (upstream === undefined ? undefined : builtInUpstream) ??
    (names.length === 1 ? names[0] : undefined)
  const isEchoOnly = names.length === 0 && (defaultName === undefined || defaultName === 'echo')
  const defaultProvider = providers.get(defaultName ?? 'echo') ?? echoProvider('echo')

  return {
    providers,
    defaultProvider,
    isEchoOnly,
    route(model) {
      const slash = model.indexOf('/')
      const named = slash > 0 ? providers.get(model.slice(0, slash)) : undefined
      if (named !== undefined && slash < model.length - 1)
        return { provider: named, model: model.slice(slash + 1) }
      if (isEchoOnly && model !== 'echo') {
        throw new SteleError(
          'model_not_found',
          { model, hint: "No provider is configured; only the built-in model 'echo' answers." },
          { param: 'model' },
        )
      }
      if (defaultName === undefined && names.length > 0) {
        const hint = `Name one of the providers before it: ${names.map(name => `${name}/${model}`).join(', ')}.`
        throw new SteleError('model_not_found', { model, hint }, { param: 'model' })
      }
      return { provider: defaultProvider, model }
    },
    async close() {
      await Promise.all([...providers.values()].map(provider => provider.close()))
    },
  }
}

/** @throws SteleError config_invalid */
function requireKeys(config: Config): void {
  const problems = Object.entries(config.providers)
    .filter(([, { apiKeyEnv, apiKey }]) => apiKeyEnv !== undefined && apiKey === undefined)
    .map(
      ([name, { apiKeyEnv }]) =>
        `  providers.${name}.apiKeyEnv: the environment variable ${apiKeyEnv} is not set`,
    )
  if (problems.length > 0) throw new SteleError('config_invalid', { problems: problems.join('\n') })
}

function create(
  name: string,
  config: ProviderConfig,
  stele: Pick<Stele, 'database' | 'calls' | 'hashes'>,
): Provider {
  switch (config.type) {
    case 'openai-compatible':
      return openaiCompatible(name, config)
    case 'echo':
      return echoProvider(name)
    case 'replay':
      return replayProvider(name, stele)
  }
}
