import { expect, test } from 'vitest'
import { knownMigrations, migrateDown, migrateUp } from '../../src/db/migrate.ts'
import { newId } from '../../src/ids.ts'
import type { PlacedCall, RouteMode } from '../../src/model/call.ts'
import type { Stele } from '../../src/stele.ts'
import { removeLogKeys } from '../harness/begun-log.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  historyOf,
  reproduced,
  settle,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { withoutGuards } from '../harness/guards.ts'
import { countOf, inBatch, rowsOf } from '../harness/rows.ts'

const failed = { status: 'failed', httpStatus: 503, errorCode: 'provider_error' } as const

/** Begins an attempt of a group. */
function attempt(
  stele: Stele,
  body: string,
  groupId: string,
  routeMode?: RouteMode,
  more: { provider?: string; requestModel?: string; conversationId?: string } = {},
): Promise<PlacedCall> {
  return begin(stele, body, {
    callId: routeMode === undefined ? groupId : newId('call'),
    groupId,
    routeMode,
    ...more,
  })
}

/** Several calls made for one request. */
export function attemptsSuite(bed: Bed): void {
  test('attempts share a conversation: one user message, one answer, no fork', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    const first = await attempt(stele, body, groupId)
    await stele.recorder.settle(first, failed)
    const second = await attempt(stele, body, groupId, 'retry')
    await stele.recorder.settle(second, failed)
    const third = await attempt(stele, body, groupId, 'fallback', { provider: 'other', requestModel: 'm2' })
    const settled = await stele.recorder.settle(third, completed(completionBody('a'), { costNanousd: 7 }))

    expect([second, third].map(({ conversationId }) => conversationId)).toEqual(
      [first, first].map(({ conversationId }) => conversationId),
    )
    expect(settled.conversationId).toBe(first.conversationId)
    expect(await historyOf(stele, first.conversationId)).toEqual([user('q'), assistant('a')])
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(2)
    for (const { callId } of [first, second, third])
      expect((await reproduced(stele, callId)).request).toBe(body)
    const rows = await rowsOf(stele, 'llm_requests')
    expect(rows.map(row => [row.id, row.group_id, row.route_mode, row.provider, row.request_model])).toEqual([
      [first.callId, groupId, null, 'test', 'test-model'],
      [second.callId, groupId, 'retry', 'test', 'test-model'],
      [third.callId, groupId, 'fallback', 'other', 'm2'],
    ])
  })

  test('every attempt counts as a call, failed ones as errors, usage once', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    await stele.recorder.settle(await attempt(stele, body, groupId), failed)
    const second = await attempt(stele, body, groupId, 'retry')
    await stele.recorder.settle(
      second,
      completed(completionBody('a', { model: 'test-model' }), { costNanousd: 7 }),
    )
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([
      {
        model: 'test-model',
        calls: 2,
        errors: 1,
        input_tokens: 10,
        output_tokens: 5,
        cost_nanousd: 7,
        // A request that was refused costs nothing.
        unpriced_calls: 0,
      },
    ])
  })

  test('the conversation goes on after an answer that came at the second attempt', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    const first = await attempt(stele, body, groupId)
    await stele.recorder.settle(first, failed)
    const second = await attempt(stele, body, groupId, 'retry')
    await stele.recorder.settle(second, completed(completionBody('a')))
    const next = await exchange(stele, [user('q'), assistant('a'), user('more')], 'b')
    expect(next.call.conversationId).toBe(first.conversationId)
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(4)
  })

  test('attempts at another reply to the same question share one fork, which its reply leads to', async () => {
    const stele = await (await bed.place()).stele()
    const original = await exchange(stele, [user('q')], 'one')
    const body = chatBody([user('q')])
    const groupId = newId('call')
    const first = await attempt(stele, body, groupId)
    await stele.recorder.settle(first, failed)
    const second = await attempt(stele, body, groupId, 'retry')
    const settled = await stele.recorder.settle(second, completed(completionBody('two')))
    expect(first.conversationId).not.toBe(original.call.conversationId)
    expect(second.conversationId).toBe(first.conversationId)
    expect(settled.conversationId).toBe(first.conversationId)
    expect(await countOf(stele, 'conversations')).toBe(2)
    expect(await historyOf(stele, first.conversationId)).toEqual([user('q'), assistant('two')])
    expect((await reproduced(stele, second.callId)).request).toBe(body)
    const next = await exchange(stele, [user('q'), assistant('two'), user('more')], 'b')
    expect(next.call.conversationId).toBe(first.conversationId)
  })

  test('attempts in a named conversation stay in it', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    const body = chatBody([user('q'), assistant('a'), user('more')])
    const groupId = newId('call')
    const { conversationId } = call
    await stele.recorder.settle(await attempt(stele, body, groupId, undefined, { conversationId }), failed)
    const second = await attempt(stele, body, groupId, 'retry', { conversationId })
    await stele.recorder.settle(second, completed(completionBody('b')))
    expect(second.conversationId).toBe(conversationId)
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(4)
  })

  test('an attempt whose request cannot be taken apart reproduces it byte for byte all the same', async () => {
    const stele = await (await bed.place()).stele()
    // Uneven separators: such a request is kept whole.
    const body = `{"model":"m","messages":[${[user('q'), assistant('a'), user('r')].map(each => JSON.stringify(each)).join(' ,')}]}`
    const uneven = body.replace(' ,', ',  ')
    const groupId = newId('call')
    const first = await attempt(stele, uneven, groupId)
    await stele.recorder.settle(first, failed)
    const second = await attempt(stele, uneven, groupId, 'retry')
    const response = completionBody('s')
    await stele.recorder.settle(second, completed(response))
    expect(second.conversationId).toBe(first.conversationId)
    expect(await reproduced(stele, second.callId)).toEqual({ request: uneven, response })
    expect(await reproduced(stele, first.callId)).toEqual({ request: uneven, response: undefined })
  })

  test('an attempt that spells the same messages differently is reproduced as it was spelled', async () => {
    const stele = await (await bed.place()).stele()
    const groupId = newId('call')
    const first = await attempt(stele, '{"model":"m","messages":[{"role":"user","content":"q"}]}', groupId)
    await stele.recorder.settle(first, failed)
    const spelled = '{"model":"m","messages":[{ "content":"q", "role":"user" }]}'
    const second = await attempt(stele, spelled, groupId, 'retry')
    expect(second.conversationId).toBe(first.conversationId)
    expect((await reproduced(stele, second.callId)).request).toBe(spelled)
    expect(await countOf(stele, 'messages')).toBe(1)
  })

  test('an attempt that names a group of other messages, or none that is known, is placed by its messages', async () => {
    const stele = await (await bed.place()).stele()
    const groupId = newId('call')
    const first = await attempt(stele, chatBody([user('q')]), groupId)
    const other = await attempt(stele, chatBody([user('something else')]), groupId, 'retry')
    const stranger = await attempt(stele, chatBody([user('who?')]), newId('call'), 'fallback')
    expect(new Set([first, other, stranger].map(call => call.conversationId)).size).toBe(3)
    expect(await historyOf(stele, other.conversationId)).toEqual([user('something else')])
  })

  test("a user's attempt does not end up in another user's conversation", async () => {
    const stele = await (await bed.place()).stele()
    const groupId = newId('call')
    const first = await attempt(stele, chatBody([user('q')]), groupId)
    const other = await begin(stele, chatBody([user('q')]), { userId: 'bob', groupId, routeMode: 'retry' })
    expect(other.conversationId).not.toBe(first.conversationId)
    expect(await stele.calls.group('bob', first.callId)).toEqual([])
  })

  test('an answer that comes when another took its place forks; none is lost', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    const first = await attempt(stele, body, groupId)
    await stele.recorder.settle(first, failed)
    const second = await attempt(stele, body, groupId, 'retry')
    // The client asks the same again by itself, and is answered sooner.
    const own = await exchange(stele, [user('q')], 'sooner')
    const settled = await settle(stele, second, completed(completionBody('later')))
    expect(await historyOf(stele, own.settled.conversationId)).toEqual([user('q'), assistant('sooner')])
    expect(await historyOf(stele, settled.conversationId)).toEqual([user('q'), assistant('later')])
  })

  test('the same request while a retry awaits its reply forks, as while a first call does', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    await stele.recorder.settle(await attempt(stele, body, groupId), failed)
    const retry = await attempt(stele, body, groupId, 'retry')
    const other = await begin(stele, body)
    expect(other.conversationId).not.toBe(retry.conversationId)
    await stele.recorder.settle(retry, failed)
    const later = await begin(stele, body)
    expect(later.conversationId).toBe(retry.conversationId)
  })

  test('beginning an attempt twice changes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    await stele.recorder.settle(await attempt(stele, body, groupId), failed)
    const callId = newId('call')
    const once = await begin(stele, body, { callId, groupId, routeMode: 'retry' })
    const twice = await begin(stele, body, { callId, groupId, routeMode: 'retry' })
    expect(twice).toEqual({ ...once, createdAt: twice.createdAt })
    expect(await countOf(stele, 'llm_requests')).toBe(2)
    expect(await countOf(stele, 'messages')).toBe(1)
  })

  test('many groups at once, all in one batch, each stay by themselves', async () => {
    const stele = await (await bed.place()).stele()
    const bodies = Array.from({ length: 20 }, (_, index) => chatBody([user(`q${index % 10}`)]))
    const groups = bodies.map(body => ({ body, groupId: newId('call') }))
    const firsts = await Promise.all(groups.map(({ body, groupId }) => attempt(stele, body, groupId)))
    await Promise.all(firsts.map(first => stele.recorder.settle(first, failed)))
    const seconds = await Promise.all(
      groups.map(({ body, groupId }) => attempt(stele, body, groupId, 'retry')),
    )
    expect(seconds.map(call => call.conversationId)).toEqual(firsts.map(call => call.conversationId))
    const before = await countOf(stele, 'messages')
    await Promise.all(seconds.map(call => stele.recorder.settle(call, completed(completionBody('a')))))
    expect(await countOf(stele, 'messages')).toBe(before + 20)
  })

  test('the calls of a group are found by the id of any of them, in order and numbered', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const groupId = newId('call')
    const calls = [
      await attempt(stele, body, groupId),
      await attempt(stele, body, groupId, 'retry'),
      await attempt(stele, body, groupId, 'fallback'),
    ]
    const ids = calls.map(({ callId }) => callId)
    const { call: alone } = await exchange(stele, [user('alone')], 'a')
    for (const id of ids) {
      const group = await stele.calls.group('ada', id)
      expect(group.map(call => [call.id, call.attempt, call.routeMode, call.groupId])).toEqual([
        [ids[0], 1, undefined, groupId],
        [ids[1], 2, 'retry', groupId],
        [ids[2], 3, 'fallback', groupId],
      ])
    }
    expect((await stele.calls.group('ada', alone.callId)).map(({ id }) => id)).toEqual([alone.callId])
    expect(await stele.calls.get('ada', alone.callId)).toMatchObject({ groupId: alone.callId, attempt: 1 })
    expect(await stele.calls.get('ada', ids[2] ?? '')).toMatchObject({ attempt: 3 })
    expect((await stele.calls.list()).map(({ attempt }) => attempt)).toEqual([1, 3, 2, 1])
    expect(await stele.calls.group('ada', newId('call'))).toEqual([])
  })

  test('a group that could not be a call is refused', async () => {
    const stele = await (await bed.place()).stele()
    const error = await failure('invalid_value', begin(stele, chatBody([user('q')]), { groupId: 'call_1' }))
    expect(error.message).toContain('groupId')
  })

  test('calls from before there were groups are groups of one', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const body = chatBody([user('q')])
    const { call } = await exchange(stele, body, 'a')
    // Without a key, and without events that tell what is sealed, there is a way back to before encryption.
    await stele.auditLog.sequence()
    await withoutGuards(stele.database, () => stele.database.kysely.deleteFrom('audit_events').execute())
    const keys = await rowsOf(stele, 'data_keys')
    await inBatch(stele, batch => batch.remove('data_keys', ['user_id', 'id'], keys))
    await removeLogKeys(stele.database)
    await migrateDown(stele.database, (await knownMigrations()).length - 1)
    await migrateUp(stele.database)
    await inBatch(stele, batch => batch.insert('data_keys', keys))
    expect(await stele.calls.group('ada', call.callId)).toMatchObject([
      { id: call.callId, groupId: call.callId, attempt: 1, routeMode: undefined, status: 'completed' },
    ])
    expect((await reproduced(stele, call.callId)).request).toBe(body)
  })

  test('a first call that was a fallback already is the first of its group', async () => {
    const stele = await (await bed.place()).stele()
    const groupId = newId('call')
    const first = await begin(stele, chatBody([user('q')]), {
      callId: groupId,
      groupId,
      routeMode: 'fallback',
    })
    const second = await attempt(stele, chatBody([user('q')]), groupId, 'retry')
    expect(second.conversationId).toBe(first.conversationId)
    const group = await stele.calls.group('ada', second.callId)
    expect(group.map(call => [call.attempt, call.routeMode])).toEqual([
      [1, 'fallback'],
      [2, 'retry'],
    ])
  })
}
