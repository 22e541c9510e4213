import type { ProviderRegistry } from './registry.ts'

/** How long a provider may take to list its models, in milliseconds. */
const listTimeout = 5_000

/** What may be asked for by name: every provider's models and those that stand for others. One that is away lists none. */
export async function servedModels(registry: ProviderRegistry): Promise<string[]> {
  const { defaultProvider, isEchoOnly, aliases } = registry
  const listed = [...registry.providers.values()].filter(provider => isEchoOnly || provider.name !== 'echo')
  const served = await Promise.all(
    listed.map(async provider => {
      const prefix = provider === defaultProvider ? '' : `${provider.name}/`
      const models = await provider.models(AbortSignal.timeout(listTimeout)).catch(() => [])
      return models.map(({ id }) => prefix + id)
    }),
  )
  return [...new Set([...aliases, ...served.flat()])]
}
