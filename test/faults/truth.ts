import { expect } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import type { Upstream } from '../gateway/upstream.ts'
import { rowsOf } from '../harness/rows.ts'
import { type Asked, markOf } from './load.ts'

/** What clients and provider saw is what is recorded, once. Returns how the calls ended. */
export async function expectTruth(
  stele: Stele,
  upstream: Upstream,
  asked: readonly Asked[],
): Promise<Set<string>> {
  const calls = await stele.calls.list({ limit: 100_000 })
  const byMark = new Map<string, typeof calls>()
  for (const call of calls) {
    const mark = markOf((await stele.calls.exactRequest(call.userId, call.id)).toString())
    byMark.set(mark, [...(byMark.get(mark) ?? []), call])
  }
  const twice = [...byMark].filter(([, same]) => same.length > 1).map(([mark]) => mark)
  expect(twice, 'recorded twice').toEqual([])
  const dispatched = upstream.journal.map(({ text }) => markOf(text))
  expect(new Set(dispatched).size, 'dispatched twice').toBe(dispatched.length)
  expect(
    dispatched.filter(mark => !byMark.has(mark)),
    'dispatched and not recorded',
  ).toEqual([])

  const ended = asked.filter(({ reply }) => reply !== undefined)
  for (const { mark, user, body, callId, reply } of ended) {
    const [call] = byMark.get(mark) ?? []
    expect(call, mark).toMatchObject({ id: callId, userId: user, status: 'completed', httpStatus: 200 })
    expect((await stele.calls.exactRequest(user, callId ?? '')).toString()).toBe(body)
    expect((await stele.calls.exactResponse(user, callId ?? ''))?.toString()).toBe(reply)
  }

  const orphaned = calls.filter(({ status }) => status === 'orphaned')
  expect(orphaned.every(({ errorCode }) => errorCode === 'orphaned')).toBe(true)
  expect(ended.length).toBeGreaterThan(20)
  return new Set(calls.map(({ status }) => status))
}

/** The sums of each day are those of its calls. */
export async function expectUsage(stele: Stele): Promise<void> {
  const requests = new Map((await rowsOf(stele, 'llm_requests')).map(row => [row.id, row]))
  const sums = new Map<string, number[]>()
  const responses = await rowsOf(stele, 'llm_responses')
  expect(responses.length).toBe(requests.size)
  for (const row of responses) {
    const day = new Date(row.created_at).toISOString().slice(0, 10)
    const key = `${row.user_id} ${day} ${row.response_model ?? requests.get(row.request_id)?.request_model}`
    const isError = row.status === 'failed' || row.status === 'orphaned' ? 1 : 0
    const own = [1, isError, row.input_tokens ?? 0, row.output_tokens ?? 0]
    sums.set(
      key,
      (sums.get(key) ?? [0, 0, 0, 0]).map((sum, index) => sum + (own[index] ?? 0)),
    )
  }
  const usage = await rowsOf(stele, 'usage_daily')
  const stored = usage.map(row => [
    `${row.user_id} ${row.day} ${row.model}`,
    [row.calls, row.errors, row.input_tokens, row.output_tokens],
  ])
  expect(Object.fromEntries(stored)).toEqual(Object.fromEntries(sums))
}

/** Messages of each conversation are numbered without gaps, and it knows the next number. */
export async function expectWholeConversations(stele: Stele): Promise<void> {
  const numbers = new Map<string, number[]>()
  for (const { conversation_id: id, seq } of await rowsOf(stele, 'messages'))
    numbers.set(id, [...(numbers.get(id) ?? []), seq])
  for (const { id, parent_seq: parentSeq, next_seq: nextSeq } of await rowsOf(stele, 'conversations')) {
    const first = (parentSeq ?? -1) + 1
    const expected = Array.from({ length: nextSeq - first }, (_, index) => first + index)
    expect((numbers.get(id) ?? []).sort((a, b) => a - b)).toEqual(expected)
  }
}
