import { isFields } from '../model/reply.ts'
import type { Thread } from './backend.ts'

/** What a gateway answers with. */
export interface GatewayReply {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: AsyncIterable<Uint8Array> & { text(): Promise<string>; dump(): Promise<unknown> }
}

export interface PostOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** Milliseconds for which it may say nothing. */
  readonly timeout?: number
}

/** Milliseconds for which a gateway may say nothing when it is only asked for what is on record. */
export const readingTimeout = 30_000

/** Asks for the usage at the end of a stream. */
export const asksUsage = ',"stream_options":{"include_usage":true}'

/** Where a call went that was asked for in a thread: a conversation that is another than before has a name of its own. */
export function placedIn({ sessionId, conversationId }: Thread, told: string | undefined): Thread {
  if (told === undefined || told === conversationId) return { sessionId, conversationId }
  const isKnown = conversationId === undefined && sessionId !== undefined
  return { sessionId: isKnown ? sessionId : told, conversationId: told }
}

export function threadHeader({ conversationId }: Thread): Record<string, string> {
  return conversationId === undefined ? {} : { 'x-stele-conversation': conversationId }
}

/** The code of an error in OpenAI's shape. */
export function codeOf(value: unknown): unknown {
  return isFields(value) && isFields(value['error']) ? value['error']['code'] : undefined
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
