import type { FastifyRequest } from 'fastify'
import { readObject } from '../../model/json-body.ts'
import { keyOf } from '../routes/request-parts.ts'
import { createMasking, type MaskingSettings } from './masking.ts'

type Body = Buffer | string

/**
 * What a client gives to be kept, without a provider having a part in it: masked when storage is.
 * @throws SteleError masking_unavailable, invalid_value, and whatever is wrong with the body
 */
export function createMaskedInput(settings: MaskingSettings) {
  const maskingOf = createMasking(settings)
  /** @param kept reads what is on record already of what this is added to: its placeholders are not given to anything else */
  return async (
    request: FastifyRequest,
    body: Body,
    kept: () => Promise<readonly { readonly raw: string }[]> = async () => [],
  ): Promise<Body> => {
    const masking = maskingOf(request, keyOf(request))
    if (masking?.policy.inStorage !== true) return body
    const { text } = readObject(body)
    const { masker } = masking
    for (const { raw } of await kept()) masker.placeholders.adopt(raw)
    return masker.json(text)
  }
}
