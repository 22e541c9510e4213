import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { errorOf, onlyCall, recorded, startGateway } from './running.ts'
import { eventStream, json, startUpstream, stream, whole } from './upstream.ts'
import { answerEvents, openAiError, questionOf } from './wire.ts'

const html = '<html><body>sekret-words</body></html>'

const unusable: Record<string, Parameters<typeof whole>> = {
  'a redirect': ['', { status: 302, location: 'http://127.0.0.1:1/elsewhere' }],
  'a reply without content': ['', { status: 204 }],
  'an error under a status of success': [JSON.stringify(openAiError('sekret-words'))],
  garbage: [Buffer.from([0xff, 0x00, 0xfe, 0x9d])],
  'an empty reply': [''],
  'half a JSON text': ['{"id":"x","choices":[{"message":{"role":"assistant","content":"sekret-w'],
  'JSON that is no completion': ['{"object":"list","data":["sekret-words"]}'],
  null: ['null'],
  'a page': [html, { 'content-type': 'text/html' }],
  'an unknown compression': [Buffer.from([0x1f, 0x8b, 8, 0]), { 'content-encoding': 'gzip' }],
}

describe.each([
  ['JSON', false],
  ['a stream', true],
])('asked for %s', (_, isStream) => {
  const asked = questionOf('Hi', { stream: isStream })

  test("an error in OpenAI's shape is passed on byte for byte and recorded", async () => {
    const upstream = await startUpstream()
    const running = await startGateway({ upstream })
    for (const status of [400, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529]) {
      const body = JSON.stringify(openAiError('Too much of it.', 'its_code'), null, 1)
      upstream.answer(whole(body, { status, 'retry-after': 7, 'x-request-id': 'req_9' }))
      const reply = await running.post(asked)
      expect({ status: reply.status, text: reply.text }).toEqual({ status, text: body })
      expect(reply.headers).toMatchObject({ 'retry-after': '7', 'x-request-id': 'req_9' })
      const { call, response } = await recorded(running, reply.headers['x-stele-call-id'])
      expect(call).toMatchObject({
        status: 'failed',
        httpStatus: status,
        errorCode: 'provider_error',
        errorMessage: `The provider 'test' answered with status ${status}.`,
        finishReasons: [],
        inputTokens: undefined,
      })
      expect(response).toBe(body)
    }
  })

  test("an error in HTML becomes one in OpenAI's shape, the page kept in the record alone", async () => {
    const upstream = await startUpstream()
    const running = await startGateway({ upstream })
    for (const status of [400, 404, 429, 500, 503]) {
      upstream.answer(whole(html, { status, 'content-type': 'text/html', 'retry-after': '7' }))
      const reply = await running.post(asked)
      expect(reply.status).toBe(status)
      const message = `The provider 'test' answered with status ${status}.`
      expect(errorOf(reply)).toEqual({ message, type: 'provider_error', param: null, code: 'provider_error' })
      expect(reply.headers['retry-after']).toBe('7')
      const { call, response } = await recorded(running, reply.headers['x-stele-call-id'])
      expect(call).toMatchObject({
        status: 'failed',
        httpStatus: status,
        contentType: 'text/html',
        errorCode: 'provider_error',
      })
      expect(response).toBe(html)
    }
    expect(running.log()).not.toContain('sekret')
  })

  test.each([401, 403])("a provider's %i is not the client's: its own key is good", async status => {
    const upstream = await startUpstream(
      json(openAiError('Incorrect API key provided: sk-up****'), { status }),
    )
    const running = await startGateway({ upstream, provider: { apiKey: 'sk-up-1234' } })
    const asking = running.client().chat.completions.create({ ...questionOf('Hi'), stream: isStream })
    const error = await asking.catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(OpenAI.InternalServerError)
    expect(error).toMatchObject({ status: 502, code: 'provider_auth_failed', type: 'provider_error' })
    expect(String(error)).not.toContain('sk-up')
    expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('x-should-retry')).toBe('false')
    expect((await onlyCall(running)).call).toMatchObject({
      status: 'failed',
      httpStatus: status,
      errorCode: 'provider_auth_failed',
    })
  })

  test('a reply that cannot be used is a bad gateway, and is kept as it came', async () => {
    const upstream = await startUpstream()
    const running = await startGateway({ upstream })
    for (const [name, given] of Object.entries(unusable)) {
      upstream.answer(whole(...given))
      const answer = await running.post(asked)
      expect({ name, status: answer.status }).toEqual({ name, status: 502 })
      expect(errorOf(answer)).toMatchObject({ code: 'provider_invalid_response', type: 'provider_error' })
      expect(answer.text).not.toContain('sekret')
      const { call } = await recorded(running, answer.headers['x-stele-call-id'])
      expect(call).toMatchObject({
        status: 'failed',
        httpStatus: given[1]?.status ?? 200,
        errorCode: 'provider_invalid_response',
      })
      const stored = await running.stele.calls.exactResponse('ada', call.id)
      expect(stored?.equals(Buffer.from(given[0]))).toBe(true)
    }
    expect(running.log()).not.toContain('sekret')
    expect(upstream.journal).toHaveLength(Object.keys(unusable).length)
  })
})

test('a status beyond HTTP is told as a bad gateway', async () => {
  const running = await startGateway({ upstream: await startUpstream(whole('no', { status: 999 })) })
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(502)
  expect(errorOf(reply).code).toBe('provider_error')
  expect((await recorded(running, reply.headers['x-stele-call-id'])).call).toMatchObject({
    status: 'failed',
    httpStatus: 999,
  })
})

test('a JSON reply to a request for a stream is given as a stream, with all its choices', async () => {
  const choices = [
    { index: 0, message: { role: 'assistant', content: 'one' }, finish_reason: 'stop' },
    { index: 1, message: { role: 'assistant', content: 'two' }, finish_reason: 'length' },
  ]
  const body = JSON.stringify({ ...completion(''), choices })
  const running = await startGateway({ upstream: await startUpstream(whole(body)) })
  const answer = await running
    .client()
    .chat.completions.stream({ ...questionOf('Hi'), n: 2, stream: true })
    .finalChatCompletion()
  expect(answer.choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual([
    ['one', 'stop'],
    ['two', 'length'],
  ])
  const [call] = await running.stele.calls.list()
  expect(await recorded(running, call?.id)).toMatchObject({
    call: { status: 'completed', inputTokens: 10 },
    response: body,
  })
  const { text } = await running.post(questionOf('Hi', { n: 2, stream: true }))
  expect(text).not.toContain('prompt_tokens')
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
})

test('a stream in reply to a request for JSON is an unusable reply, kept as it came', async () => {
  const events = answerEvents(['sekret-words'])
  const running = await startGateway({ upstream: await startUpstream(stream(events)) })
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(502)
  expect(errorOf(reply).code).toBe('provider_invalid_response')
  expect(reply.text).not.toContain('sekret')
  const { call, response } = await recorded(running, reply.headers['x-stele-call-id'])
  expect(call).toMatchObject({ status: 'failed', contentType: eventStream['content-type'] })
  expect(response).toBe(events.join(''))
})

test('an event stream is known by its type however that is spelled', async () => {
  const events = answerEvents(['ok'])
  for (const type of ['Text/Event-Stream', 'text/event-stream;charset=utf-8', 'TEXT/EVENT-STREAM ; x=y']) {
    const running = await startGateway({
      upstream: await startUpstream(stream(events, { 'content-type': type })),
    })
    const { text } = await running.post(
      questionOf('Hi', { stream: true, stream_options: { include_usage: true } }),
    )
    expect(text).toBe(events.join(''))
  }
})
