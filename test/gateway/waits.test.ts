import { expect, test } from 'vitest'
import { shutDown } from '../../src/gateway/shutdown.ts'
import { completion } from '../harness/chat.ts'
import { failure } from '../harness/errors.ts'
import { FakeTiming, untilAborted } from './fake-timing.ts'
import { errorOf, onlyCall, type RunningOptions, startGateway } from './running.ts'
import { type Answer, json, startUpstream, whole } from './upstream.ts'
import { openAiError, questionOf } from './wire.ts'

/** How long the gateway waits between attempts, and when it does not. */

const longTime = 60_000
const good = json(completion('ok'))
const refusal = (headers: Record<string, string> = {}, status = 429): Answer =>
  json(openAiError('Not now.'), { status, ...headers })

async function start(
  answers: Answer[],
  timing: FakeTiming,
  provider: Record<string, unknown> = {},
  config: RunningOptions['config'] = {},
) {
  const upstream = await startUpstream(...answers)
  const running = await startGateway({ upstream, timing, provider: { retries: 2, ...provider }, config })
  return { running, upstream }
}

test('waits double, up to a longest one, and chance takes any part of each', async () => {
  const timing = new FakeTiming()
  const { running, upstream } = await start([refusal()], timing, { retries: 7 }, { retryBudget: 1_000 })
  timing.chance = 1
  await running.post(questionOf('Hi'))
  expect(timing.waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000])
  timing.waits.length = 0
  timing.chance = 0
  await running.post(questionOf('Hi'))
  expect(timing.waits).toEqual([0, 0, 0, 0, 0, 0, 0])
  expect(upstream.journal).toHaveLength(16)
})

test.each([
  [{ 'retry-after': '7' }, 7_000],
  [{ 'retry-after': '0.25' }, 250],
  [{ 'retry-after-ms': '1500' }, 1_500],
  [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1_500],
  [{ 'retry-after': '0' }, 0],
  [{ 'retry-after': 'soon' }, 0],
  [{ 'retry-after': '-3' }, 0],
  [{ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, 0],
])('a provider that sends %j is left alone for %i ms, and a little longer', async (headers, expected) => {
  const timing = new FakeTiming()
  const { running } = await start([refusal(headers), good], timing)
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
  expect(timing.waits).toEqual([expected + 250])
})

test('a wait takes the time it should', async () => {
  const upstream = await startUpstream(refusal({ 'retry-after-ms': '120' }), good)
  const running = await startGateway({ upstream, provider: { retries: 1 } })
  const start = performance.now()
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
  // A timer may end within the millisecond before its time.
  expect(performance.now() - start).toBeGreaterThanOrEqual(119)
})

test('a date to come is waited for', async () => {
  const timing = new FakeTiming()
  timing.chance = 0
  const date = new Date(Date.now() + 8_000).toUTCString()
  const { running } = await start([refusal({ 'retry-after': date }), good], timing)
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
  // A date has no fraction of a second.
  expect(timing.waits[0]).toBeGreaterThan(5_000)
  expect(timing.waits[0]).toBeLessThanOrEqual(8_000)
})

test.each([{ 'retry-after': '11' }, { 'retry-after-ms': '10001' }])(
  'a provider that asks for too much time (%j) is not waited for: the client is told, and how long',
  async headers => {
    const timing = new FakeTiming()
    const { running, upstream } = await start([refusal(headers), good], timing)
    const reply = await running.post(questionOf('Hi'))
    expect(reply.status).toBe(429)
    expect(reply.headers).toMatchObject(headers)
    expect(upstream.journal).toHaveLength(1)
    expect(timing.waits).toEqual([])
  },
)

test('how long a provider is waited for is a setting of it', async () => {
  const timing = new FakeTiming()
  const { running } = await start([refusal({ 'retry-after': '30' }), good], timing, { maxRetryAfter: 30 })
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
  expect(timing.waits).toEqual([30_250])
})

test('no attempt is begun beyond the budget', async () => {
  const timing = new FakeTiming()
  const { running, upstream } = await start([refusal({}, 503)], timing, {}, { retryBudget: 60 })
  upstream.whenReceived(() => {
    timing.time += 30_000
  })
  expect((await running.post(questionOf('Hi'))).status).toBe(503)
  // After 30 s there is time for another, after 60 s there is none.
  expect(upstream.journal).toHaveLength(2)
  expect(timing.waits).toEqual([250])
})

test('a client that leaves between two attempts is the end of them', async () => {
  const waiting = Promise.withResolvers<void>()
  const timing = new FakeTiming(async signal => {
    waiting.resolve()
    await untilAborted(signal)
  })
  const { running, upstream } = await start([refusal({}, 503), good], timing)
  const leave = new AbortController()
  const asking = running
    .client()
    .chat.completions.create(questionOf('Hi'), { signal: leave.signal })
    .catch((error: unknown) => error)
  await waiting.promise
  leave.abort()
  await asking
  await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
  expect(upstream.journal).toHaveLength(1)
  expect((await onlyCall(running)).call).toMatchObject({ status: 'failed', httpStatus: 503 })
})

test('a gateway that is told to stop tells what it has instead of trying again', async () => {
  const waiting = Promise.withResolvers<void>()
  const timing = new FakeTiming(async signal => {
    waiting.resolve()
    await untilAborted(signal)
  })
  const { running, upstream } = await start([refusal({}, 503), good], timing)
  const asking = running.post(questionOf('Hi'))
  await waiting.promise
  await shutDown(running.gateway, { timeout: longTime })
  expect((await asking).status).toBe(503)
  expect(errorOf(await asking)).toMatchObject({ message: 'Not now.' })
  expect(upstream.journal).toHaveLength(1)
})

test('a gateway that is told to stop while its provider fails does not go on to another one', async () => {
  const [first, second] = [await startUpstream(refusal({}, 401)), await startUpstream(good)]
  const running = await startGateway({
    config: {
      providers: { first: { baseUrl: first.baseUrl }, second: { baseUrl: second.baseUrl } },
      models: { fast: { targets: ['first/a', 'second/b'] } },
    },
  })
  first.whenReceived(() => running.gateway.state.stopping.abort())
  const reply = await running.post({ ...questionOf('Hi'), model: 'fast' })
  expect(errorOf(reply).code).toBe('provider_auth_failed')
  expect(second.journal).toHaveLength(0)
})

test('a store that fails between two attempts is told; nothing is asked without an intent', async () => {
  const upstream = await startUpstream(refusal({}, 503), good)
  const running = await startGateway({
    upstream,
    provider: { retries: 2 },
    store: { retryFor: 50 },
    timing: new FakeTiming(async () => void (await running.stele.recorder.close())),
  })
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(503)
  expect(errorOf(reply).code).toBe('shutting_down')
  expect(upstream.journal).toHaveLength(1)
})

test('retries of a provider that answers in HTML are the same retries', async () => {
  const timing = new FakeTiming()
  const page = whole('<html>', { status: 502, 'content-type': 'text/html', 'retry-after': '2' })
  const { running } = await start([page, good], timing)
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
  expect(timing.waits).toEqual([2_250])
})

test.each([
  { retries: -1 },
  { retries: 11 },
  { retries: 1.5 },
  { maxRetryAfter: -1 },
  { breakerCoolDown: 0 },
])('a provider with %j is refused', async settings => {
  const provider = { baseUrl: 'http://127.0.0.1:1/v1', ...settings }
  const error = await failure('config_invalid', startGateway({ config: { providers: { one: provider } } }))
  expect(error.message).toContain(`providers.one.${Object.keys(settings)[0]}`)
})
