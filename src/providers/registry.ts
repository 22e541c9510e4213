import { type Config, type ProviderConfig, plainProvider } from '../config.ts'
import { reasonOf, SteleError } from '../errors.ts'
import type { Stele } from '../stele.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import { echoProvider } from './echo.ts'
import { openaiCompatible } from './openai-compatible.ts'
import type { Provider } from './provider.ts'
import { replayProvider } from './replay.ts'
import { realTiming, type Timing } from './timing.ts'

/** Somewhere a request can be sent. */
export interface Target {
  readonly provider: Provider
  /** The model as the provider knows it. */
  readonly model: string
  readonly policy: FailurePolicy
}

/** What is done when a provider fails. */
interface FailurePolicy {
  /** How often a failed request is sent again. */
  readonly retries: number
  /** Milliseconds that the provider may ask to be left alone and is then waited for. */
  readonly maxRetryAfter: number
  readonly breaker: CircuitBreaker
}

export interface ProviderRegistry {
  /** All providers by name. */
  readonly providers: ReadonlyMap<string, Provider>
  /** The provider of models that name none. */
  readonly defaultProvider: Provider
  /** True when nothing but the built-in echo would answer. */
  readonly isEchoOnly: boolean
  /** The models that stand for others. */
  readonly aliases: readonly string[]
  /** The providers that may be down, and how they stand. */
  readonly breakers: ReadonlyMap<string, CircuitBreaker>
  /** Milliseconds after which a request that failed is not sent to the same target again. */
  readonly retryBudget: number
  readonly timing: Timing
  /** What is asked for a model, in this order until one answers; never empty. @throws SteleError model_not_found */
  targets(model: string): readonly Target[]
  close(): Promise<void>
}

const builtInUpstream = 'openai'

/** The provider that `OPENAI_BASE_URL` and `OPENAI_API_KEY` describe, as OpenAI's own clients read them. */
function upstreamFromEnvironment(config: Config): ProviderConfig | undefined {
  if (config.openaiBaseUrl === undefined && config.openaiApiKey === undefined) return undefined
  return plainProvider(config.openaiBaseUrl ?? 'https://api.openai.com/v1', config.openaiApiKey)
}

export function createProviders(
  config: Config,
  stele: Pick<Stele, 'database' | 'hashes'>,
  timing: Timing = realTiming,
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
  const policies = new Map<string, FailurePolicy>()
  const builtIn = neverFails(timing)
  for (const [name, provider] of Object.entries(configured)) {
    providers.set(name, create(name, provider, stele))
    if (provider.type === 'openai-compatible') policies.set(name, failurePolicy(provider, timing))
  }

  const defaultName =
    config.defaultProvider ??
    (upstream === undefined ? undefined : builtInUpstream) ??
    (names.length === 1 ? names[0] : undefined)
  const isEchoOnly = names.length === 0 && (defaultName === undefined || defaultName === 'echo')
  const defaultProvider = providers.get(defaultName ?? 'echo') ?? echoProvider('echo')

  const target = (provider: Provider, model: string): Target => ({
    provider,
    model,
    policy: policies.get(provider.name) ?? builtIn,
  })
  const targetOf = (model: string): Target => {
    const slash = model.indexOf('/')
    const named = slash > 0 ? providers.get(model.slice(0, slash)) : undefined
    if (named !== undefined && slash < model.length - 1) return target(named, model.slice(slash + 1))
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
    return target(defaultProvider, model)
  }
  const aliases = resolveAliases(config, targetOf)

  return {
    providers,
    defaultProvider,
    isEchoOnly,
    aliases: [...aliases.keys()],
    breakers: new Map([...policies].map(([name, { breaker }]) => [name, breaker])),
    retryBudget: config.retryBudget * 1000,
    timing,
    targets: model => aliases.get(model) ?? [targetOf(model)],
    async close() {
      await Promise.all([...providers.values()].map(provider => provider.close()))
    },
  }
}

function failurePolicy(config: ProviderConfig, timing: Timing): FailurePolicy {
  const { retries, maxRetryAfter, breakerFailures: failures, breakerCoolDown } = config
  return {
    retries,
    maxRetryAfter: maxRetryAfter * 1000,
    breaker: new CircuitBreaker({ failures, coolDown: breakerCoolDown * 1000, timing }),
  }
}

/** What answers within this process cannot be down, and says the same when it is asked again. */
function neverFails(timing: Timing): FailurePolicy {
  return { retries: 0, maxRetryAfter: 0, breaker: new CircuitBreaker({ failures: 0, coolDown: 0, timing }) }
}

/**
 * The targets of every model that stands for others. A target is a provider's model, not another such name: a model may
 * so stand for itself and then for others. @throws SteleError config_invalid
 */
function resolveAliases(
  config: Config,
  targetOf: (model: string) => Target,
): ReadonlyMap<string, readonly Target[]> {
  const problems: string[] = []
  const aliases = Object.entries(config.models).map(([alias, { targets }]): [string, Target[]] => [
    alias,
    targets.flatMap((model, index) => {
      try {
        return targetOf(model)
      } catch (error) {
        problems.push(`  models.${alias}.targets.${index}: ${reasonOf(error)}`)
        return []
      }
    }),
  ])
  if (problems.length > 0) throw new SteleError('config_invalid', { problems: problems.join('\n') })
  return new Map(aliases)
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

function create(name: string, config: ProviderConfig, stele: Pick<Stele, 'database' | 'hashes'>): Provider {
  switch (config.type) {
    case 'openai-compatible':
      return openaiCompatible(name, config)
    case 'echo':
      return echoProvider(name)
    case 'replay':
      return replayProvider(name, stele)
  }
}
