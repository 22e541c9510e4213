import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { onlyCall, recorded, startGateway } from './running.ts'
import { json, startUpstream, whole } from './upstream.ts'
import { openAiError, questionOf } from './wire.ts'

test('a completion reaches the official client as the provider wrote it, and is recorded whole', async () => {
  const reply = JSON.stringify({
    ...completion('Hello, Ada.', {
      id: 'chatcmpl-7',
      usage: {
        prompt_tokens: 12,
        completion_tokens: 4,
        total_tokens: 16,
        prompt_tokens_details: { cached_tokens: 8 },
        completion_tokens_details: { reasoning_tokens: 2 },
      },
    }),
    system_fingerprint: 'fp_1',
  }).replace('"fp_1"', '"fp_1" , "big": 12345678901234567890')
  const upstream = await startUpstream(whole(reply))
  const running = await startGateway({ upstream })
  const { data, response } = await running.client().chat.completions.create(questionOf('Hi')).withResponse()
  expect(data.choices[0]?.message.content).toBe('Hello, Ada.')
  expect(data.usage?.total_tokens).toBe(16)

  const { call, request, response: stored } = await recorded(running, response.headers.get('x-stele-call-id'))
  expect(call).toMatchObject({
    userId: 'ada',
    provider: 'test',
    requestModel: 'gpt-test',
    responseModel: 'test-model-2026',
    providerResponseId: 'chatcmpl-7',
    operation: 'chat',
    status: 'completed',
    httpStatus: 200,
    contentType: 'application/json',
    finishReasons: ['stop'],
    inputTokens: 12,
    outputTokens: 4,
    cacheReadInputTokens: 8,
    reasoningOutputTokens: 2,
    costNanousd: undefined,
    errorCode: undefined,
    conversationId: response.headers.get('x-stele-conversation'),
  })
  expect(call.latencyMs).toBeGreaterThanOrEqual(0)
  expect(request).toBe(upstream.journal[0]?.text)
  expect(stored).toBe(reply)
})

test('the bytes of a reply reach the client unchanged', async () => {
  const reply = `  ${JSON.stringify(completion('Grüße 🪨 \u2028'), null, 3)}\r\n`
  const running = await startGateway({ upstream: await startUpstream(whole(reply)) })
  const { text, headers } = await running.post(questionOf('Hi'))
  expect(text).toBe(reply)
  expect((await recorded(running, headers['x-stele-call-id'])).response).toBe(reply)
})

test('tool calls, several choices, a refusal and logprobs come through', async () => {
  const toolCall = {
    id: 'call_a',
    type: 'function' as const,
    function: { name: 'weather', arguments: '{"city": "Bern"}' },
  }
  const choices = [
    {
      index: 0,
      message: { role: 'assistant', content: null, tool_calls: [toolCall] },
      logprobs: null,
      finish_reason: 'tool_calls',
    },
    {
      index: 1,
      message: { role: 'assistant', content: 'B', refusal: 'No.' },
      logprobs: { content: [{ token: 'B', logprob: -0.25, bytes: [66], top_logprobs: [] }], refusal: null },
      finish_reason: 'length',
    },
  ]
  const running = await startGateway({
    upstream: await startUpstream(json({ ...completion(null), choices })),
  })
  const answer = await running.client().chat.completions.create({
    ...questionOf('Weather?'),
    n: 2,
    logprobs: true,
    tools: [
      { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } },
    ],
  })
  expect(answer.choices[0]?.message.tool_calls).toEqual([toolCall])
  expect(answer.choices[1]?.message.refusal).toBe('No.')
  expect(answer.choices[1]?.logprobs?.content?.[0]?.logprob).toBe(-0.25)
  const { call } = await onlyCall(running)
  expect(call).toMatchObject({ status: 'completed', finishReasons: ['tool_calls', 'length'] })
  const [, reply] = await running.stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
  expect(JSON.parse(reply?.raw ?? '')).toEqual({ role: 'assistant', content: null, tool_calls: [toolCall] })
})

test('structured output and images are sent on and recorded as they are', async () => {
  const upstream = await startUpstream(json(completion('{"colour":"red"}')))
  const running = await startGateway({ upstream })
  const image = `data:image/png;base64,${Buffer.alloc(3_000, 7).toString('base64')}`
  const asked = {
    model: 'gpt-test',
    messages: [
      {
        role: 'user' as const,
        content: [
          { type: 'text' as const, text: 'Which colour?' },
          { type: 'image_url' as const, image_url: { url: image, detail: 'low' as const } },
        ],
      },
    ],
    response_format: {
      type: 'json_schema' as const,
      json_schema: {
        name: 'c',
        strict: true,
        schema: { type: 'object', properties: { colour: { type: 'string' } } },
      },
    },
  }
  await running.client().chat.completions.create(asked)
  expect(JSON.parse(upstream.journal[0]?.text ?? '')).toEqual(asked)
  expect((await onlyCall(running)).request).toBe(upstream.journal[0]?.text)
})

test.each([
  [400, OpenAI.BadRequestError],
  [404, OpenAI.NotFoundError],
  [409, OpenAI.ConflictError],
  [422, OpenAI.UnprocessableEntityError],
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
  [503, OpenAI.InternalServerError],
])("a provider's %i is the official client's own error", async (status, kind) => {
  const upstream = await startUpstream(json(openAiError('Something is wrong.', 'its_code'), { status }))
  const running = await startGateway({ upstream })
  const error = await running
    .client()
    .chat.completions.create(questionOf('Hi'))
    .catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(kind)
  expect(error).toMatchObject({ status, code: 'its_code', type: 'some_error' })
  expect((error as Error).message).toContain('Something is wrong.')
  expect((await onlyCall(running)).call).toMatchObject({
    status: 'failed',
    httpStatus: status,
    errorCode: 'provider_error',
  })
})

test("errors of Stele's own are the official client's own errors too", async () => {
  const running = await startGateway({ upstream: await startUpstream() })
  const ask = (client: OpenAI, body: object) =>
    client.chat.completions.create(body as ReturnType<typeof questionOf>).catch((caught: unknown) => caught)
  const client = running.client()
  expect(await ask(running.client({ apiKey: 'sk-wrong' }), questionOf('Hi'))).toBeInstanceOf(
    OpenAI.AuthenticationError,
  )
  expect(await ask(client, { ...questionOf('Hi'), user: 'bob' })).toBeInstanceOf(OpenAI.PermissionDeniedError)
  expect(await ask(client, { model: 'gpt-test', messages: [] })).toBeInstanceOf(OpenAI.BadRequestError)
  const missing = await client.models.retrieve('no-such-model').catch((caught: unknown) => caught)
  expect(missing).toBeInstanceOf(OpenAI.NotFoundError)
  expect(missing).toMatchObject({ code: 'model_not_found', param: 'model' })
})
