import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { begunRecord, contentDigest, saltPlace, settledRecord } from '../model/call-record.ts'
import { callStore } from '../store/calls.ts'
import type { Reading } from '../store/contents.ts'
import { readSalts } from '../store/salts.ts'
import { commitContent } from './event-form.ts'

/** An event of a call, as far as it commits to what is on record of that. */
export type CallEvent = Pick<
  Row<'audit_events'>,
  'action' | 'user_id' | 'target' | 'outcome' | 'commitment' | 'created_at'
>

/** What a commitment opens with: SHA-256(salt ‖ text). */
export interface Opening {
  readonly salt: Buffer
  readonly text: string
}

/**
 * What is on record of a call against what its event has committed to. `gone`: nobody can tell any more, because it was erased, has
 * expired or was cleared; `replaced`: it was given up for lost, and has another end now, which a later event of the same call has to tell.
 */
export type CallVerdict =
  | { readonly kind: 'same'; readonly opening: Opening }
  | {
      readonly kind: 'changed'
      readonly reason: string
      /** Nothing is there of what was said: then a user who was erased, and has another key since, has another salt for it. */
      readonly mayBeErased?: boolean
    }
  | { readonly kind: 'gone' }
  | { readonly kind: 'replaced' }
  | { readonly kind: 'none' }

/** Errors that say that content is not there any more, not that it is not what it was. */
const goneCodes: ReadonlySet<string> = new Set(['content_not_kept', 'content_erased', 'call_not_found'])

/** Why a call that has another end than its event says is changed. */
export function otherEnd(callId: string): string {
  return `the end of ${callId} is not the one its event committed to`
}

/** @throws SteleError store_unavailable */
export async function checkCall(reading: Reading, event: CallEvent): Promise<CallVerdict> {
  const { action, user_id: userId, target: callId, commitment } = event
  if (commitment === null || callId === null) return { kind: 'none' }
  const asked = await recordOf(reading, event, callId)
  if ('kind' in asked) return asked
  const [salt] = await readSalts(reading, [{ userId, place: saltPlace(action, callId) }])
  if (salt === undefined) return { kind: 'gone' }
  const { text, isWhole } = asked
  if (commitContent(salt, text).equals(commitment)) return { kind: 'same', opening: { salt, text } }
  if (!isWhole) return { kind: 'gone' }
  const reason = `what is on record of ${callId} is not what ${action} committed to`
  return { kind: 'changed', reason, mayBeErased: asked.isSilent === true }
}

/** What the commitment must be to, by what is on record now. */
interface Asked {
  readonly text: string
  /** False when the reply is not kept: then there is a commitment to what is left only if it never was. */
  readonly isWhole: boolean
  /** True of an end without a reply. */
  readonly isSilent?: boolean
}

async function recordOf(reading: Reading, event: CallEvent, callId: string): Promise<Asked | CallVerdict> {
  const calls = callStore(reading)
  const { action, user_id: userId, outcome } = event
  try {
    if (action === 'call.begun') {
      const request = await calls.exactRequest(userId, callId)
      const call = await calls.get(userId, callId)
      if (call === undefined) return { kind: 'gone' }
      const { requestModel: model, operation, provider } = call
      return {
        text: begunRecord({ model, operation, provider, request: contentDigest(request) }),
        isWhole: true,
      }
    }
    if (action !== 'call.settled') return { kind: 'none' }
    const facts = await calls.settledFacts(userId, callId)
    if (facts === undefined) return { kind: 'changed', reason: `the end of ${callId} is not on record` }
    if (facts.status !== outcome) {
      if (outcome === 'orphaned') return { kind: 'replaced' }
      return { kind: 'changed', reason: otherEnd(callId) }
    }
    const response = await calls.exactResponse(userId, callId).catch(whenNotKept)
    if (response === 'not kept') return { text: settledRecord(facts, undefined), isWhole: false }
    const text = settledRecord(facts, response && contentDigest(response))
    return { text, isWhole: true, isSilent: response === undefined }
  } catch (error) {
    // A list of its columns is no JSON any more.
    if (error instanceof SyntaxError)
      return { kind: 'changed', reason: `what is on record of ${callId} cannot be read` }
    if (!(error instanceof SteleError)) throw error
    if (goneCodes.has(error.code)) return { kind: 'gone' }
    if (error.code === 'content_unreadable') return { kind: 'changed', reason: error.message }
    throw error
  }
}

function whenNotKept(error: unknown): 'not kept' {
  if (error instanceof SteleError && error.code === 'content_not_kept') return 'not kept'
  throw error
}
