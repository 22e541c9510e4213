import { SteleError } from '../../errors.ts'
import type { Outcome } from '../../model/call.ts'
import type { ChatMessage } from '../../model/chat-request.ts'
import { EventRestorer } from '../../privacy/masking/event-stream.ts'
import type { Masker } from '../../privacy/masking/masker.ts'
import type { Placeholders } from '../../privacy/masking/placeholders.ts'
import { restoredJson } from '../../privacy/masking/restorer.ts'
import type { Target } from '../../providers/registry.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import { maskedDocument, storedBody, storedOutcome } from './masked-body.ts'
import { maskedProvider } from './masked-provider.ts'
import type { Masking } from './masking.ts'

export interface MaskedOptions {
  /** Bytes of a provider's reply. */
  readonly replyLimit: number
  /** What the request goes on from, as it is on record. */
  readonly history?: readonly ChatMessage[]
}

/**
 * The same request, masked where its policy says so: before its providers, in what is recorded of it, or both.
 * @throws SteleError masking_unavailable; invalid_value for one that nobody can read
 */
export async function maskedRequest(
  request: GatewayRequest,
  masking: Masking | undefined,
  { replyLimit, history = [] }: MaskedOptions,
): Promise<GatewayRequest> {
  if (masking === undefined) return request
  const { policy, masker } = masking
  requireWords(request.body)
  if (policy.inStorage) for (const { raw } of history) masker.placeholders.adopt(raw)
  // Refused before anything is begun, when what is to look at it is down.
  await masker.prepare(request.body.text)

  const stored = async (given: GatewayRequest): Promise<GatewayRequest> => {
    if (!policy.inStorage) return given
    const { response, document, ...recording } = given.recording ?? {}
    return {
      ...given,
      body: await storedBody(given.body, masker),
      recording: {
        ...recording,
        ...(response === undefined
          ? {}
          : {
              response: {
                ...response,
                input: await masker.json(response.input),
                body: await masker.json(response.body),
                metadata: response.metadata && (await maskedMetadata(response.metadata, masker)),
              },
            }),
        document: document && { ...document, input: await maskedDocument(document.input, masker) },
      },
      forStorage: async outcome => storedOutcome((await given.forStorage?.(outcome)) ?? outcome, masker),
    }
  }
  const noted = (given: GatewayRequest): GatewayRequest => ({
    ...given,
    forStorage: async outcome => withMasked((await given.forStorage?.(outcome)) ?? outcome, masking),
  })
  const told = async ({ body }: GatewayRequest): Promise<{ text: string; mayKeep: boolean }> => ({
    text: policy.beforeLlm ? await masker.json(body.text) : body.text,
    mayKeep: !policy.inStorage,
  })
  // Of a history that was recorded masked even who is told everything else gets placeholders, and may say them.
  const foreign = policy.beforeLlm
    ? masker.placeholders
    : adopted(masker.noPlaceholders(), policy.inStorage ? history : [])
  const masked = async (given: GatewayRequest): Promise<GatewayRequest> => {
    const kept = noted(await stored(given))
    if (!policy.beforeLlm && foreign.size === 0) return { ...kept, told: () => told(given) }
    const options = { masker: policy.beforeLlm ? masker : undefined, placeholders: foreign, replyLimit }
    const behind = (target: Target): Target => ({
      ...target,
      provider: maskedProvider(target.provider, options),
    })
    return {
      ...kept,
      told: () => told(given),
      send: (target, userId, signal) => given.send(behind(target), userId, signal),
    }
  }

  const { forTarget } = request
  if (forTarget === undefined) return masked(request)
  return { ...request, forTarget: async target => masked(await forTarget(target)) }
}

/** What is said in numbers of tokens is said all the same, and cannot be looked at. @throws SteleError invalid_value */
function requireWords(body: GatewayRequest['body']): void {
  if (!('operation' in body)) return
  for (const name of ['input', 'prompt']) {
    const said = body.value[name]
    if (!Array.isArray(said) || !said.flat().some(one => typeof one === 'number')) continue
    const reason = 'tokens cannot be masked; send text'
    throw new SteleError('invalid_value', { name, reason }, { param: name })
  }
}

/**
 * A recorded reply for the client whose request it answered. What was recorded masked is told as far as the request tells
 * it; what stood in the reply alone is not kept.
 * @param request the same request again; left out where what was recorded tells of more than it does
 */
export async function toldAgain(
  bytes: Buffer,
  { policy, masker }: Masking,
  { isStream, request }: { readonly isStream: boolean; readonly request?: string },
): Promise<Buffer> {
  if (!policy.inStorage) return bytes
  if (request !== undefined) await masker.json(request)
  const { placeholders } = masker
  const text = bytes.toString('utf8')
  placeholders.adopt(text)
  if (!isStream) return Buffer.from(restoredJson(text, placeholders, { saysJson: false }))
  const restorer = new EventRestorer(placeholders, { saysJson: false })
  return Buffer.concat([restorer.push(bytes), restorer.end()])
}

/** An outcome that tells what was masked, if anything was. */
function withMasked(outcome: Outcome, { policy, masker }: Masking): Outcome {
  const kinds = masker.placeholders.counts()
  if (Object.keys(kinds).length === 0) return outcome
  const where = [
    ...(policy.beforeLlm ? (['provider'] as const) : []),
    ...(policy.inStorage ? (['storage'] as const) : []),
  ]
  return { ...outcome, masked: { kinds, in: where } }
}

function adopted(placeholders: Placeholders, history: readonly ChatMessage[]): Placeholders {
  for (const { raw } of history) placeholders.adopt(raw)
  return placeholders
}

/** @param metadata JSON text of an object of strings */
async function maskedMetadata(metadata: string, masker: Masker): Promise<string> {
  const around = '{"metadata":'
  return (await masker.json(`${around}${metadata}}`)).slice(around.length, -1)
}
