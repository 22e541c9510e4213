import type OpenAI from 'openai'
import { expect } from 'vitest'
import { openapiIsThere, validateOpenAI } from '../harness/openapi.ts'
import type { UpstreamRequest } from './upstream.ts'

export type Response = OpenAI.Responses.Response
export type ResponseEvent = OpenAI.Responses.ResponseStreamEvent

/** Fails unless `value` is what OpenAI's description says. Everything passes where that is not at hand. */
export function expectOpenAI(schema: string, value: unknown): void {
  if (openapiIsThere) expect(validateOpenAI(schema, value), schema).toEqual([])
}

/** The same of a reply of the official client, which adds members of its own. */
export function expectResponse(response: Response): Response {
  const { output_text: _, _request_id: __, ...sent } = response as Response & { _request_id?: string }
  expectOpenAI('Response', sent)
  return response
}

/** Every event of a stream, each held against OpenAI's description, numbered without gaps. */
export async function eventsOf(stream: AsyncIterable<ResponseEvent>): Promise<ResponseEvent[]> {
  const events: ResponseEvent[] = []
  for await (const event of stream) {
    expectOpenAI('ResponseStreamEvent', event)
    expect(event.sequence_number).toBe((events.at(-1)?.sequence_number ?? event.sequence_number - 1) + 1)
    events.push(event)
  }
  return events
}

/** The response that the last event of a stream brings. */
export function lastResponse(events: readonly ResponseEvent[]): Response {
  const last = events.at(-1)
  if (last === undefined || !('response' in last)) throw new Error('the stream does not end with a response')
  return last.response
}

/** What an upstream was asked, as JSON. */
export function askedOf({ text }: UpstreamRequest): {
  model: string
  messages: { role: string; content: unknown; tool_calls?: unknown[]; tool_call_id?: string }[]
  [parameter: string]: unknown
} {
  return JSON.parse(text) as ReturnType<typeof askedOf>
}

export const weather = {
  type: 'function' as const,
  name: 'weather',
  description: 'The weather of a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: true,
}
