import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { commitsToCall } from '../model/call-record.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { nameOf } from '../store/audit-queries.ts'
import { saidIn } from '../store/audit-reading.ts'
import type { Reading } from '../store/contents.ts'
import { fromBase64 } from './base64.ts'
import { checkCall } from './call-contents.ts'
import { commitContent, contentSaltLength } from './event-form.ts'
import type { ErasableContent } from './export-line.ts'

/** An event, as far as it commits to content that is kept elsewhere. */
export type CommittingEvent = Pick<
  Row<'audit_events'>,
  'id' | 'user_id' | 'action' | 'target' | 'outcome' | 'commitment' | 'created_at'
>

/**
 * What is kept of the content that an event commits to: it is the one; or another; or it is gone, erased or expired or never kept, and
 * nobody can tell; `replaced` where only a later event can tell; `none` where the event commits to nothing.
 */
export type ContentVerdict =
  | { readonly kind: 'same'; readonly content: ErasableContent }
  | { readonly kind: 'changed'; readonly reason: string; readonly mayBeErased?: boolean }
  | { readonly kind: 'gone' }
  | { readonly kind: 'replaced' }
  | { readonly kind: 'none' }

/** Holds what is kept against what the event has committed to. @throws SteleError store_unavailable */
export async function committedContent(reading: Reading, event: CommittingEvent): Promise<ContentVerdict> {
  if (event.commitment === null) return { kind: 'none' }
  if (commitsToCall(event.action)) {
    const verdict = await checkCall(reading, event)
    if (verdict.kind !== 'same') return verdict
    const { salt, text } = verdict.opening
    return { kind: 'same', content: { salt, details: text } }
  }
  const said = await saidIn(reading, [event]).catch(whenUnreadable)
  if (typeof said === 'string') return { kind: 'changed', reason: said }
  const text = said.get(nameOf(event.id, event.user_id))
  if (text === undefined) return { kind: 'gone' }
  const content = openingIn(text)
  if (content !== undefined && commitContent(content.salt, content.details).equals(event.commitment))
    return { kind: 'same', content }
  return { kind: 'changed', reason: 'what was said in the event is not what it committed to' }
}

function whenUnreadable(error: unknown): string {
  if (error instanceof SteleError && error.code === 'content_unreadable') return error.message
  throw error
}

function openingIn(text: string): ErasableContent | undefined {
  const { salt, details } = (maybeJson(text) ?? {}) as { readonly salt?: unknown; readonly details?: unknown }
  const bytes = typeof salt === 'string' ? fromBase64(salt) : undefined
  if (bytes?.byteLength !== contentSaltLength || typeof details !== 'string') return undefined
  return { salt: bytes, details }
}
