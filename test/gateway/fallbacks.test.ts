import { expect, test } from 'vitest'
import { assistant, begin, chatBody, completed, completion, historyOf, user } from '../harness/chat.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'
import { FakeTiming } from './fake-timing.ts'
import { errorOf, recorded, startGateway } from './running.ts'
import { type Answer, json, reset, startUpstream, stream } from './upstream.ts'
import { answerEvents, chunk, event, openAiError, questionOf } from './wire.ts'

const good = json(completion('from the second'))
const refusal = (status: number, code: string | null = null, headers: Record<string, string> = {}): Answer =>
  json(openAiError('No.', code), { status, ...headers })

const asked = { ...questionOf('Hi'), model: 'fast' }

/** Two providers, and the model `fast` that stands for a model of each. */
async function start(first: Answer[], second: Answer[] = [good], settings: Record<string, unknown> = {}) {
  const [one, two] = [await startUpstream(...first), await startUpstream(...second)]
  const timing = new FakeTiming()
  const running = await startGateway({
    timing,
    config: {
      providers: {
        one: { baseUrl: one.baseUrl, retries: 1, ...settings },
        two: { baseUrl: two.baseUrl, retries: 1 },
      },
      models: { fast: { targets: ['one/gpt-a', 'two/vendor/gpt-b'] } },
    },
  })
  const attempts = async () =>
    (await running.stele.calls.list())
      .toReversed()
      .map(call => [call.provider, call.requestModel, call.routeMode, call.status])
  return { running, one, two, timing, attempts }
}

test('the first target answers while it can', async () => {
  const { running, one, two, attempts } = await start([json(completion('from the first'))])
  const { text, headers } = await running.post(asked)
  expect(text).toContain('from the first')
  expect(one.journal[0]?.text).toBe(JSON.stringify({ ...asked, model: 'gpt-a' }))
  expect(two.journal).toHaveLength(0)
  expect(await attempts()).toEqual([['one', 'gpt-a', undefined, 'completed']])
  expect((await recorded(running, headers['x-stele-call-id'])).request).toBe(JSON.stringify(asked))
})

test('when its retries are used up the next one is asked; the record tells all of it as one conversation', async () => {
  const { running, one, two, attempts } = await start([refusal(503), reset], [refusal(500), good])
  const reply = await running.post(asked)
  expect(reply.text).toContain('from the second')
  expect(one.journal).toHaveLength(2)
  expect(two.journal.map(({ text }) => JSON.parse(text).model)).toEqual(['vendor/gpt-b', 'vendor/gpt-b'])
  expect(await attempts()).toEqual([
    ['one', 'gpt-a', undefined, 'failed'],
    ['one', 'gpt-a', 'retry', 'failed'],
    ['two', 'vendor/gpt-b', 'fallback', 'failed'],
    ['two', 'vendor/gpt-b', 'retry', 'completed'],
  ])
  const { call, request } = await recorded(running, reply.headers['x-stele-call-id'])
  expect(call).toMatchObject({ attempt: 4, status: 'completed' })
  expect(request).toBe(JSON.stringify(asked))
  expect(await historyOf(running.stele, call.conversationId)).toEqual([
    user('Hi'),
    assistant('from the second'),
  ])
  expect(await countOf(running.stele, 'conversations')).toBe(1)
  expect(reply.headers['x-stele-attempts']).toBe('4')
})

test('the official client streams from the second target when the first one fails', async () => {
  const events = answerEvents(['from ', 'the second'])
  for (const failing of [reset, stream([event(openAiError('x'))]), refusal(401)]) {
    const { running } = await start([failing], [stream(events)])
    const final = await running
      .client()
      .chat.completions.stream({ ...asked, stream: true })
      .finalChatCompletion()
    expect(final.choices[0]?.message.content).toBe('from the second')
  }
})

test('a stream of which a part reached the client is not begun anew by another target', async () => {
  const part = chunk({ role: 'assistant', content: 'half' })
  const { running, two } = await start([stream([part])])
  const { text } = await running.post({ ...asked, stream: true })
  expect(text.startsWith(part)).toBe(true)
  expect(text).toContain('provider_stream_truncated')
  expect(two.journal).toHaveLength(0)
})

test.each([401, 402, 403, 404, 405, 410, 413, 501])(
  'a %i is about the target: the next one is asked at once',
  async status => {
    const { running, one, timing } = await start([refusal(status)])
    expect((await running.post(asked)).text).toContain('from the second')
    expect(one.journal).toHaveLength(1)
    expect(timing.waits).toEqual([])
  },
)

test.each([400, 418, 422, 451])('a %i is about the request: the client is told', async status => {
  const { running, two } = await start([refusal(status)])
  expect((await running.post(asked)).status).toBe(status)
  expect(two.journal).toHaveLength(0)
})

