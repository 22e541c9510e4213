import { PassThrough, Readable } from 'node:stream'
import OpenAI from 'openai'
import { pino } from 'pino'
import { Agent, request } from 'undici'
import { expect, onTestFinished } from 'vitest'
import { pricingOf, resolveConfig } from '../../src/config.ts'
import { createGateway, type Gateway } from '../../src/gateway/app.ts'
import { logOptions } from '../../src/gateway/logger.ts'
import { createProviders } from '../../src/providers/registry.ts'
import type { Timing } from '../../src/providers/timing.ts'
import type { Stele } from '../../src/stele.ts'
import type { SteleOptions } from '../../src/stele-options.ts'
import type { Scope } from '../../src/store/api-keys.ts'
import type { Call } from '../../src/store/calls.ts'
import { memoryPlace, type Place } from '../harness/databases.ts'
import type { Upstream } from './upstream.ts'

export interface RunningOptions {
  /** In memory when left out. */
  readonly place?: Place
  /** Becomes the default provider, called `test`. */
  readonly upstream?: Upstream
  /** Settings of the provider `test`. It is asked once, unless they say otherwise. */
  readonly provider?: Record<string, unknown>
  /** Any other settings, as in the configuration file. */
  readonly config?: Record<string, unknown>
  readonly store?: SteleOptions
  /** Real when left out. */
  readonly timing?: Timing
}

export interface RawReply {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly bytes: Buffer
  readonly text: string
}

type Body = string | Uint8Array | Readable

const isBody = (value: unknown): value is Body =>
  typeof value === 'string' || value instanceof Uint8Array || value instanceof Readable

/** A gateway in this process, over real HTTP, on a real store. */
export interface Running {
  readonly address: string
  readonly stele: Stele
  readonly place: Place
  readonly gateway: Gateway
  /** A key of the user `ada`. */
  readonly key: string
  /** Everything logged so far. */
  readonly log: () => string
  newKey(userId: string, ...scopes: Scope[]): Promise<string>
  /** The official client. */
  client(options?: { apiKey?: string; defaultHeaders?: Record<string, string> }): OpenAI
  /** POST /v1/chat/completions with exactly these bytes. */
  post(body: Body | object, headers?: Record<string, string>): Promise<RawReply>
  send(
    method: string,
    path: string,
    options?: { headers?: Record<string, string>; body?: Body },
  ): Promise<RawReply>
}

export async function startGateway(options: RunningOptions = {}): Promise<Running> {
  const place = options.place ?? (await memoryPlace())
  const { upstream, provider } = options
  const test =
    upstream === undefined && provider === undefined
      ? {}
      : { test: { baseUrl: upstream?.baseUrl, retries: 0, ...provider } }
  const { providers: others, ...settings } = options.config ?? {}
  const providers = { ...test, ...(others as object | undefined) }
  const config = resolveConfig(
    { ...('test' in test ? { defaultProvider: 'test' } : {}), providers, ...settings },
    {},
  )
  const stele = await place.stele({ pricing: pricingOf(config), ...options.store })
  const registry = createProviders(config, stele, options.timing)

  const written: Buffer[] = []
  const sink = new PassThrough().on('data', (line: Buffer) => void written.push(line))
  const logger = pino({ level: 'trace', ...logOptions }, sink)
  const gateway = createGateway({ stele, providers: registry, logger, settings: config })
  const address = await gateway.app.listen({ host: '127.0.0.1', port: 0 })
  const agent = new Agent({ headersTimeout: 15_000, bodyTimeout: 15_000 })
  onTestFinished(async () => {
    await agent.destroy()
    const closing = gateway.app.close()
    gateway.app.server.closeAllConnections()
    await closing
    await registry.close()
  })

  const newKey = async (userId: string, ...scopes: Scope[]): Promise<string> =>
    (await stele.apiKeys.create({ userId, ...(scopes.length > 0 ? { scopes } : {}) })).secret
  const key = await newKey('ada')
  const send: Running['send'] = async (method, path, { headers, body } = {}) => {
    const response = await request(address + path, {
      dispatcher: agent,
      method: method as 'GET',
      headers: headers ?? {},
      body: body ?? null,
    })
    const bytes = Buffer.from(await response.body.arrayBuffer())
    return { status: response.statusCode, headers: response.headers, bytes, text: bytes.toString('utf8') }
  }
  return {
    address,
    stele,
    place,
    gateway,
    key,
    log: () => Buffer.concat(written).toString('utf8'),
    newKey,
    client: ({ apiKey = key, ...more } = {}) =>
      new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 15_000, ...more }),
    post: (body, headers = {}) =>
      send('POST', '/v1/chat/completions', {
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
        body: isBody(body) ? body : JSON.stringify(body),
      }),
    send,
  }
}

export interface RecordedCall {
  readonly call: Call
  readonly request: string
  readonly response: string | undefined
}

/** What the store holds of a call, and its exact texts. */
export async function recorded({ stele }: Pick<Running, 'stele'>, callId: unknown): Promise<RecordedCall> {
  expect(callId, 'x-stele-call-id').toMatch(/^call_[0-9a-z]{26}$/)
  const call = await stele.calls.find(callId as string)
  if (call === undefined) throw new Error(`the call ${String(callId)} is not recorded`)
  const request = await stele.calls.exactRequest(call.userId, call.id)
  const response = await stele.calls.exactResponse(call.userId, call.id)
  return { call, request: request.toString('utf8'), response: response?.toString('utf8') }
}

/** The only call there is. */
export async function onlyCall(running: Pick<Running, 'stele'>): Promise<RecordedCall> {
  const calls = await running.stele.calls.list()
  expect(calls).toHaveLength(1)
  return recorded(running, calls[0]?.id)
}

/** The error of a reply in OpenAI's shape; fails unless it is one and gives nothing away. */
export function errorOf(reply: RawReply): {
  message: string
  type: string
  param: string | null
  code: string
} {
  expect(reply.headers['content-type']).toMatch(/^application\/json/)
  expect(reply.headers['x-stele-call-id']).toMatch(/^call_[0-9a-z]{26}$/)
  const body = JSON.parse(reply.text) as { error: ReturnType<typeof errorOf> }
  expect(Object.keys(body)).toEqual(['error'])
  expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'type'])
  expect(reply.text).not.toMatch(/\bat .*\.(ts|js)\b|node:internal|node_modules|\/work\//)
  return body.error
}
