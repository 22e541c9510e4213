import type { Readable } from 'node:stream'
import { Pool } from 'undici'
import type { ProviderConfig } from '../config.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isFields } from '../model/reply.ts'
import { upstreamBody } from '../model/upstream-body.ts'
import type { ForwardedOperation, Model, Provider, ProviderResponse } from './provider.ts'

/** What nearly every service offers that offers it at all; a service without one answers for itself. */
const forwarded = ['embeddings', 'moderations', 'completions'] as const

/** Reply headers that tell a client something; the rest describes a connection that is not the client's. */
const passedOn =
  /^(retry-after|retry-after-ms|x-should-retry|x-request-id|openai-processing-ms|x-ratelimit-.*)$/

/** Any service that speaks OpenAI's chat-completions API: OpenAI, Ollama, vLLM, OpenRouter, Groq, Gemini, Anthropic. */
export function openaiCompatible(name: string, config: ProviderConfig): Provider {
  const base = new URL(config.baseUrl ?? '')
  const speaksResponses = config.responses ?? base.hostname === 'api.openai.com'
  const path = base.pathname.replace(/\/+$/, '')
  const pool = new Pool(base.origin, {
    connections: config.connections,
    connect: { timeout: config.connectTimeout * 1000 },
    headersTimeout: config.firstByteTimeout * 1000,
    bodyTimeout: config.idleTimeout * 1000,
  })
  const headers = {
    'content-type': 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'stele',
    ...(config.apiKey === undefined ? {} : { authorization: `Bearer ${config.apiKey}` }),
    ...config.headers,
  }

  const post = async (
    operation: 'chat/completions' | ForwardedOperation,
    body: string,
    signal: AbortSignal,
  ): Promise<ProviderResponse> => {
    try {
      const response = await pool.request({
        method: 'POST',
        path: `${path}/${operation}`,
        headers,
        body,
        signal,
      })
      return {
        status: response.statusCode,
        contentType: single(response.headers['content-type']) ?? '',
        headers: passOn(response.headers),
        body: {
          forEach: take =>
            readAll(response.body, take).catch(error => Promise.reject(providerFailure(name, config, error))),
          async *[Symbol.asyncIterator]() {
            try {
              yield* response.body as AsyncIterable<Uint8Array>
            } catch (error) {
              throw providerFailure(name, config, error)
            }
          },
        },
      }
    } catch (error) {
      throw providerFailure(name, config, error)
    }
  }

  const port = Number(base.port) || (base.protocol === 'http:' ? 80 : 443)
  return {
    name,
    address: { host: base.hostname, port },
    asksUsage: config.streamUsage,
    chat: ({ request, model, signal }) =>
      post('chat/completions', upstreamBody(request, model, config.streamUsage), signal),
    forwards: new Set(speaksResponses ? [...forwarded, 'responses' as const] : forwarded),
    forward: ({ operation, body, signal }) => post(operation, body, signal),
    async models(signal) {
      if (config.models !== undefined) return config.models.map(id => ({ id, created: 0, ownedBy: name }))
      const { statusCode: status, body } = await pool
        .request({ method: 'GET', path: `${path}/models`, headers, signal })
        .catch(error => Promise.reject(providerFailure(name, config, error)))
      if (status !== 200) {
        await body.dump()
        throw new SteleError('provider_error', { provider: name, status })
      }
      const value = maybeJson(await body.text())
      if (!isFields(value) || !Array.isArray(value['data'])) {
        throw new SteleError('provider_invalid_response', {
          provider: name,
          reason: 'it is not a list of models',
        })
      }
      return value['data'].filter(isFields).flatMap((entry): Model[] => {
        const { id, created, owned_by: ownedBy } = entry
        if (typeof id !== 'string') return []
        return [
          {
            id,
            created: typeof created === 'number' ? created : 0,
            ownedBy: typeof ownedBy === 'string' ? ownedBy : name,
          },
        ]
      })
    },
    close: () => pool.destroy(),
  }
}

function readAll(body: Readable, take: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    body.on('data', (chunk: Uint8Array) => {
      try {
        take(chunk)
      } catch (error) {
        reject(error)
        body.destroy()
      }
    })
    body.on('end', resolve)
    body.on('error', reject)
    body.on('close', () => reject(new Error('the reply ended early')))
  })
}

/** What went wrong between here and the provider, by undici's error codes. */
function providerFailure(provider: string, config: ProviderConfig, error: unknown): unknown {
  const code = (error as { code?: string } | null)?.code
  const timeout = (reason: string) =>
    new SteleError('provider_timeout', { provider, reason }, { cause: error })
  if ((error as { name?: string } | null)?.name === 'AbortError' || error instanceof SteleError) return error
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return timeout(`no connection within ${config.connectTimeout} s`)
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return timeout(`no first byte within ${config.firstByteTimeout} s`)
  if (code === 'UND_ERR_BODY_TIMEOUT') return timeout(`silent for ${config.idleTimeout} s`)
  return new SteleError(
    'provider_unreachable',
    { provider, reason: code ?? reasonOf(error) },
    { cause: error },
  )
}

function passOn(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const name of Object.keys(headers)) {
    const value = single(headers[name])
    if (value !== undefined && passedOn.test(name)) kept[name] = value
  }
  return kept
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
