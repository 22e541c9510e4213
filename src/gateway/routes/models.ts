import type { FastifyInstance } from 'fastify'
import { SteleError } from '../../errors.ts'
import type { Model, Provider } from '../../providers/provider.ts'
import type { ProviderRegistry } from '../../providers/registry.ts'
import { needs } from './request-parts.ts'

/** How long a provider may take to list its models, and how long its list is kept, in milliseconds. */
const listTimeout = 5_000
const keptFor = 60_000

interface ModelEntry {
  id: string
  object: 'model'
  created: number
  owned_by: string
}

/**
 * `GET /v1/models` lists every provider's models: the default provider's by their names, others' as `provider/model`;
 * and the models that stand for others.
 */
export async function modelsRoutes(
  app: FastifyInstance,
  { providers }: { providers: ProviderRegistry },
): Promise<void> {
  const kept = new Map<Provider, { models: Model[]; until: number }>()

  const modelsOf = async (provider: Provider): Promise<Model[]> => {
    const known = kept.get(provider)
    if (known !== undefined && known.until > Date.now()) return known.models
    try {
      const models = await provider.models(AbortSignal.timeout(listTimeout))
      kept.set(provider, { models, until: Date.now() + keptFor })
      return models
    } catch (error) {
      // One provider that is away must not hide the others' models.
      app.log.warn({ provider: provider.name, err: error }, 'the provider did not list its models')
      return known?.models ?? []
    }
  }

  const list = async (): Promise<ModelEntry[]> => {
    const { defaultProvider, isEchoOnly } = providers
    const listed = [...providers.providers.values()].filter(
      provider => isEchoOnly || provider.name !== 'echo',
    )
    const entries = await Promise.all(
      listed.map(async provider => {
        const prefix = provider === defaultProvider ? '' : `${provider.name}/`
        const models = await modelsOf(provider)
        return models.map(
          (model): ModelEntry => ({
            id: prefix + model.id,
            object: 'model',
            created: model.created,
            owned_by: model.ownedBy,
          }),
        )
      }),
    )
    const served = entries.flat()
    const known = new Set(served.map(({ id }) => id))
    const aliases = providers.aliases.filter(alias => !known.has(alias))
    return [
      ...served,
      ...aliases.map((id): ModelEntry => ({ id, object: 'model', created: 0, owned_by: 'stele' })),
    ]
  }

  app.get('/v1/models', needs('models:read'), async () => ({ object: 'list', data: await list() }))
  app.get<{ Params: { '*': string } }>('/v1/models/*', needs('models:read'), async request => {
    const id = request.params['*']
    const entry = (await list()).find(model => model.id === id)
    if (entry === undefined)
      throw new SteleError('model_not_found', { model: id, hint: '' }, { param: 'model' })
    return entry
  })
}
