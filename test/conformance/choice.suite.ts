import { expect, test } from 'vitest'
import { type Choice, choose } from '../../src/gateway/comparison/choose.ts'
import { JointEnd } from '../../src/gateway/comparison/joint-end.ts'
import { newId } from '../../src/ids.ts'
import type { Outcome, PlacedCall } from '../../src/model/call.ts'
import { readCompletion } from '../../src/model/reply.ts'
import type { Stele } from '../../src/stele.ts'
import { answerEvents } from '../gateway/wire.ts'
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

interface Told {
  readonly messages?: readonly unknown[]
  readonly conversationId?: string | undefined
  /** Parameters of the requests. */
  readonly more?: Record<string, unknown>
}

function beginAll(
  stele: Stele,
  { messages = [user('q')], conversationId, more }: Told = {},
): Promise<PlacedCall[]> {
  const groupId = newId('call')
  return stele.recorder.beginAll(
    models.map((model, index) => ({
      callId: index === 0 ? groupId : newId('call'),
      groupId,
      routeMode: 'compare',
      userId: 'ada',
      provider: 'test',
      body: chatBody(messages, { model, ...more }),
      conversationId,
    })),
  )
}

const replyOf = (index: number): Outcome => {
  const body = completionBody(`reply ${index}`)
  return completed(body, { reply: readCompletion(JSON.parse(body)) })
}

/** Ends all of them, as a gateway does before anything is chosen. */
async function settle(
  stele: Stele,
  calls: readonly PlacedCall[],
  outcomeOf: (index: number) => Outcome = replyOf,
): Promise<void> {
  const joint = new JointEnd(stele.recorder, calls)
  await Promise.all(calls.map((call, index) => joint.settle(call, outcomeOf(index))))
}

async function compared(stele: Stele, told?: Told): Promise<PlacedCall[]> {
  const calls = await beginAll(stele, told)
  await settle(stele, calls)
  return calls
}

/** Takes the reply at `index`, or none. */
function take(
  stele: Stele,
  calls: readonly PlacedCall[],
  index: number | undefined,
  more: Partial<Choice> = {},
) {
  const callId = index === undefined ? undefined : (calls[index]?.callId ?? '')
  return choose(stele, { userId: 'ada', groupId: calls[0]?.callId ?? '', callId, actor: 'library', ...more })
}

