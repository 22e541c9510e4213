import { expect, test } from 'vitest'
import { isId, newId } from '../../src/ids.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  system,
  user,
} from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** What one call writes, and that writing it again changes nothing. */
export function recorderSuite(bed: Bed): void {
  test('begin commits the intent alone: user, conversation, messages, request', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([system('be brief'), user('q')], { temperature: 0.5 }), {
      createdAt: 1_700_000_000_000,
      requestModel: 'gpt-x',
      apiKeyId: 'key_1',
      operation: 'chat',
    })
    expect(isId('call', call.callId)).toBe(true)
    expect(await rowsOf(stele, 'users')).toMatchObject([
      { id: 'ada', role: 'member', status: 'active', deleted_at: null },
    ])
    expect(await rowsOf(stele, 'conversations')).toMatchObject([
      {
        user_id: 'ada',
        id: call.conversationId,
        next_seq: 2,
        parent_id: null,
        parent_seq: null,
        created_at: 1_700_000_000_000,
      },
    ])
    expect(await rowsOf(stele, 'messages')).toMatchObject([
      {
        conversation_id: call.conversationId,
        seq: 0,
        role: 'system',
        call_id: call.callId,
        echo: null,
        echo_from: null,
        model: null,
      },
      {
        conversation_id: call.conversationId,
        seq: 1,
        role: 'user',
        call_id: call.callId,
        echo: null,
        echo_from: null,
        model: null,
      },
    ])
    expect(await rowsOf(stele, 'llm_requests')).toMatchObject([
      {
        user_id: 'ada',
        id: call.callId,
        conversation_id: call.conversationId,
        up_to_seq: 1,
        api_key_id: 'key_1',
        provider: 'test',
        request_model: 'gpt-x',
        operation: 'chat',
        body: null,
        separator: null,
        created_at: 1_700_000_000_000,
      },
    ])
    for (const table of ['llm_responses', 'usage_daily'] as const) expect(await countOf(stele, table)).toBe(0)
    expect(await rowsOf(stele, 'audit_events')).toMatchObject([
      { user_id: 'ada', actor: 'key_1', action: 'call.begun', target: call.callId, outcome: 'success' },
    ])
  })

  test('settle commits response, message, sequence, usage and audit event together', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]), { apiKeyId: 'key_1' })
    const settled = await stele.recorder.settle(
      call,
      completed(completionBody('a'), { costNanousd: 40, createdAt: Date.UTC(2026, 0, 31, 23, 59, 59) }),
    )
    expect(settled).toMatchObject({
      callId: call.callId,
      conversationId: call.conversationId,
      isRepeat: false,
    })
    expect(await rowsOf(stele, 'conversations')).toMatchObject([
      { next_seq: 2, updated_at: Date.UTC(2026, 0, 31, 23, 59, 59) },
    ])
    expect(await rowsOf(stele, 'messages')).toMatchObject([
      { seq: 0, role: 'user' },
      { seq: 1, role: 'assistant', model: 'test-model-2026', call_id: call.callId },
    ])
    expect(await rowsOf(stele, 'llm_responses')).toMatchObject([
      {
        user_id: 'ada',
        request_id: call.callId,
        status: 'completed',
        conversation_id: call.conversationId,
        seq: 1,
        input_tokens: 10,
        output_tokens: 5,
        cost_nanousd: 40,
        finish_reasons: '["stop"]',
      },
    ])
    expect(await rowsOf(stele, 'usage_daily')).toEqual([
      {
        user_id: 'ada',
        day: '2026-01-31',
        model: 'test-model-2026',
        calls: 1,
        errors: 0,
        input_tokens: 10,
        output_tokens: 5,
        cost_nanousd: 40,
        unpriced_calls: 0,
      },
    ])
    expect(await rowsOf(stele, 'audit_events')).toMatchObject([
      { action: 'call.begun' },
      {
        user_id: 'ada',
        actor: 'key_1',
        action: 'call.settled',
        target: call.callId,
        outcome: 'completed',
        severity: 'info',
      },
    ])
  })

  test('a failed call counts as an error, leaves no message and its price is unknown', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    await stele.recorder.settle(call, {
      status: 'failed',
      errorCode: 'provider_timeout',
      errorMessage: 'x'.repeat(5_000),
    })
    expect(await countOf(stele, 'messages')).toBe(1)
    expect(await rowsOf(stele, 'conversations')).toMatchObject([{ next_seq: 1 }])
    expect(await rowsOf(stele, 'llm_responses')).toMatchObject([
      {
        status: 'failed',
        conversation_id: null,
        seq: null,
        cost_nanousd: null,
        error_code: 'provider_timeout',
        error_message: 'x'.repeat(2_000),
      },
    ])
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([
      { model: 'test-model', calls: 1, errors: 1, unpriced_calls: 1, cost_nanousd: 0 },
    ])
    expect(await rowsOf(stele, 'audit_events')).toMatchObject([
      { action: 'call.begun', actor: 'library' },
      { outcome: 'failed', severity: 'warning', actor: 'library' },
    ])
  })

  test('a reply that was broken off keeps the part that came', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    const reply = { finishReasons: [], usage: { outputTokens: 2 }, message: { content: 'half an ans' } }
    await stele.recorder.settle(call, { status: 'aborted', body: Buffer.from('data: {"half'), reply })
    const [, answer] = await stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
    expect(JSON.parse(answer?.raw ?? '')).toEqual({ role: 'assistant', content: 'half an ans' })
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      status: 'aborted',
      outputTokens: 2,
      // What the provider did not come to say is estimated.
      inputTokens: expect.any(Number),
      usageSource: 'estimated',
    })
  })

  test('beginning the same call again answers as before and writes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const callId = newId('call')
    const input = { callId, createdAt: 1_700_000_000_000 }
    const first = await begin(stele, body, input)
    const again = await begin(stele, body, input)
    const [third, fourth] = await Promise.all([begin(stele, body, input), begin(stele, body, input)])
    for (const repeat of [again, third, fourth]) expect(repeat).toEqual(first)
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(1)
    expect(await countOf(stele, 'conversations')).toBe(1)
  })

  test('two begins of one new call at once are one call', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const callId = newId('call')
    const begun = await Promise.all(Array.from({ length: 6 }, () => begin(stele, body, { callId })))
    expect(new Set(begun.map(call => call.conversationId)).size).toBe(1)
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(1)
  })

  test.for<[string, string, { requestModel?: string }]>([
    ['another question', chatBody([user('another')]), {}],
    ['other parameters', chatBody([user('q')], { temperature: 1 }), {}],
    ['another model', chatBody([user('q')]), { requestModel: 'another' }],
  ])('a call id that is taken is refused for %s', async ([, body, input]) => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    await begin(stele, chatBody([user('q')]), { callId })
    await failure('call_id_conflict', begin(stele, body, { callId, ...input }))
    expect(await countOf(stele, 'llm_requests')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(1)
  })

  test('a begin that is refused does not hide that the call of this id is under way', async () => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    await begin(stele, chatBody([user('q')]), { callId })
    await failure('call_id_conflict', begin(stele, chatBody([user('another')]), { callId }))
    await stele.recorder.close()
    // The row by which whoever starts next finds the open call.
    expect(await countOf(stele, 'instances')).toBe(1)
  })

  test('settling again changes nothing: no usage, no audit event, no message is doubled', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    const outcome = completed(completionBody('a'), { costNanousd: 7 })
    await stele.recorder.settle(call, outcome)
    const before = await everything()
    const repeats = await Promise.all([
      stele.recorder.settle(call, outcome),
      stele.recorder.settle(call, outcome),
      stele.recorder.settle(call, { status: 'failed', errorCode: 'provider_error' }),
    ])
    for (const repeat of repeats) {
      expect(repeat).toMatchObject({
        callId: call.callId,
        conversationId: call.conversationId,
        isRepeat: true,
      })
    }
    expect(await everything()).toEqual(before)

    async function everything(): Promise<unknown[]> {
      const tables = ['conversations', 'messages', 'llm_responses', 'usage_daily', 'audit_events'] as const
      return Promise.all(tables.map(table => rowsOf(stele, table)))
    }
  })

  test('two settles of one call at once settle it once', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    const settled = await Promise.all(
      Array.from({ length: 6 }, () =>
        stele.recorder.settle(call, completed(completionBody('a'), { costNanousd: 7 })),
      ),
    )
    expect(settled.filter(({ isRepeat }) => !isRepeat)).toHaveLength(1)
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 1, cost_nanousd: 7 }])
    expect((await rowsOf(stele, 'audit_events')).map(({ action }) => action)).toEqual([
      'call.begun',
      'call.settled',
    ])
  })

  test('record writes a whole call made elsewhere, and again writes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const callId = newId('call')
    const request = chatBody([user('q')])
    const response = completionBody('a')
    const input = { userId: 'ada', provider: 'elsewhere', body: request, callId }
    const first = await stele.recorder.record(input, completed(response))
    expect(first.isRepeat).toBe(false)
    const again = await stele.recorder.record(input, completed(response))
    expect(again).toEqual({ ...first, isRepeat: true })
    expect((await stele.calls.exactRequest('ada', callId)).toString()).toBe(request)
    expect((await stele.calls.exactResponse('ada', callId))?.toString()).toBe(response)
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 1 }])
    expect(await countOf(stele, 'messages')).toBe(2)
  })

  test('recording a call that was begun settles it', async () => {
    const stele = await (await bed.place()).stele()
    const body = chatBody([user('q')])
    const call = await begin(stele, body)
    const settled = await stele.recorder.record(
      { userId: 'ada', provider: 'test', body, callId: call.callId },
      completed(completionBody('a')),
    )
    expect(settled).toMatchObject({
      callId: call.callId,
      conversationId: call.conversationId,
      isRepeat: false,
    })
    expect(await countOf(stele, 'llm_requests')).toBe(1)
  })

  test('a begun call that went through JSON is settled as itself', async () => {
    const stele = await (await bed.place()).stele()
    const call = await begin(stele, chatBody([user('q')]))
    const copy = JSON.parse(JSON.stringify(call)) as typeof call
    expect(await stele.recorder.settle(copy, completed(completionBody('a')))).toMatchObject({
      isRepeat: false,
    })
    const next = await exchange(stele, [user('q'), assistant('a'), user('more')], 'b')
    expect(next.call.conversationId).toBe(call.conversationId)
  })

  test('usage adds up per user, day and model', async () => {
    const stele = await (await bed.place()).stele()
    const day = Date.UTC(2026, 1, 1)
    const settle = async (
      userId: string,
      model: string,
      createdAt: number,
      costNanousd: number | undefined,
    ): Promise<void> => {
      const call = await begin(stele, chatBody([user('q')]), { userId })
      await stele.recorder.settle(call, completed(completionBody('a', { model }), { costNanousd, createdAt }))
    }
    // One by one and together: sums are made in memory and in the database.
    await settle('ada', 'x', day, 5)
    await Promise.all([
      settle('ada', 'x', day + 86_399_999, 6),
      settle('ada', 'x', day + 86_400_000, 7),
      settle('ada', 'y', day, undefined),
      settle('bob', 'x', day, 9),
    ])
    const rows = await rowsOf(stele, 'usage_daily')
    expect(
      rows.map(row => [row.user_id, row.day, row.model, row.calls, row.cost_nanousd, row.unpriced_calls]),
    ).toEqual([
      ['ada', '2026-02-01', 'x', 2, 11, 0],
      ['ada', '2026-02-01', 'y', 1, 0, 1],
      ['ada', '2026-02-02', 'x', 1, 7, 0],
      ['bob', '2026-02-01', 'x', 1, 9, 0],
    ])
  })
}
