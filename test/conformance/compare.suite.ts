import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { Outcome, PlacedCall } from '../../src/model/call.ts'
import { readCompletion } from '../../src/model/reply.ts'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  historyOf,
  reproduced,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

const models = ['one', 'two', 'three'] as const

/** Begins one call per model for the same messages. */
function beginAll(
  stele: Stele,
  messages: readonly unknown[],
  conversationId?: string,
): Promise<PlacedCall[]> {
  const groupId = newId('call')
  return stele.recorder.beginAll(
    models.map((model, index) => ({
      callId: index === 0 ? groupId : newId('call'),
      groupId,
      routeMode: 'compare',
      userId: 'ada',
      provider: 'test',
      body: chatBody(messages, { model }),
      conversationId,
    })),
  )
}

/** A reply of which the conversation hears nothing. */
function unchosen(content: string): Outcome {
  const body = completionBody(content)
  const reply = readCompletion(JSON.parse(body))
  return completed(body, { reply: { finishReasons: [], usage: {}, ...reply, message: undefined } })
}

/** How each call ended when the one at `chosen` is taken. */
function endings(calls: readonly PlacedCall[], chosen: number) {
  return calls.map((call, index) => ({
    call,
    outcome: index === chosen ? completed(completionBody(`reply ${index}`)) : unchosen(`reply ${index}`),
  }))
}

/** Several calls made at once for one request, one of whose replies is taken. */
export function compareSuite(bed: Bed): void {
  test('three requests and three replies of one group make one question and one answer', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele, [user('q')])
    expect(await countOf(stele, 'llm_requests')).toBe(3)
    expect(new Set(calls.map(({ conversationId }) => conversationId)).size).toBe(1)
    const settled = await stele.recorder.settleAll(endings(calls, 1))

    const conversationId = calls[0]?.conversationId ?? ''
    const costs = new Map(calls.map(call => [call.callId, undefined]))
    expect(settled).toEqual({ conversationId, isRepeat: false, costs })
    expect(await historyOf(stele, conversationId)).toEqual([user('q'), assistant('reply 1')])
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(2)
    const group = await stele.calls.group('ada', calls[2]?.callId ?? '')
    expect(group.map(call => [call.requestModel, call.routeMode, call.attempt, call.status])).toEqual([
      ['one', 'compare', 1, 'completed'],
      ['two', 'compare', 2, 'completed'],
      ['three', 'compare', 3, 'completed'],
    ])
    for (const [index, { callId }] of calls.entries())
      expect(await reproduced(stele, callId)).toEqual({
        request: chatBody([user('q')], { model: models[index] }),
        response: completionBody(`reply ${index}`),
      })
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 3, errors: 0, input_tokens: 30 }])
  })

  test('the conversation goes on after the reply that was taken', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('q')], 'a')
    const { conversationId } = first.call
    const calls = await beginAll(stele, [user('q'), assistant('a'), user('r')], conversationId)
    await stele.recorder.settleAll(endings(calls, 2))
    const told = [user('q'), assistant('a'), user('r'), assistant('reply 2'), user('s')]
    const next = await exchange(stele, told, 'b')
    expect(next.call.conversationId).toBe(conversationId)
    expect(await countOf(stele, 'conversations')).toBe(1)
  })

  test('with none taken the question stays without an answer and may be asked again', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele, [user('q')])
    await stele.recorder.settleAll(endings(calls, -1))
    const { conversationId } = calls[0] as PlacedCall
    expect(await historyOf(stele, conversationId)).toEqual([user('q')])
    const again = await begin(stele, chatBody([user('q')]), { conversationId })
    expect(again.conversationId).toBe(conversationId)
    expect(await countOf(stele, 'messages')).toBe(1)
  })

  test('one that cannot be begun keeps all of them from being begun', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('before')], 'a')
    const groupId = newId('call')
    const input = { groupId, routeMode: 'compare', userId: 'ada', provider: 'test' } as const
    await failure(
      'call_id_conflict',
      stele.recorder.beginAll([
        { ...input, callId: groupId, body: chatBody([user('q')]) },
        { ...input, callId: call.callId, body: chatBody([user('q')]) },
      ]),
    )
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(2)
  })

  test('one that cannot be settled keeps all of them from being settled', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele, [user('q')])
    const [first, second] = calls as [PlacedCall, PlacedCall]
    await stele.recorder.settle(second, { status: 'orphaned' })
    await failure('call_orphaned', stele.recorder.settleAll(endings(calls, 0)))
    expect(await countOf(stele, 'llm_responses')).toBe(1)
    expect(await historyOf(stele, first.conversationId)).toEqual([user('q')])
  })

  test('settling twice changes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele, [user('q')])
    const ends = endings(calls, 1)
    const once = await stele.recorder.settleAll(ends)
    expect(await stele.recorder.settleAll(ends)).toEqual({ ...once, isRepeat: true })
    expect(await countOf(stele, 'messages')).toBe(2)
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 3 }])
  })

  test('a reply that was taken too late forks, and no other reply goes with it', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele, [user('q')])
    const { conversationId } = calls[0] as PlacedCall
    await exchange(stele, [user('q')], 'sooner', { conversationId })
    const settled = await stele.recorder.settleAll(endings(calls, 0))
    expect(await historyOf(stele, settled.conversationId ?? '')).toEqual([user('q'), assistant('reply 0')])
    expect(await countOf(stele, 'llm_responses')).toBe(4)
  })

  test('groups and single calls in one batch each stay by themselves', async () => {
    const stele = await (await bed.place()).stele()
    const questions = Array.from({ length: 12 }, (_, index) => [user(`q${index % 6}`)])
    const groups = await Promise.all(
      questions.map(async messages => {
        const [calls] = await Promise.all([beginAll(stele, messages), begin(stele, chatBody([user('x')]))])
        return calls
      }),
    )
    const settled = await Promise.all(groups.map(calls => stele.recorder.settleAll(endings(calls, 0))))
    expect(new Set(settled.map(({ conversationId }) => conversationId)).size).toBe(12)
    expect(await countOf(stele, 'llm_responses')).toBe(36)
  })
}