test('a prompt that is too long for the first model may fit into the next', async () => {
  const { running, one } = await start([refusal(400, 'context_length_exceeded')])
  expect((await running.post(asked)).text).toContain('from the second')
  expect(one.journal).toHaveLength(1)
})

test('a provider that asks for too much time is not waited for when there is another', async () => {
  const { running, one, timing } = await start([refusal(429, null, { 'retry-after': '60' })])
  expect((await running.post(asked)).text).toContain('from the second')
  expect(one.journal).toHaveLength(1)
  expect(timing.waits).toEqual([])
})

test('the next target is asked even when the time for retries is over', async () => {
  const { running, one, timing } = await start([refusal(504)])
  one.whenReceived(() => {
    timing.time += 300_000
  })
  expect((await running.post(asked)).text).toContain('from the second')
  expect(one.journal).toHaveLength(1)
})

test('when no target answers the client is told the last failure', async () => {
  const { running, two } = await start([refusal(503)], [refusal(500, 'second_code')])
  const reply = await running.post(asked)
  expect(reply.status).toBe(500)
  expect(reply.text).toContain('second_code')
  expect(two.journal).toHaveLength(2)
  expect((await recorded(running, reply.headers['x-stele-call-id'])).call).toMatchObject({ provider: 'two' })
})

test('"try again later" is told rather than what a later target has against its key', async () => {
  const { running } = await start([refusal(429, 'slow_down', { 'retry-after': '20' })], [refusal(401)])
  const reply = await running.post(asked)
  expect(reply.status).toBe(429)
  expect(reply.text).toContain('slow_down')
  expect(reply.headers['retry-after']).toBe('20')
  expect(reply.headers).not.toHaveProperty('x-should-retry')
  const { call } = await recorded(running, reply.headers['x-stele-call-id'])
  expect(call).toMatchObject({ provider: 'one', httpStatus: 429 })
  const group = await running.stele.calls.group('ada', call.id)
  expect(group.map(({ provider }) => provider)).toEqual(['one', 'two'])
})

test('what the record does not know a provider may be asked for', async () => {
  const upstream = await startUpstream(good)
  const running = await startGateway({
    upstream,
    config: { models: { known: { targets: ['replay/gpt-a', 'test/gpt-a'] } } },
  })
  const call = await begin(running.stele, chatBody([user('old')]), { requestModel: 'gpt-a' })
  const recording = JSON.stringify(completion('as recorded'))
  await running.stele.recorder.settle(call, completed(recording))
  const ask = (content: string) => running.post({ ...questionOf(content), model: 'known' })
  expect((await ask('old')).text).toContain('as recorded')
  expect(upstream.journal).toHaveLength(0)
  expect((await ask('new')).text).toContain('from the second')
})

test('a model may stand for itself and then for others', async () => {
  const [main, other] = [await startUpstream(reset), await startUpstream(good)]
  const running = await startGateway({
    upstream: main,
    config: {
      providers: { other: { baseUrl: other.baseUrl } },
      models: { 'gpt-test': { targets: ['gpt-test', 'other/gpt-test'] } },
    },
  })
  expect((await running.post(questionOf('Hi'))).text).toContain('from the second')
  expect(main.journal).toHaveLength(1)
  main.answer(json(completion('again')))
  expect((await running.post({ ...questionOf('Hi'), model: 'gpt-other' })).text).toContain('again')
})

test('models that stand for others are listed, once, and found by their names', async () => {
  const upstream = await startUpstream()
  const running = await startGateway({
    upstream,
    provider: { models: ['gpt-test'] },
    config: { models: { 'gpt-test': { targets: ['gpt-test'] }, fast: { targets: ['gpt-test'] } } },
  })
  const models = await running.client().models.list()
  expect(models.data.map(({ id, owned_by: owner }) => [id, owner])).toEqual([
    ['gpt-test', 'test'],
    ['fast', 'stele'],
  ])
  expect(await running.client().models.retrieve('fast')).toMatchObject({ id: 'fast' })
})

test('targets that lead nowhere are refused when the gateway starts', async () => {
  const provider = { baseUrl: 'http://127.0.0.1:1/v1' }
  const providers = { one: provider, two: provider }
  const error = await failure(
    'config_invalid',
    startGateway({ config: { providers, models: { fast: { targets: ['one/a', 'three/a'] } } } }),
  )
  expect(error.message).toContain('models.fast.targets.1')
  for (const models of [
    { fast: { targets: [] } },
    { fast: {} },
    { fast: ['one/a'] },
    { '': { targets: ['one/a'] } },
  ])
    await failure('config_invalid', startGateway({ config: { providers, models } }))
})

test('a failure of the second target is told in its own shape', async () => {
  const { running } = await start([refusal(404)], [json({ oops: true }, { status: 404 })])
  const reply = await running.post(asked)
  expect(reply.status).toBe(404)
  expect(errorOf(reply)).toMatchObject({
    code: 'provider_error',
    message: "The provider 'two' answered with status 404.",
  })
})
