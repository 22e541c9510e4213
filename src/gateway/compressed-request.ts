import type { FastifyRequest } from 'fastify'
import {
  type CompressionLevel,
  type CompressionName,
  compressionNames,
  isCompressionName,
  levelOf,
} from '../compression/levels.ts'
import { compressed, sentRecord } from '../compression/sent.ts'
import { SteleError } from '../errors.ts'
import { type ChatRequest, parseChatRequest, withPreface } from '../model/chat-request.ts'
import type { Provider } from '../providers/provider.ts'
import type { ApiKey } from '../store/api-keys.ts'
import type { GatewayRequest } from './gateway-request.ts'

const header = 'x-stele-compress'

/**
 * The level at which a request's prompts are compressed; undefined for none. The request decides, else its key, else the
 * configuration.
 * @param operation what is asked for, where that is no chat
 * @throws SteleError invalid_value, not_compressible
 */
export type CompressionOf = (
  request: FastifyRequest,
  key: Pick<ApiKey, 'compression'>,
  operation?: string,
) => CompressionLevel | undefined

export function createCompression({ compress }: { readonly compress: CompressionName }): CompressionOf {
  return ({ headers }, key, operation) => {
    const asked = askedFor(headers[header])
    const level = levelOf(asked ?? key.compression ?? compress)
    if (operation === undefined) return level
    if (asked !== undefined && level !== undefined)
      throw new SteleError('not_compressible', { operation }, { param: header })
    return undefined
  }
}

function askedFor(given: string | string[] | undefined): CompressionName | undefined {
  const name = String(given ?? '')
    .trim()
    .toLowerCase()
  if (name === '') return undefined
  if (isCompressionName(name)) return name
  const reason = `it must be one of ${compressionNames.join(', ')}`
  throw new SteleError('invalid_value', { name: header, reason }, { param: header })
}

/**
 * The same request, its prompts compressed on their way to providers, after they are masked. What is recorded stays what it is.
 * @param version what the level does; today's when left out
 */
export function compressedRequest(
  request: GatewayRequest,
  level: CompressionLevel | undefined,
  version?: number,
): GatewayRequest {
  if (level === undefined) return request
  const compress = onceInARow(text => compressed(text, level, version))
  return {
    ...request,
    async forTarget(target) {
      const { provider, model } = target
      const given = (await request.forTarget?.(target)) ?? request
      // What answers from the record knows prompts by their own words.
      if (provider.answersFromRecord === true) return given
      const { text: recorded } = given.body
      const { text: told, mayKeep } = (await given.told?.()) ?? { text: recorded, mayKeep: true }
      const sentText = await compress(told)
      const sent = sentRecord(
        { told, recorded, mayKeep, body: sentText },
        {
          level,
          version,
          model,
          asksUsage: provider.asksUsage === true,
          isChat: given.recording?.operation === undefined,
        },
      )
      return {
        ...given,
        recording: { ...given.recording, sent, sentText },
        send: (to, userId, signal) =>
          given.send({ ...to, provider: compressingProvider(to.provider, compress) }, userId, signal),
      }
    },
  }
}

/** Does not do the same work again for the text that it was done for last. */
function onceInARow(work: (text: string) => Promise<string>): (text: string) => Promise<string> {
  let last: { readonly text: string; readonly made: Promise<string> } | undefined
  return text => {
    if (last?.text !== text) last = { text, made: work(text) }
    return last.made
  }
}

/** The same provider, given compressed prompts. */
function compressingProvider(provider: Provider, compress: (text: string) => Promise<string>): Provider {
  const { forward } = provider
  return {
    ...provider,
    async chat(input) {
      return provider.chat({ ...input, request: saying(input.request, await compress(input.request.text)) })
    },
    ...(forward === undefined
      ? {}
      : { forward: async input => forward({ ...input, body: await compress(input.body) }) }),
  }
}

/** A request with another text, which differs in what is said alone. */
function saying(request: ChatRequest, text: string): ChatRequest {
  if (text === request.text) return request
  const { value, members, messages, messageSpans, preface } = withPreface(
    parseChatRequest(text),
    request.preface?.length ?? 0,
  )
  return { ...request, text, value, members, messages, messageSpans, ...(preface?.length ? { preface } : {}) }
}
