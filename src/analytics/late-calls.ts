import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { lowestIdAt } from '../ids.ts'
import { dayAt, sumColumns } from './measures.ts'
import { progressRow } from './progress.ts'
import { emptySums, levelsOf, rollupKey } from './rollups.ts'

/** How long after the time in its id a call is summed up at the earliest, in milliseconds. */
export const settlingTime = 120_000

/** A call that is written this long after the time in its id may have been passed by; half, as clocks and commits take time. */
const lateAfter = settlingTime / 2

/**
 * Notes calls that are written long after their ids were made: imports, drained spools, requests whose bodies came slowly. The
 * summing may have passed their ids, so it is told of them, in the transaction that writes them. Nothing for any other call.
 */
export async function noteLateCalls(
  batch: Batch,
  calls: readonly Pick<Row<'llm_requests'>, 'id' | 'user_id'>[],
): Promise<void> {
  const bound = boundAt(Date.now())
  const late = calls.filter(({ id }) => id < bound)
  if (late.length === 0) return
  await batch.insertAbsent(
    'usage_pending',
    late.map(({ id, user_id }) => ({ call_id: id, user_id })),
  )
}

let last = { second: 0, bound: '' }

/** Made once a second: an id is dear to make for every batch. */
function boundAt(now: number): string {
  const second = Math.floor(now / 1000)
  if (second !== last.second) last = { second, bound: lowestIdAt('call', second * 1000 - lateAfter) }
  return last.bound
}

/** A call that was given up as orphaned, and the time at which it was, in milliseconds since 1970. */
export interface GivenUp {
  readonly userId: string
  readonly callId: string
  readonly at: number
}

/**
 * Takes calls out of the sums that were given up and had not been lost: in the transaction that writes how they really ended.
 * They are added again like calls that come late. Nobody took time for an orphan, so there is none to take back.
 */
export async function takeOutOrphans(batch: Batch, orphans: readonly GivenUp[]): Promise<void> {
  // Also for a row that is being made: so this waits for whoever makes it.
  await batch.insertAbsent('usage_progress', [progressRow])
  const [progress] = await batch.find('usage_progress', ['name'], [progressRow], ['rolled_to'], {
    lock: true,
  })
  const passed = orphans.filter(({ callId }) => callId < (progress?.rolled_to ?? ''))
  const keys = passed.map(({ userId, callId }) => ({ call_id: callId, user_id: userId }))
  const pending = await batch.find('usage_pending', ['call_id', 'user_id'], keys, ['call_id', 'user_id'])
  const counted = passed.filter(
    ({ userId, callId }) => !pending.some(row => row.call_id === callId && row.user_id === userId),
  )
  if (counted.length === 0) return
  const requests = await batch.find(
    'llm_requests',
    ['user_id', 'id'],
    counted.map(({ userId, callId }) => ({ user_id: userId, id: callId })),
    [
      'user_id',
      'id',
      'provider',
      'request_model',
      'operation',
      'api_key_id',
      'document_type',
      'conversation_id',
    ],
  )
  const rollups = new Map<string, Row<'usage_rollups'>>()
  const conversations = new Map<string, Row<'usage_conversations'>>()
  for (const request of requests) {
    const orphan = counted.find(({ userId, callId }) => callId === request.id && userId === request.user_id)
    const { user_id, provider, operation, request_model: model, api_key_id, conversation_id } = request
    const document_type = request.document_type ?? ''
    const day = dayAt(orphan?.at ?? 0)
    const own = { day, user_id, model, provider, operation, document_type, api_key_id: api_key_id ?? '' }
    for (const key of levelsOf(own)) {
      const text = JSON.stringify(key)
      const row = rollups.get(text) ?? emptySums(key)
      rollups.set(text, {
        ...row,
        calls: row.calls - 1,
        errors: row.errors - 1,
        unpriced_calls: row.unpriced_calls - 1,
      })
    }
    if (conversation_id === '') continue
    const place = { day, user_id, conversation_id }
    const text = JSON.stringify(place)
    const calls = (conversations.get(text)?.calls ?? 0) - 1
    conversations.set(text, { ...place, calls, tokens: 0, cost_nanousd: 0 })
  }
  await batch.insertOrAdd('usage_rollups', rollupKey, sumColumns, [...rollups.values()])
  await batch.insertOrAdd(
    'usage_conversations',
    ['day', 'user_id', 'conversation_id'],
    ['calls'],
    [...conversations.values()],
  )
  await batch.insertAbsent(
    'usage_pending',
    counted.map(({ userId, callId }) => ({ call_id: callId, user_id: userId })),
  )
}
