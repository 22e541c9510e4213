import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import { type PlainOperation, parsePlainRequest, plainOperations } from '../../model/plain-request.ts'
import type { ProviderRegistry, Target } from '../../providers/registry.ts'
import { plainRequest } from '../gateway-request.ts'
import { type AnsweringParts, createAnswering } from './answering.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

/**
 * `POST /v1/embeddings`, `/v1/moderations`, `/v1/completions`: passed on as they came to a provider that has them, and
 * recorded as any call.
 */
export async function plainRequestRoutes(app: FastifyInstance, parts: AnsweringParts): Promise<void> {
  const answer = createAnswering(parts)
  for (const operation of plainOperations) {
    app.post(
      `/v1/${operation}`,
      needs('calls:make'),
      async (request: FastifyRequest<{ Body: Buffer | undefined }>, reply) => {
        const apiKeyId = keyOf(request).id
        const plain = parsePlainRequest(operation, request.body ?? '', { isStrict: true })
        const isNamed = typeof plain.value['model'] === 'string'
        const model = !isNamed && parts.providers.isEchoOnly ? 'echo' : plain.model
        const targets = targetsOf(parts.providers, operation, model)
        const userId = userOf(request, plain.user)
        const conversationId = undefined
        return answer(request, reply, {
          request: plainRequest(plain),
          targets,
          userId,
          apiKeyId,
          conversationId,
        })
      },
    )
  }
}

/** Those of a model's targets that have the operation. @throws SteleError model_not_found, operation_not_served */
function targetsOf(providers: ProviderRegistry, operation: PlainOperation, model: string): readonly Target[] {
  const targets = providers
    .targets(model)
    .filter(({ provider }) => provider.forwards?.has(operation) === true)
  if (targets.length === 0)
    throw new SteleError('operation_not_served', { operation, model }, { param: 'model' })
  return targets
}
