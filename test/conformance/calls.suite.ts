import { expect, test } from 'vitest'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

const unknownCall = 'call_01h455vb4pex5vsknk084sn02q'

/** Reading calls. */
export function callsSuite(bed: Bed): void {
  test('a call is pending until it is settled, and then tells how it ended', async () => {
    const stele = await (await bed.place()).stele()
    const key = await stele.apiKeys.create({ userId: 'ada' })
    const call = await begin(stele, chatBody([user('q')]), {
      apiKeyId: key.id,
      provider: 'openai',
      requestModel: 'gpt-x',
    })
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      id: call.callId,
      userId: 'ada',
      apiKeyId: key.id,
      conversationId: call.conversationId,
      provider: 'openai',
      requestModel: 'gpt-x',
      operation: 'chat',
      status: 'pending',
      settledAt: undefined,
      inputTokens: undefined,
      finishReasons: [],
    })
    expect(await stele.calls.exactResponse('ada', call.callId)).toBeUndefined()
    const usage = {
      prompt_tokens: 11,
      completion_tokens: 7,
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 2 },
    }
    const body = completionBody('a', { id: 'chatcmpl-9', usage })
    await stele.recorder.settle(
      call,
      completed(body, {
        costNanousd: 1_234,
        latencyMs: 12.6,
        timeToFirstChunkMs: 3.2,
        createdAt: 1_800_000_000_000,
      }),
    )
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      status: 'completed',
      httpStatus: 200,
      contentType: 'application/json',
      responseModel: 'test-model-2026',
      providerResponseId: 'chatcmpl-9',
      finishReasons: ['stop'],
      inputTokens: 11,
      outputTokens: 7,
      cacheReadInputTokens: 3,
      reasoningOutputTokens: 2,
      costNanousd: 1_234,
      latencyMs: 13,
      timeToFirstChunkMs: 3,
      settledAt: 1_800_000_000_000,
      errorCode: undefined,
    })
  })

  test('a price that is unknown stays unknown, a price of nothing is nothing', async () => {
    const stele = await (await bed.place()).stele()
    const costOf = async (costNanousd: number | undefined): Promise<number | undefined> => {
      const call = await begin(stele, chatBody([user('q')]))
      await stele.recorder.settle(call, completed(completionBody('a'), { costNanousd }))
      return (await stele.calls.get('ada', call.callId))?.costNanousd
    }
    expect(await costOf(undefined)).toBeUndefined()
    expect(await costOf(0)).toBe(0)
    expect(await costOf(1_000_000_000_000_000)).toBe(1_000_000_000_000_000)
  })

  test('a failed call keeps what was sent, what came back and why it failed', async () => {
    const stele = await (await bed.place()).stele()
    const request = chatBody([user('q')])
    const call = await begin(stele, request)
    const body = '{"error":{"message":"no"}}'
    await stele.recorder.settle(call, {
      status: 'failed',
      httpStatus: 429,
      body,
      errorCode: 'provider_error',
      errorMessage: 'status 429',
    })
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      status: 'failed',
      httpStatus: 429,
      errorCode: 'provider_error',
      errorMessage: 'status 429',
    })
    expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toBe(request)
    expect((await stele.calls.exactResponse('ada', call.callId))?.toString()).toBe(body)
  })

  test('calls are listed newest first, page by page, each once, and tailed oldest first', async () => {
    const stele = await (await bed.place()).stele()
    const made: string[] = []
    for (let index = 0; index < 7; index++)
      made.push((await exchange(stele, [user(`q${index}`)], 'a')).call.callId)
    const found: string[] = []
    for (let before: string | undefined; ; before = found.at(-1)) {
      const page = await stele.calls.list({ userId: 'ada', limit: 3, before })
      if (page.length === 0) break
      found.push(...page.map(call => call.id))
    }
    expect(found).toEqual(made.toReversed())
    const tail = await stele.calls.list({ after: made[2], limit: 3 })
    expect(tail.map(call => call.id)).toEqual(made.slice(3, 6))
  })

  test('a call belongs to its user: others find and list nothing', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('q')], 'a')
    expect(await stele.calls.get('bob', call.callId)).toBeUndefined()
    expect(await stele.calls.list({ userId: 'bob' })).toEqual([])
    await failure('call_not_found', stele.calls.exactRequest('bob', call.callId))
    await failure('call_not_found', stele.calls.exactResponse('bob', call.callId))
    expect(await stele.calls.find(call.callId)).toMatchObject({ id: call.callId, userId: 'ada' })
    expect((await stele.calls.list()).map(({ id }) => id)).toEqual([call.callId])
  })

  test('an unknown call is undefined, and its exact texts say that it is unknown', async () => {
    const stele = await (await bed.place()).stele()
    expect(await stele.calls.get('ada', unknownCall)).toBeUndefined()
    expect(await stele.calls.find(unknownCall)).toBeUndefined()
    await failure('call_not_found', stele.calls.exactRequest('ada', unknownCall))
    await failure('call_not_found', stele.calls.exactResponse('ada', unknownCall))
  })

  test('a history with a message missing is an error, not a shorter request', async () => {
    const stele = await (await bed.place()).stele()
    const { call } = await exchange(stele, [user('one'), user('two'), user('three')], 'a')
    await stele.database.kysely.deleteFrom('messages').where('seq', '=', 1).execute()
    const error = await failure('content_unreadable', stele.calls.exactRequest('ada', call.callId))
    expect(error.message).toContain('message 1')
    await stele.database.kysely.deleteFrom('messages').where('role', '=', 'assistant').execute()
    await failure('content_unreadable', stele.calls.exactResponse('ada', call.callId))
  })
}
