import { expect } from 'vitest'
import { completion } from '../harness/chat.ts'
import type { RawReply, Running } from './running.ts'
import { type Answer, json, stream } from './upstream.ts'
import { answerEvents } from './wire.ts'

/** What the tests of comparisons share. */

export interface ToldReply {
  readonly index: number
  readonly call_id: string
  readonly model: string
  readonly status?: string
  readonly error?: { readonly message: string; readonly code: string | null } | null
  readonly completion?: unknown
}

export interface ToldComparison {
  readonly object: 'comparison'
  readonly id: string
  readonly conversation_id: string
  readonly replies: readonly ToldReply[]
}

export const question = (more: Record<string, unknown> = {}) => ({
  models: ['one', 'two'],
  messages: [{ role: 'user', content: 'Who?' }],
  ...more,
})

/** The model that a request asks. */
export const modelOf = ({ text }: { readonly text: string }): string =>
  (JSON.parse(text) as { model: string }).model

/** Says which model it is. */
export const byName: Answer = (reply, request) => {
  const words = `I am ${modelOf(request)}`
  const isStream = request.text.includes('"stream":true')
  return (isStream ? stream(answerEvents(words.split(' '))) : json(completion(words)))(reply, request)
}

/** Answers each model as `answers` says. */
export const each =
  (answers: Readonly<Record<string, Answer>>): Answer =>
  (reply, request) =>
    (answers[modelOf(request)] ?? byName)(reply, request)

type Asker = Pick<Running, 'send' | 'key'>

function post({ send, key }: Asker, path: string, body: unknown, headers = {}): Promise<RawReply> {
  return send('POST', path, {
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

export function compare(running: Asker, body: unknown = question(), headers = {}): Promise<RawReply> {
  return post(running, '/v1/comparisons', body, headers)
}

export function choose(running: Asker, id: string, body: unknown, headers = {}): Promise<RawReply> {
  return post(running, `/v1/comparisons/${id}/choice`, body, headers)
}

/** What a comparison came to. */
export function told(reply: RawReply): ToldComparison {
  expect(reply.status, reply.text).toBe(200)
  return reply.text.startsWith('{')
    ? (JSON.parse(reply.text) as ToldComparison)
    : (eventsIn(reply.text).findLast(({ object }) => object === 'comparison') as unknown as ToldComparison)
}

/** The events of a stream, but for the last. */
export function eventsIn(text: string): Record<string, unknown>[] {
  return text
    .split('\n\n')
    .filter(event => event !== '' && event !== 'data: [DONE]')
    .map(event => JSON.parse(event.slice('data: '.length)) as Record<string, unknown>)
}

export async function statuses({ stele }: Running): Promise<[string, string, string | undefined][]> {
  const calls = await stele.calls.list()
  return calls.reverse().map(({ requestModel, status, errorCode }) => [requestModel, status, errorCode])
}