/** A choice that is made after the replies are on record, by whichever process. */
export function choiceSuite(bed: Bed): void {
  test('replies are on record in no conversation, until one is taken from the record alone', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const calls = await compared(stele)
    const conversationId = calls[0]?.conversationId ?? ''
    expect(await countOf(stele, 'llm_responses')).toBe(3)
    expect(await historyOf(stele, conversationId)).toEqual([user('q')])

    // Another process, which knows nothing of the comparison.
    const another = await place.stele()
    expect(await take(another, calls, 1)).toEqual({ conversationId, isRepeat: false })
    expect(await historyOf(stele, conversationId)).toEqual([user('q'), assistant('reply 1')])
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 3, errors: 0, input_tokens: 30 }])
    for (const [index, { callId }] of calls.entries())
      expect((await reproduced(stele, callId)).response).toBe(completionBody(`reply ${index}`))
    expect(await stele.calls.replyMessage('ada', calls[1]?.callId ?? '')).toContain('reply 1')
    expect(await stele.calls.replyMessage('ada', calls[0]?.callId ?? '')).toBeUndefined()

    const next = await exchange(stele, [user('q'), assistant('reply 1'), user('r')], 'b')
    expect(next.call.conversationId).toBe(conversationId)
    expect(await reproduced(stele, next.call.callId)).toMatchObject({ request: next.request })
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(4)
  })

  test('the same choice again answers the same, another one is refused, none too', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await compared(stele)
    const first = await take(stele, calls, 0)
    const before = await rowsOf(stele, 'audit_events')
    expect(await take(stele, calls, 0)).toEqual({ ...first, isRepeat: true })
    for (const other of [1, undefined])
      expect((await failure('comparison_settled', take(stele, calls, other))).message).toContain(
        calls[0]?.callId,
      )
    expect(await historyOf(stele, first.conversationId)).toHaveLength(2)
    expect(await rowsOf(stele, 'audit_events')).toEqual(before)
    expect(before.filter(({ action }) => action === 'comparison.settled')).toMatchObject([
      { target: calls[0]?.callId, outcome: 'taken', actor: 'library' },
    ])
  })

  test('that none is taken is a choice too', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await compared(stele)
    const none = await take(stele, calls, undefined)
    expect(await take(stele, calls, undefined)).toEqual({ ...none, isRepeat: true })
    await failure('comparison_settled', take(stele, calls, 0))
    expect(await historyOf(stele, none.conversationId)).toEqual([user('q')])
    const again = await begin(stele, chatBody([user('q')]), { conversationId: none.conversationId })
    expect(again.conversationId).toBe(none.conversationId)
  })

  test('of choices made at once, by several processes, one holds', async () => {
    const place = await bed.place()
    const steles = await Promise.all([1, 2, 3].map(() => place.stele()))
    const [stele] = steles as [Stele]
    for (let round = 0; round < 5; round++) {
      const calls = await compared(stele, { messages: [user(`q ${round}`)] })
      const outcomes = await Promise.allSettled(
        [0, 1, 2, undefined, 0, 1].map((index, at) => take(steles[at % 3] as Stele, calls, index)),
      )
      const made = outcomes.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []))
      expect(made.filter(({ isRepeat }) => !isRepeat)).toHaveLength(1)
      for (const each of outcomes)
        if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'comparison_settled' })
      const history = await historyOf(stele, calls[0]?.conversationId ?? '')
      expect(history.length).toBeLessThanOrEqual(2)
      const replies = await rowsOf(stele, 'messages')
      expect(replies.filter(({ role }) => role === 'assistant').length).toBeLessThanOrEqual(round + 1)
    }
    expect(await countOf(stele, 'conversations')).toBe(5)
  })

  test('nothing can be taken of what is under way, or is no comparison, or is of somebody else', async () => {
    const stele = await (await bed.place()).stele()
    const open = await beginAll(stele)
    await failure('comparison_under_way', take(stele, open, 0))
    await failure('comparison_under_way', take(stele, open, undefined))
    const calls = await compared(stele, { messages: [user('r')] })
    await failure('comparison_not_found', take(stele, calls, undefined, { userId: 'bob' }))
    await failure('call_not_found', take(stele, calls, 0, { userId: 'bob' }))
    await failure('call_not_found', take(stele, calls, 0, { callId: open[0]?.callId }))
    await failure('comparison_not_found', take(stele, calls, undefined, { groupId: 'call_1' }))
    const { call } = await exchange(stele, [user('alone')], 'a')
    await failure('comparison_not_found', take(stele, [call], 0))
    await failure('comparison_not_found', take(stele, [call], undefined))
    expect((await rowsOf(stele, 'audit_events')).map(({ action }) => action)).not.toContain(
      'comparison.settled',
    )
  })

  test('what failed, or said nothing, cannot be taken; a part of a reply can', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele)
    const events = { contentType: 'text/event-stream', httpStatus: 200 }
    const part = Buffer.from(answerEvents(['a ', 'part', ' more']).slice(0, 3).join('').concat('data: {"cho'))
    const nothing = Buffer.from(answerEvents([]).slice(0, 1).join(''))
    await settle(
      stele,
      calls,
      index =>
        [
          { status: 'failed', errorCode: 'provider_error', body: '{"error":{}}', httpStatus: 500 } as const,
          { status: 'aborted', ...events, body: nothing } as const,
          { status: 'aborted', ...events, body: part } as const,
        ][index] ?? { status: 'failed' },
    )
    for (const none of [0, 1]) await failure('invalid_value', take(stele, calls, none))
    const { conversationId } = await take(stele, calls, 2)
    expect(await historyOf(stele, conversationId)).toEqual([user('q'), assistant('a part')])
  })

  test('a reply that is taken too late forks, and a choice that was made with the ends holds', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await compared(stele)
    const conversationId = calls[0]?.conversationId
    await exchange(stele, [user('q')], 'sooner', { conversationId })
    const late = await take(stele, calls, 2)
    expect(late.conversationId).not.toBe(conversationId)
    expect(await historyOf(stele, late.conversationId)).toEqual([user('q'), assistant('reply 2')])
    expect(await take(stele, calls, 2)).toEqual({ ...late, isRepeat: true })

    const others = await beginAll(stele, { messages: [user('r')] })
    await stele.recorder.settleAll(
      others.map((call, index) => {
        const { reply, ...outcome } = replyOf(index)
        const unsaid = { finishReasons: [], usage: {}, ...reply, message: undefined }
        return { call, outcome: index === 0 ? { ...outcome, reply } : { ...outcome, reply: unsaid } }
      }),
    )
    expect((await take(stele, others, 0)).isRepeat).toBe(true)
    await failure('comparison_settled', take(stele, others, 1))
    await failure('comparison_settled', take(stele, others, undefined))
  })

  test('a reply of which another text is kept, or none, is gone on from as its client has it', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await compared(stele)
    const told = assistant('reply 0 as it was told')
    const { conversationId } = await take(stele, calls, 0, { message: told })
    expect(await historyOf(stele, conversationId)).toEqual([user('q'), assistant('reply 0')])
    const next = await exchange(stele, [user('q'), told, user('r')], 'b')
    expect(next.call.conversationId).toBe(conversationId)

    const unkept = await compared(stele, { messages: [user('s')], more: { store: false } })
    await failure('missing_required_parameter', take(stele, unkept, 1))
    const taken = await take(stele, unkept, 1, { message: assistant('reply 1') })
    const more = { conversationId: taken.conversationId }
    const after = await exchange(stele, [user('s'), assistant('reply 1'), user('t')], 'c', more)
    expect(after.call.conversationId).toBe(taken.conversationId)
    expect(after.call.upToSeq).toBe(2)
  })

  test('what was deleted, purged or erased meanwhile is not brought back', async () => {
    const stele = await (await bed.place()).stele()
    const deleted = await compared(stele, { messages: [user('p')] })
    await stele.conversations.delete('ada', deleted[0]?.conversationId ?? '')
    await failure('conversation_not_found', take(stele, deleted, 0))
    const purged = await compared(stele)
    await stele.conversations.purge('ada', purged[0]?.conversationId ?? '')
    await failure('conversation_not_found', take(stele, purged, 0, { message: assistant('reply 0') }))
    const erased = await compared(stele, { messages: [user('r')] })
    await stele.erase('ada')
    await failure('conversation_not_found', take(stele, erased, 0, { message: assistant('reply 0') }))
    expect(await countOf(stele, 'messages')).toBe(0)
  })

  test('ends that cannot be recorded together are recorded each by itself', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await beginAll(stele)
    await stele.recorder.settle(calls[1] as PlacedCall, { status: 'orphaned' })
    const failed: Outcome = { status: 'failed', errorCode: 'provider_error' }
    await failure(
      'call_orphaned',
      settle(stele, calls, index => (index === 2 ? failed : replyOf(index))),
    )
    const group = await stele.calls.group('ada', calls[0]?.callId ?? '')
    expect(group.map(({ status }) => status)).toEqual(['completed', 'orphaned', 'failed'])
  })
}
