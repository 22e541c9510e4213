import { expect } from 'vitest'
import { lowestIdAt, newId } from '../../src/ids.ts'
import type { BegunCall, Outcome } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, chatBody, completed, completionBody, reproduced, user } from '../harness/chat.ts'
import type { Place } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'

/** Calls that commands can be about. Few, so that repeats and conflicts are common. */
export const slots = 6

/** What can be asked under an id, and how it can end. */
export type Variant = 0 | 1
export type Ending = 'completed' | 'failed' | 'aborted'

interface ModelCall {
  readonly variant: Variant
  /** How it ended; undefined while it is open. */
  readonly status: Ending | 'orphaned' | undefined
}

/** What a recorder must have on record: for each id at most one call, ended at most once. */
export class RecorderModel {
  readonly calls: (ModelCall | undefined)[] = Array.from({ length: slots }, () => undefined)

  get openCount(): number {
    return this.calls.filter(call => call !== undefined && call.status === undefined).length
  }

  /** What beginning must do. */
  begin(slot: number, variant: Variant): 'begun' | 'call_id_conflict' {
    const call = this.calls[slot]
    if (call !== undefined && call.variant !== variant) return 'call_id_conflict'
    this.calls[slot] ??= { variant, status: undefined }
    return 'begun'
  }

  /** What settling a begun call must do. */
  settle(slot: number, status: Ending): 'settled' | 'repeated' | 'call_orphaned' {
    const call = this.calls[slot]
    if (call === undefined) throw new Error('only begun calls are settled')
    if (call.status === 'orphaned') return 'call_orphaned'
    if (call.status !== undefined) return 'repeated'
    this.calls[slot] = { ...call, status }
    return 'settled'
  }

  /** What recording a whole call must do: begin and settle, or neither. */
  record(
    slot: number,
    variant: Variant,
    status: Ending,
  ): ReturnType<RecorderModel['settle']> | 'call_id_conflict' {
    const begun = this.begin(slot, variant)
    return begun === 'begun' ? this.settle(slot, status) : begun
  }

  /** The process ends without a word and another takes its place. */
  crash(): void {
    for (const [slot, call] of this.calls.entries())
      if (call !== undefined && call.status === undefined) this.calls[slot] = { ...call, status: 'orphaned' }
  }
}

/** The recorder under test. */
export interface RealRecorder {
  readonly place: Place
  readonly ids: readonly string[]
  readonly begun: Map<number, BegunCall>
  stele: Stele
}

const anHour = 3_600_000

export async function startRecorder(place: Place): Promise<RealRecorder> {
  // Half of the ids are older than the process: what recovery looks through must be moved back for them.
  const ids = Array.from({ length: slots }, (_, slot) =>
    slot % 2 === 0 ? newId('call') : lowestIdAt('call', Date.now() - anHour + slot),
  )
  return { place, ids, begun: new Map(), stele: await place.stele() }
}

/** The request under an id; slots share questions, so that calls meet in conversations and fork them. */
export function requestOf(slot: number, variant: Variant): string {
  const question = `question ${slot % 3}`
  return chatBody(
    variant === 0
      ? [user(question)]
      : [user(question), assistant(`answer to ${question}`), user('and then?')],
  )
}

const endedAt = Date.UTC(2026, 0, 31, 12)

export function outcomeOf(slot: number, status: Ending): Outcome {
  const body = completionBody(`answer to question ${slot % 3}`, { id: `chatcmpl-${slot}` })
  return status === 'failed'
    ? { status, errorCode: 'provider_timeout', createdAt: endedAt }
    : completed(body, { status, createdAt: endedAt })
}

/** The whole record equals the model: calls, their exact texts, usage, audit events, numbering. */
export async function expectRecord(
  model: RecorderModel,
  stele: Stele,
  ids: readonly string[],
): Promise<void> {
  const begun = model.calls.flatMap((call, slot) => (call === undefined ? [] : [{ ...call, slot }]))
  const requests = await rowsOf(stele, 'llm_requests')
  expect(requests.map(row => row.id).sort()).toEqual(begun.map(({ slot }) => ids[slot]).sort())
  for (const { slot, variant, status } of begun) {
    const id = ids[slot] ?? ''
    const { request, response } = await reproduced(stele, id)
    expect(request).toBe(requestOf(slot, variant))
    const body = status === 'completed' || status === 'aborted' ? outcomeOf(slot, status).body : undefined
    expect(response).toBe(body)
    expect((await stele.calls.get('ada', id))?.status).toBe(status ?? 'pending')
  }

  const ended = begun.filter(({ status }) => status !== undefined)
  const events = await rowsOf(stele, 'audit_events')
  expect(events.map(row => `${row.target} ${row.outcome}`).sort()).toEqual(
    [
      ...begun.map(({ slot }) => `${ids[slot]} success`),
      ...ended.map(({ slot, status }) => `${ids[slot]} ${status}`),
    ].sort(),
  )
  const usage = await rowsOf(stele, 'usage_daily')
  const total = (column: 'calls' | 'errors' | 'input_tokens' | 'output_tokens'): number =>
    usage.reduce((sum, row) => sum + row[column], 0)
  const errors = ended.filter(({ status }) => status === 'failed' || status === 'orphaned').length
  expect([total('calls'), total('errors'), total('input_tokens'), total('output_tokens')]).toEqual([
    ended.length,
    errors,
    (ended.length - errors) * 10,
    (ended.length - errors) * 5,
  ])

  const messages = await rowsOf(stele, 'messages')
  for (const { id, parent_seq: parentSeq, next_seq: nextSeq } of await rowsOf(stele, 'conversations')) {
    const numbers = messages.filter(row => row.conversation_id === id).map(row => row.seq)
    const first = (parentSeq ?? -1) + 1
    expect(numbers.sort((a, b) => a - b)).toEqual(
      Array.from({ length: nextSeq - first }, (_, index) => first + index),
    )
  }
}
