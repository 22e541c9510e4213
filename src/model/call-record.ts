import { hash } from 'node:crypto'
import type { Row } from '../db/tables.ts'

/**
 * What is committed to of a call, beside its audit events: JSON texts with their members in alphabetical order (RFC 8785). They
 * hold a digest of the exact bytes, so they are only ever hashed with a salt that ends with the user's keys.
 */

/** SHA-256 of a request or a reply, in lower-case hexadecimal digits. */
export function contentDigest(content: string | Uint8Array): string {
  return hash('sha256', content)
}

/** What `call.begun` commits to. */
export function begunRecord({
  model,
  operation,
  provider,
  request,
}: {
  readonly model: string
  readonly operation: string
  readonly provider: string
  /** The digest of the request. */
  readonly request: string
}): string {
  return JSON.stringify({ model, operation, provider, request, v: 1 })
}

/** The facts of a reply that nothing changes any more. */
export type SettledFacts = Pick<
  Row<'llm_responses'>,
  | 'status'
  | 'http_status'
  | 'response_model'
  | 'finish_reasons'
  | 'input_tokens'
  | 'output_tokens'
  | 'cache_read_input_tokens'
  | 'reasoning_output_tokens'
>

/** What `call.settled` commits to. @param response the digest of the reply; undefined when there is none */
export function settledRecord(facts: SettledFacts, response: string | undefined): string {
  return JSON.stringify({
    cache_read_input_tokens: facts.cache_read_input_tokens,
    finish_reasons: facts.finish_reasons,
    http_status: facts.http_status,
    input_tokens: facts.input_tokens,
    output_tokens: facts.output_tokens,
    reasoning_output_tokens: facts.reasoning_output_tokens,
    response: response ?? null,
    response_model: facts.response_model,
    status: facts.status,
    v: 1,
  })
}

/** Whether an event of this kind commits to a call: with a salt of its own store, so that it says nothing in another. */
export function commitsToCall(action: string): boolean {
  return action === 'call.begun' || action === 'call.settled'
}

/** Actions of the events that an import makes of a call: they tell of its end, too, whenever that came. */
const tellingOfImport = ['call.imported', 'document.generated', 'document.generate'] as const

/** Actions of the events that tell that a call was begun, and of those that tell how it ended; the target is the call. */
export const tellingOfRequest: readonly string[] = ['call.begun', ...tellingOfImport]
export const tellingOfEnd: readonly string[] = ['call.settled', ...tellingOfImport]

/** The place that the salt of such a commitment is made for: `action` is that of the event, `callId` its target. */
export function saltPlace(action: string, callId: string): string {
  return `${action} ${callId}`
}
