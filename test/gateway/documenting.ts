import type { DocumentTypeDefinition } from '../../src/documents/definition.ts'
import { planInput, planType } from '../harness/documents.ts'
import { type RawReply, type Running, type RunningOptions, startGateway } from './running.ts'
import { type Answer, startUpstream, type Upstream } from './upstream.ts'

/** A gateway that makes documents, and the stand-in that it asks. */
export interface Documenting extends Running {
  readonly upstream: Upstream
  /** POST /v1/documents/{type} */
  generate(
    body?: unknown,
    more?: { type?: string; key?: string; headers?: Record<string, string> },
  ): Promise<RawReply>
  /** With the key, and a body as JSON. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<RawReply>
  /** The requests that the stand-in got, parsed. */
  asked(): Record<string, unknown>[]
}

export async function withDocuments(
  answers: readonly Answer[],
  { type = planType(), ...options }: RunningOptions & { readonly type?: DocumentTypeDefinition } = {},
): Promise<Documenting> {
  const upstream = await startUpstream(...answers)
  const running = await startGateway({ upstream, ...options })
  await running.stele.documents.register(type)
  const ask: Documenting['ask'] = (method, path, body, headers = {}) =>
    running.send(method, path, {
      headers: {
        authorization: `Bearer ${running.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  return {
    ...running,
    upstream,
    ask,
    generate: (
      body = { input: planInput },
      { type: name = type.name, key = running.key, headers = {} } = {},
    ) => ask('POST', `/v1/documents/${name}`, body, { authorization: `Bearer ${key}`, ...headers }),
    asked: () => upstream.journal.map(({ text }) => JSON.parse(text) as Record<string, unknown>),
  }
}

export type Fields = Record<string, unknown>

export const fieldsOf = (reply: RawReply): Fields => JSON.parse(reply.text) as Fields
