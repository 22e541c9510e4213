import type { StoredBatch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import type { CostChange } from '../pricing/reprice-step.ts'
import { dayAt, sumColumns } from './measures.ts'
import { progressRow } from './progress.ts'
import { emptySums, levelsOf, rollupKey } from './rollups.ts'

/** Changes the sums that hold such calls by as much, in the transaction that changes the calls. */
export async function changeSummedCosts(batch: StoredBatch, changes: readonly CostChange[]): Promise<void> {
  // Also for a row that is being made: so this waits for whoever makes it.
  await batch.insertAbsent('usage_progress', [progressRow])
  const [progress] = await batch.find('usage_progress', ['name'], [progressRow], ['rolled_to'], {
    lock: true,
  })
  const passed = changes.filter(({ callId }) => callId < (progress?.rolled_to ?? ''))
  const keys = passed.map(({ userId, callId }) => ({ call_id: callId, user_id: userId }))
  const pending = await batch.find('usage_pending', ['call_id', 'user_id'], keys, ['call_id', 'user_id'])
  const waiting = new Set(pending.map(row => `${row.call_id} ${row.user_id}`))
  const summed = passed.filter(({ userId, callId }) => !waiting.has(`${callId} ${userId}`))
  if (summed.length === 0) return
  const requests = await batch.find(
    'llm_requests',
    ['user_id', 'id'],
    summed.map(({ userId, callId }) => ({ user_id: userId, id: callId })),
    ['user_id', 'id', 'provider', 'operation', 'api_key_id', 'document_type', 'conversation_id'],
  )
  const responses = await batch.find(
    'llm_responses',
    ['user_id', 'request_id'],
    summed.map(({ userId, callId }) => ({ user_id: userId, request_id: callId })),
    ['user_id', 'request_id', 'conversation_id'],
  )
  const requestOf = new Map(requests.map(row => [`${row.id} ${row.user_id}`, row]))
  const placeOf = new Map(responses.map(row => [`${row.request_id} ${row.user_id}`, row.conversation_id]))
  const rollups = new Map<string, Row<'usage_rollups'>>()
  const conversations = new Map<string, Row<'usage_conversations'>>()
  for (const { userId, callId, model, settledAt, before, after } of summed) {
    const request = requestOf.get(`${callId} ${userId}`)
    if (request === undefined) continue
    const cost = (after ?? 0) - (before ?? 0)
    const unpriced = Number(after === null) - Number(before === null)
    const { provider, operation, api_key_id, document_type } = request
    const day = dayAt(settledAt)
    const whose = { day, user_id: userId, model, provider, operation }
    const own = { ...whose, document_type: document_type ?? '', api_key_id: api_key_id ?? '' }
    for (const key of levelsOf(own)) {
      const text = JSON.stringify(key)
      const row = rollups.get(text) ?? emptySums(key)
      const { cost_nanousd, unpriced_calls } = row
      rollups.set(text, {
        ...row,
        cost_nanousd: cost_nanousd + cost,
        unpriced_calls: unpriced_calls + unpriced,
      })
    }
    const conversationId = placeOf.get(`${callId} ${userId}`) ?? request.conversation_id
    if (conversationId === '') continue
    const place = { day, user_id: userId, conversation_id: conversationId }
    const text = JSON.stringify(place)
    const sum = (conversations.get(text)?.cost_nanousd ?? 0) + cost
    conversations.set(text, { ...place, calls: 0, tokens: 0, cost_nanousd: sum })
  }
  await batch.insertOrAdd('usage_rollups', rollupKey, sumColumns, [...rollups.values()])
  await batch.insertOrAdd(
    'usage_conversations',
    ['day', 'user_id', 'conversation_id'],
    ['cost_nanousd'],
    [...conversations.values()],
  )
}
