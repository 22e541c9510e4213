import { isFields } from '../../model/reply.ts'
import { EventRestorer } from '../../privacy/masking/event-stream.ts'
import type { Masker } from '../../privacy/masking/masker.ts'
import type { Placeholders } from '../../privacy/masking/placeholders.ts'
import { type RestoreOptions, restoredJson, restoredText } from '../../privacy/masking/restorer.ts'
import {
  isEventStream,
  type Provider,
  type ProviderBody,
  type ProviderResponse,
} from '../../providers/provider.ts'
import { maskedChat } from './masked-body.ts'

export interface MaskedProviderOptions {
  /** Masks what the provider is given; left out, it gets everything as it is. */
  readonly masker: Masker | undefined
  /** What is put back into its replies. */
  readonly placeholders: Placeholders
  /** Bytes of a reply that are collected at most. */
  readonly replyLimit: number
}

/**
 * The same provider, given placeholders in the place of values. Its replies come back with the values in them, as if it had
 * been told: nothing behind this sees a placeholder.
 */
export function maskedProvider(provider: Provider, options: MaskedProviderOptions): Provider {
  const { masker } = options
  const restored = (
    response: ProviderResponse,
    request: Readonly<Record<string, unknown>>,
  ): ProviderResponse => restoredResponse(response, options, { saysJson: asksJson(request) })
  const { forward } = provider
  return {
    ...provider,
    async chat(input) {
      // What answers from the record knows the prompt by its own words.
      const isOpen = masker === undefined || provider.answersFromRecord === true
      const request = isOpen ? input.request : await maskedChat(input.request, masker)
      return restored(await provider.chat({ ...input, request }), input.request.value)
    },
    ...(forward === undefined
      ? {}
      : {
          async forward(input) {
            const body = masker === undefined ? input.body : await masker.json(input.body)
            return restored(await forward({ ...input, body }), JSON.parse(body) as Record<string, unknown>)
          },
        }),
  }
}

function restoredResponse(
  response: ProviderResponse,
  { placeholders, replyLimit }: MaskedProviderOptions,
  options: RestoreOptions,
): ProviderResponse {
  if (placeholders.size === 0) return response
  const { body } = response
  async function* events(): AsyncGenerator<Uint8Array> {
    const restorer = new EventRestorer(placeholders, options)
    try {
      for await (const chunk of body) {
        const told = restorer.push(chunk)
        if (told.length > 0) yield told
      }
    } catch (error) {
      // What was held back was told before the stream broke.
      const rest = restorer.end()
      if (rest.length > 0) yield rest
      throw error
    }
    const rest = restorer.end()
    if (rest.length > 0) yield rest
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of body) {
      chunks.push(chunk)
      length += chunk.byteLength
      // Whoever reads on refuses it.
      if (length > replyLimit) break
    }
    const bytes = Buffer.concat(chunks)
    const text = bytes.toString('utf8')
    const told = isJson(text) ? restoredJson(text, placeholders, options) : restoredText(text, placeholders)
    // Bytes that are no UTF-8 stay what they are.
    yield told === text ? bytes : Buffer.from(told)
  }
  return { ...response, body: bodyOf(isEventStream(response.contentType) ? events : whole) }
}

function bodyOf(read: () => AsyncGenerator<Uint8Array>): ProviderBody {
  return {
    async forEach(take) {
      for await (const chunk of read()) take(chunk)
    },
    [Symbol.asyncIterator]: () => read(),
  }
}

/** Whether a request wants what is said to be JSON. */
function asksJson({ response_format: format, text }: Readonly<Record<string, unknown>>): boolean {
  const asked = isFields(format) ? format : isFields(text) && isFields(text['format']) ? text['format'] : {}
  return asked['type'] === 'json_object' || asked['type'] === 'json_schema'
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
