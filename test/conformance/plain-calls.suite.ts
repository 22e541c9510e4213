import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import type { Stele } from '../../src/stele.ts'
import { completed, completionBody, exchange, reproduced, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

const embedding = (input: unknown): string => JSON.stringify({ model: 'embed', input })

const begin = (stele: Stele, body: string, more: Partial<BeginInput> = {}) =>
  stele.recorder.begin({ userId: 'ada', provider: 'test', operation: 'embeddings', body, ...more })

const reply = completed(Buffer.from('{"data":[]}'), {
  reply: { finishReasons: [], usage: { inputTokens: 3 } },
})

/** Calls that are no chat: on record as any call, in no conversation. */
export function plainCallsSuite(bed: Bed): void {
  test('many at once of one user are each on record, and none stands in a conversation', async () => {
    const stele = await (await bed.place()).stele()
    const calls = await Promise.all(
      Array.from({ length: 80 }, async (_, index) => {
        const request = embedding(`text ${index % 10}`)
        const call = await begin(stele, request)
        const settled = await stele.recorder.settle(call, reply)
        expect(settled).toEqual({ callId: call.callId, conversationId: undefined, isRepeat: false })
        return { callId: call.callId, request }
      }),
    )
    for (const { callId, request } of calls.slice(0, 8))
      expect(await reproduced(stele, callId)).toEqual({ request, response: '{"data":[]}' })
    expect(await countOf(stele, 'conversations')).toBe(0)
    expect(await countOf(stele, 'messages')).toBe(0)
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([
      { model: 'embed', calls: 80, input_tokens: 240, errors: 0 },
    ])
    expect(await countOf(stele, 'audit_events')).toBe(160)
  })

  test('beside chats, of which they disturb none', async () => {
    const stele = await (await bed.place()).stele()
    const [chat] = await Promise.all([
      exchange(stele, [user('hello')], 'hi'),
      begin(stele, embedding('hello')).then(call => stele.recorder.settle(call, reply)),
      stele.recorder.record(
        { userId: 'ada', provider: 'test', operation: 'moderations', body: '{"input":"x"}' },
        reply,
      ),
    ])
    expect(await stele.conversations.list()).toMatchObject([{ id: chat.call.conversationId, nextSeq: 2 }])
    const calls = await stele.calls.list({ userId: 'ada' })
    expect(calls.map(({ operation, requestModel }) => `${operation} ${requestModel}`).sort()).toEqual([
      'chat test-model',
      'embeddings embed',
      'moderations omni-moderation-latest',
    ])
  })

  test('begun again they are the same call; another request or operation under the id is refused', async () => {
    const stele = await (await bed.place()).stele()
    const first = await begin(stele, embedding('a'))
    const { callId } = first
    expect(await begin(stele, embedding('a'), { callId })).toEqual({
      ...first,
      createdAt: expect.any(Number),
    })
    await failure('call_id_conflict', begin(stele, embedding('b'), { callId }))
    await failure('call_id_conflict', begin(stele, embedding('a'), { callId, operation: 'moderations' }))
    expect(await stele.recorder.settle(first, reply)).toMatchObject({ isRepeat: false })
    expect(await stele.recorder.settle(first, reply)).toMatchObject({
      isRepeat: true,
      conversationId: undefined,
    })
    expect(await countOf(stele, 'llm_requests')).toBe(1)
  })

  test('a reply that looks like a chat completion becomes no message', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, '{"model":"m","prompt":"x"}', { operation: 'completions' })
    await stele.recorder.settle(call, completed(completionBody('hello')))
    expect(await countOf(stele, 'messages')).toBe(0)
    expect((await reproduced(stele, call.callId)).response).toBe(completionBody('hello'))
  })

  test('attempts at one request are a group; one whose process died is orphaned', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const groupId = newId('call')
    const first = await begin(stele, embedding('a'), { callId: groupId, groupId })
    await stele.recorder.settle(first, { status: 'failed', errorCode: 'x' })
    const second = await begin(stele, embedding('a'), { groupId, routeMode: 'retry' })
    await stele.recorder.settle(second, reply)
    const group = await stele.calls.group('ada', second.callId)
    expect(group.map(({ status, attempt }) => [status, attempt])).toEqual([
      ['failed', 1],
      ['completed', 2],
    ])
    const open = await begin(stele, embedding('b'))
    await stele.database.kysely
      .updateTable('instances')
      // A process that cannot live.
      .set({ pid: 2 ** 30 })
      .execute()
    const next = await place.stele()
    expect(await next.recorder.start()).toBe(1)
    expect(await next.calls.get('ada', open.callId)).toMatchObject({ status: 'orphaned', conversationId: '' })
  })

  test('what cannot be read is refused, and nothing is on record', async () => {
    const stele = await (await bed.place()).stele()
    await failure('missing_required_parameter', begin(stele, '{"input":"x"}'))
    await failure('invalid_json', begin(stele, ''))
    await failure('invalid_utf8', begin(stele, '{"model":"a","input":"\ud800"}'))
    expect(await countOf(stele, 'llm_requests')).toBe(0)
  })
}
