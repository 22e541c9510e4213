import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { FakeTiming } from './fake-timing.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'
import { type Answer, eventStream, json, reset, startUpstream } from './upstream.ts'
import { chunk, done, openAiError, questionOf } from './wire.ts'

const good = json(completion('ok'))
const refusal = (status: number): Answer => json(openAiError('No.'), { status })

/** A gateway that gives its provider up after three failures, for ten seconds. */
async function start(answers: Answer[], settings: Record<string, unknown> = {}) {
  const upstream = await startUpstream(...answers)
  const timing = new FakeTiming()
  const running = await startGateway({
    upstream,
    timing,
    provider: { breakerFailures: 3, breakerCoolDown: 10, ...settings },
  })
  return { running, upstream, timing, ask: () => running.post(questionOf('Hi')) }
}

async function stateOf(running: Running): Promise<unknown> {
  const { text } = await running.send('GET', '/readyz')
  return JSON.parse(text).providers.test
}

async function times<T>(count: number, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (let index = 0; index < count; index++) results.push(await work())
  return results
}

function expectRefused(reply: RawReply, seconds: string): void {
  expect(reply.status).toBe(503)
  expect(errorOf(reply)).toEqual({
    message: "The provider 'test' failed repeatedly and is not asked for now.",
    type: 'server_error',
    param: null,
    code: 'provider_unavailable',
  })
  expect(reply.headers['retry-after']).toBe(seconds)
}

test('a provider that fails time and again is not asked any more, and clients are told until when', async () => {
  const { running, upstream, timing, ask } = await start([reset])
  expect((await times(3, ask)).map(({ status }) => status)).toEqual([502, 502, 502])
  expect(await stateOf(running)).toBe('open')
  expect(running.log()).toContain('the provider fails and is not asked for a while')
  expectRefused(await ask(), '10')
  timing.time += 9_001
  expectRefused(await ask(), '1')
  expect(upstream.journal).toHaveLength(3)
  // Nothing was dispatched, so there is no call.
  expect(await running.stele.calls.list()).toHaveLength(3)
  expect((await running.send('GET', '/readyz')).status).toBe(200)
})

test('after the cool-down one request is let through, and its success lets all through', async () => {
  const { running, upstream, timing, ask } = await start([refusal(500)])
  await times(3, ask)
  timing.time += 10_000
  expect(await stateOf(running)).toBe('half-open')
  const answering = Promise.withResolvers<void>()
  upstream.answer(async (reply, request) => {
    await answering.promise
    await good(reply, request)
  }, good)
  const probe = ask()
  await upstream.received(3)
  expectRefused(await ask(), '1')
  answering.resolve()
  expect((await probe).status).toBe(200)
  expect(await stateOf(running)).toBe('closed')
  expect(running.log()).toContain('the provider answers again')
  expect((await ask()).status).toBe(200)
})

test('a probe that fails shuts the provider out for another cool-down', async () => {
  const { running, upstream, timing, ask } = await start([refusal(500)])
  await times(3, ask)
  timing.time += 10_000
  expect((await ask()).status).toBe(500)
  expect(await stateOf(running)).toBe('open')
  expectRefused(await ask(), '10')
  expect(upstream.journal).toHaveLength(4)
})

test('a probe whose client leaves tells nothing: the next request is the probe', async () => {
  const { running, upstream, timing, ask } = await start([refusal(500)])
  await times(3, ask)
  timing.time += 10_000
  upstream.answer(() => undefined, good)
  const leave = new AbortController()
  const asking = running
    .client()
    .chat.completions.create(questionOf('Hi'), { signal: leave.signal })
    .catch((error: unknown) => error)
  await upstream.received(3)
  leave.abort()
  await asking
  await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
  expect((await ask()).status).toBe(200)
  expect(await stateOf(running)).toBe('closed')
})

test('a probe that streams has succeeded with its first event', async () => {
  const { running, upstream, timing, ask } = await start([refusal(500)])
  await times(3, ask)
  timing.time += 10_000
  const ending = Promise.withResolvers<void>()
  upstream.answer(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'a' }))
    await ending.promise
    reply.end(chunk({}, { finish: 'stop' }) + done)
  }, good)
  const stream = running.client().chat.completions.stream({ ...questionOf('Hi'), stream: true })
  await stream.emitted('chunk')
  expect(await stateOf(running)).toBe('closed')
  expect((await ask()).status).toBe(200)
  ending.resolve()
  await stream.finalChatCompletion()
})

test.each([400, 401, 404, 409, 429])('a provider that answers %i is not down', async status => {
  const { running, upstream, ask } = await start([refusal(status)])
  await times(5, ask)
  expect(upstream.journal).toHaveLength(5)
  expect(await stateOf(running)).toBe('closed')
})

test('only failures one after another count', async () => {
  const { running, ask } = await start([reset, reset, good, reset, reset, refusal(429), reset, reset, good])
  await times(8, ask)
  expect(await stateOf(running)).toBe('closed')
})

test('retries count too, and end when they open the breaker', async () => {
  const { upstream, timing, ask } = await start([refusal(500)], { retries: 5 })
  expect((await ask()).status).toBe(500)
  expect(upstream.journal).toHaveLength(3)
  expect(timing.waits).toHaveLength(2)
})

test('streams that break off count as failures', async () => {
  const broken: Answer = async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ content: 'half' }))
    reply.reset()
  }
  const { running } = await start([broken])
  await times(3, () => running.post(questionOf('Hi', { stream: true })))
  expect(await stateOf(running)).toBe('open')
})

test('0 failures means that it is asked always', async () => {
  const { upstream, ask } = await start([reset], { breakerFailures: 0 })
  await times(12, ask)
  expect(upstream.journal).toHaveLength(12)
})

test('a provider that is not asked is passed over for the next target, which makes the first call', async () => {
  const [one, two] = [await startUpstream(reset), await startUpstream(good)]
  const running = await startGateway({
    timing: new FakeTiming(),
    config: {
      providers: {
        one: { baseUrl: one.baseUrl, retries: 0, breakerFailures: 1 },
        two: { baseUrl: two.baseUrl },
      },
      models: { fast: { targets: ['one/a', 'two/b'] } },
    },
  })
  const ask = () => running.post({ ...questionOf('Hi'), model: 'fast' })
  expect((await ask()).headers['x-stele-attempts']).toBe('2')
  const reply = await ask()
  expect(reply.status).toBe(200)
  expect(one.journal).toHaveLength(1)
  const [call] = await running.stele.calls.list()
  expect(call).toMatchObject({
    id: reply.headers['x-stele-call-id'],
    groupId: reply.headers['x-stele-call-id'],
    attempt: 1,
    routeMode: 'fallback',
    provider: 'two',
  })
  expect(JSON.parse((await running.send('GET', '/readyz')).text).providers).toEqual({
    one: 'open',
    two: 'closed',
  })
})
