import type { BegunCall, Outcome, PlacedCall, SettledCall } from '../../src/model/call.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import type { Stele } from '../../src/stele.ts'

export interface WireMessage {
  readonly role: string
  readonly content: unknown
  readonly [member: string]: unknown
}

export const user = (content: unknown): WireMessage => ({ role: 'user', content })
export const system = (content: string): WireMessage => ({ role: 'system', content })
export const assistant = (content: string | null, more: Record<string, unknown> = {}): WireMessage => ({
  role: 'assistant',
  content,
  ...more,
})

/** The body of a chat-completions request in the spelling of OpenAI's JavaScript client. */
export function chatBody(messages: readonly unknown[], parameters: Record<string, unknown> = {}): string {
  return JSON.stringify({ model: 'test-model', messages, ...parameters })
}

export interface ReplyOptions {
  readonly id?: string
  readonly message?: Record<string, unknown>
  readonly usage?: Record<string, unknown> | null
  readonly model?: string
}

/** The body of a provider's reply. */
export function completionBody(content: string | null, options: ReplyOptions = {}): string {
  return JSON.stringify(completion(content, options))
}

export function completion(content: string | null, options: ReplyOptions = {}): Record<string, unknown> {
  return {
    id: options.id ?? 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_760_000_000,
    model: options.model ?? 'test-model-2026',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, refusal: null, annotations: [], ...options.message },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: options.usage ?? { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  }
}

/** A reply that came whole. */
export function completed(body: string | Uint8Array, more: Partial<Outcome> = {}): Outcome {
  return { status: 'completed', httpStatus: 200, contentType: 'application/json', body, ...more }
}

/** A settled call whose place is known, as it is while the database answers. */
export type PlacedSettledCall = SettledCall & { readonly conversationId: string }

export interface Exchange {
  readonly call: PlacedCall
  readonly settled: PlacedSettledCall
  readonly request: string
  readonly response: string
}

/** One call from begin to settle. `reply` is the text that the provider's message holds. */
export async function exchange(
  stele: Stele,
  messages: readonly unknown[] | string,
  reply: string,
  input: Partial<BeginInput> = {},
): Promise<Exchange> {
  const request = typeof messages === 'string' ? messages : chatBody(messages)
  const response = completionBody(reply)
  const call = await begin(stele, request, input)
  const settled = await settle(stele, call, completed(response))
  return { call, settled, request, response }
}

export async function begin(
  stele: Stele,
  body: BeginInput['body'],
  input: Partial<BeginInput> = {},
): Promise<PlacedCall> {
  return placed(await stele.recorder.begin({ userId: 'ada', provider: 'test', body, ...input }))
}

export async function settle(stele: Stele, call: BegunCall, outcome: Outcome): Promise<PlacedSettledCall> {
  return placed(await stele.recorder.settle(call, outcome))
}

/** A call that the database itself has taken, not a spool. */
function placed<T extends { conversationId: string | undefined }>(call: T): T & { conversationId: string } {
  const { conversationId } = call
  if (conversationId === undefined) throw new Error('the call has no place yet')
  return { ...call, conversationId }
}

/** What is stored as the exact request and reply of a call, as text. */
export async function reproduced(
  stele: Stele,
  callId: string,
  userId = 'ada',
): Promise<{ request: string; response: string | undefined }> {
  const request = await stele.calls.exactRequest(userId, callId)
  const response = await stele.calls.exactResponse(userId, callId)
  return { request: request.toString('utf8'), response: response?.toString('utf8') }
}

/** The whole history of a conversation, oldest message first, parsed. */
export async function historyOf(
  stele: Stele,
  conversationId: string,
  userId = 'ada',
): Promise<WireMessage[]> {
  const messages = await stele.messages.list({ userId, conversationId, limit: 10_000 })
  return messages.map(({ raw }) => JSON.parse(raw) as WireMessage)
}
