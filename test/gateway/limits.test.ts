import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { completion, user } from '../harness/chat.ts'
import { countOf } from '../harness/rows.ts'
import { byName, compare, question, told } from './comparing.ts'
import { errorOf, type Running, startGateway } from './running.ts'
import { json, startUpstream, stream, whole } from './upstream.ts'
import { answerEvents, openAiError, questionOf } from './wire.ts'

const ask = { model: 'm', messages: [user('Hi')], max_completion_tokens: 50 }
const good = json(completion('ok'), { 'x-ratelimit-remaining-tokens': '1', 'x-request-id': 'req_1' })

/** So many milliseconds of the minute must be left, or the test waits for the next. */
const needed = 5_000

/** Calls of a test that are to fall into one minute. */
async function inOneMinute(): Promise<void> {
  const left = (): number => 60_000 - (Date.now() % 60_000)
  await expect.poll(left, { timeout: needed + 1_000 }).toBeGreaterThan(needed)
}

async function start(answer = good): Promise<Running & { asked: () => number }> {
  const upstream = await startUpstream(answer)
  const running = await startGateway({ upstream })
  return { ...running, asked: () => upstream.journal.length }
}

test('a call that a limit of the minute refuses gets what OpenAI would say, and no provider is asked', async () => {
  const running = await start()
  await running.stele.limits.set({ user: 'ada' }, { requestsPerMinute: 2, tokensPerMinute: 1_000 })
  await inOneMinute()
  const first = await running.post(ask)
  expect(first.status).toBe(200)
  expect(first.headers).toMatchObject({
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '1',
    'x-ratelimit-limit-tokens': '1000',
    // The provider's other headers are passed on, but not what it says of its own limits.
    'x-request-id': 'req_1',
  })
  const remaining = Number(first.headers['x-ratelimit-remaining-tokens'])
  expect(remaining).toBeGreaterThan(900)
  expect(remaining).toBeLessThan(950)
  expect(first.headers['x-ratelimit-reset-requests']).toMatch(/^(\d+(\.\d+)?s|\d+ms)$/)
  await running.post(ask)

  const refused = await running.post(ask)
  expect(refused.status).toBe(429)
  expect(errorOf(refused)).toMatchObject({
    code: 'rate_limit_exceeded',
    type: 'requests',
    message: expect.stringMatching(
      /^Rate limit reached for requests per minute of this user: limit 2, used 2, requested 1\. Try again in \d+ s\.$/,
    ) as string,
  })
  expect(refused.headers).toMatchObject({
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '0',
  })
  const seconds = Number(refused.headers['retry-after'])
  expect(seconds).toBeGreaterThanOrEqual(1)
  expect(seconds).toBeLessThanOrEqual(60)
  expect(Number(refused.headers['retry-after-ms'])).toBeLessThanOrEqual(seconds * 1_000)
  expect(refused.headers['x-should-retry']).toBeUndefined()
  expect(running.asked()).toBe(2)
  expect(await countOf(running.stele, 'llm_requests')).toBe(2)
  const [event] = await running.stele.auditEvents.list({ action: 'call.refused', limit: 10 })
  expect(event).toMatchObject({
    userId: 'ada',
    outcome: 'denied',
    details: { code: 'rate_limit_exceeded', limit: '2', used: '2' },
  })
  // It can be looked for by what the client was told.
  expect(event?.target).toBe(refused.headers['x-stele-call-id'])
})

test('what a day or a month allows is a quota, which is no use to try again for', async () => {
  const running = await start()
  await running.stele.limits.set({ user: 'ada' }, { tokensPerDay: 100 })
  await running.post(ask)
  const refused = await running.post({ ...ask, max_completion_tokens: 90 })
  expect(refused.status).toBe(429)
  expect(errorOf(refused)).toMatchObject({ code: 'insufficient_quota', type: 'insufficient_quota' })
  expect(refused.headers).toMatchObject({
    'x-ratelimit-limit-tokens': '100',
    'x-ratelimit-remaining-tokens': '85',
  })
  // It stands before the last minute of the day, unless the test runs in that.
  expect(refused.headers['x-should-retry'] ?? 'false').toBe('false')
  const never = await running.post({ ...ask, max_completion_tokens: 101 })
  expect(errorOf(never).message).toContain('The request is larger than the limit.')
  expect(never.headers['x-should-retry']).toBe('false')
  expect(running.asked()).toBe(1)
})

test('the official client waits as long as it is told and tries again', async () => {
  const running = await start()
  await running.stele.limits.set({ user: 'ada' }, { requestsPerMinute: 1 })
  await inOneMinute()
  const waits: number[] = []
  const client = new OpenAI({
    apiKey: running.key,
    baseURL: `${running.address}/v1`,
    maxRetries: 1,
    async fetch(input, init) {
      const response = await fetch(input, init)
      const wait = response.headers.get('retry-after-ms')
      if (wait === null) return response
      waits.push(Number(wait))
      await running.stele.limits.set({ user: 'ada' }, { requestsPerMinute: 2 })
      // The rest of the minute is more than a test should wait for.
      const headers = new Headers(response.headers)
      headers.set('retry-after-ms', '1')
      return new Response(await response.text(), { status: response.status, headers })
    },
  })
  const { data, response } = await client.chat.completions
    .create({ model: 'm', messages: [{ role: 'user', content: 'a' }] })
    .withResponse()
  expect(data.choices[0]?.message.content).toBe('ok')
  expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('0')
  await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'b' }] })
  expect(waits).toHaveLength(1)
  const error = await client.chat.completions
    .create({ model: 'm', messages: [{ role: 'user', content: 'c' }] })
    .catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(OpenAI.RateLimitError)
  expect((error as InstanceType<typeof OpenAI.RateLimitError>).code).toBe('rate_limit_exceeded')
})

test('a stream tells what is left in its head, and settles to what it took', async () => {
  const running = await start(stream(answerEvents(['Hel', 'lo'])))
  await running.stele.limits.set({ user: 'ada' }, { tokensPerDay: 1_000 })
  const reply = await running.post({ ...questionOf('Hi', { stream: true }), max_completion_tokens: 100 })
  expect(reply.status).toBe(200)
  expect(reply.text.endsWith('data: [DONE]\n\n')).toBe(true)
  expect(reply.headers['x-ratelimit-limit-tokens']).toBe('1000')
  expect(await running.stele.limits.examine()).toEqual([])
  const [call] = await running.stele.calls.list()
  const [limit] = await running.stele.limits.list({ user: 'ada' })
  expect(limit?.used.tokensPerDay).toBe((call?.inputTokens ?? 0) + (call?.outputTokens ?? 0))
})

test.each([
  ['/v1/chat/completions', (text: string) => ({ model: 'm', messages: [user(text)], max_tokens: 50 })],
  ['/v1/responses', (text: string) => ({ model: 'm', input: text, max_output_tokens: 50 })],
  ['/v1/comparisons', (text: string) => ({ models: ['m', 'm2'], messages: [user(text)], max_tokens: 50 })],
] as const)('a compressed request to %s counts for what is sent of it', async (path, bodyOf) => {
  const upstream = await startUpstream(good)
  const running = await startGateway({ upstream, config: { compress: 'high' } })
  const wordy = 'I would really like you to please very kindly explain this. '.repeat(100)
  const ask = () =>
    running.send('POST', path, {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(bodyOf(wordy)),
    })
  await running.stele.limits.set({ user: 'ada' }, { tokensPerDay: 100_000 })
  expect((await ask()).status).toBe(200)
  const { kysely } = running.stele.database
  const { reserved_tokens } = await kysely
    .selectFrom('llm_requests')
    .select('reserved_tokens')
    .executeTakeFirstOrThrow()
  const sent = upstream.journal[0]?.text.length ?? 0
  expect(sent).toBeLessThan(wordy.length - 500)
  expect(reserved_tokens).toBeLessThan(sent + 60)
})

test.each([
  ['/v1/responses', { model: 'm', input: 'Hi' }],
  ['/v1/embeddings', { model: 'm', input: 'Hi' }],
  ['/v1/completions', { model: 'm', prompt: 'Hi' }],
  ['/v1/moderations', { model: 'm', input: 'Hi' }],
])('%s is limited too', async (path, body) => {
  const running = await start()
  await running.stele.limits.set({ user: 'ada' }, { requestsPerDay: 0 })
  const reply = await running.send('POST', path, {
    headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(reply.status).toBe(429)
  expect(errorOf(reply).code).toBe('insufficient_quota')
  expect(running.asked()).toBe(0)
})

test('an answer from a session is limited too', async () => {
  const running = await startGateway({ config: { chatModel: 'echo' } })
  await running.stele.limits.set({ user: 'ada' }, { requestsPerDay: 1 })
  const say = (text: string) =>
    running.send('POST', '/chat', {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user_text: text, user_id: 'ada', session_id: 's' }),
    })
  expect((await say('one')).status).toBe(200)
  expect((await say('two')).status).toBe(429)
})

test('of a request whose first target fails, the other target is asked without a second request being counted', async () => {
  const upstream = await startUpstream(whole(JSON.stringify(openAiError('No.', 'x')), { status: 500 }), good)
  const running = await startGateway({ upstream, provider: { retries: 1 } })
  await running.stele.limits.set({ user: 'ada' }, { requestsPerDay: 1, tokensPerDay: 1_000 })
  const reply = await running.post(ask)
  expect([reply.status, reply.headers['x-stele-attempts']]).toEqual([200, '2'])
  const [limit] = await running.stele.limits.list({ user: 'ada' })
  expect(limit?.used).toEqual({ requestsPerDay: 1, tokensPerDay: 15 })
  expect((await running.post(ask)).status).toBe(429)
  expect(await running.stele.limits.examine()).toEqual([])
})

test('an answer from the cache is a request: it tells what is left, and a full limit refuses it', async () => {
  const running = await start()
  await running.stele.limits.set({ user: 'ada' }, { requestsPerDay: 2, tokensPerDay: 1_000 })
  const again = () => running.post({ ...ask, temperature: 0 }, { 'x-stele-cache': 'exact' })
  expect((await again()).headers['x-stele-cache']).toBe('miss')
  await expect.poll(() => countOf(running.stele, 'cache_entries')).toBe(1)
  const hit = await again()
  expect(hit.headers).toMatchObject({
    'x-stele-cache': expect.stringMatching(/^hit/) as string,
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-remaining-tokens': '985',
  })
  const refused = await again()
  expect([refused.status, errorOf(refused).code]).toEqual([429, 'insufficient_quota'])
  expect(running.asked()).toBe(1)
  const [limit] = await running.stele.limits.list({ user: 'ada' })
  expect(limit?.used).toEqual({ requestsPerDay: 2, tokensPerDay: 15 })
  expect(await countOf(running.stele, 'llm_requests')).toBe(2)
  expect(await running.stele.limits.examine()).toEqual([])
})

test('a comparison tells what is left of the limit that its calls have used most of', async () => {
  const running = await startGateway({ upstream: await startUpstream(byName) })
  await running.stele.limits.set({ user: 'ada' }, { requestsPerDay: 9 })
  await running.stele.limits.set({ model: 'two' }, { requestsPerDay: 2 })
  const first = await compare(running, question({}))
  expect(first.headers).toMatchObject({
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '1',
  })
  expect(told(first).replies).toHaveLength(2)
  await compare(running, question({}))
  const refused = await compare(running, question({}))
  expect([refused.status, errorOf(refused).code]).toEqual([429, 'insufficient_quota'])
  expect(await countOf(running.stele, 'llm_requests')).toBe(4)
})

test('administrators set, list and remove limits over HTTP', async () => {
  const running = await start()
  const admin = await running.newKey('root', 'admin')
  await running.stele.users.setStanding('root', { role: 'admin' })
  const send = async (method: string, path: string, body?: object) => {
    const reply = await running.send(method, path, {
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    return { status: reply.status, value: JSON.parse(reply.text) as Record<string, unknown> }
  }
  const set = await send('POST', '/v1/limits', {
    user: 'ada',
    tokens_per_day: 100,
    nanousd_per_day: 'unlimited',
  })
  expect(set).toMatchObject({
    status: 200,
    value: { object: 'limit', user: 'ada', tokens_per_day: 100, nanousd_per_day: 'unlimited' },
  })
  await send('POST', '/v1/limits', { model: 'm', requests_per_minute: 5 })
  const { value } = await send('GET', '/v1/limits?limit=1')
  expect(value).toMatchObject({ object: 'list', has_more: true, time_zone: 'UTC' })
  const next = await send('GET', `/v1/limits?after=${encodeURIComponent(String(value['last_id']))}`)
  expect(next.value).toMatchObject({ has_more: false, data: [{ user: 'ada' }] })
  expect((await send('DELETE', '/v1/limits?user=ada')).value).toMatchObject({ deleted: true })
  expect((await send('DELETE', '/v1/limits?user=ada')).status).toBe(404)
  expect((await send('POST', '/v1/limits', { user: 'ada', tokens_per_day: -1 })).status).toBe(400)
  expect((await send('POST', '/v1/limits', { user: 'ada' })).status).toBe(400)
  const events = await running.stele.auditEvents.list({ limit: 10, action: 'limit.set' })
  expect(events.map(({ actor }) => actor)).toEqual(['root', 'root'])

  const [key] = await running.stele.apiKeys.list({ userId: 'ada', limit: 1 })
  const ofKey = { key: key?.id, requests_per_day: 1 }
  expect(await send('POST', '/v1/limits', ofKey)).toMatchObject({ status: 200, value: ofKey })
  expect((await running.post(ask)).status).toBe(200)
  expect((await running.post(ask)).status).toBe(429)
  expect((await send('GET', `/v1/limits?key=${key?.id}`)).value).toMatchObject({
    data: [{ key: key?.id, used: { requests_per_day: 1 } }],
  })
  expect((await send('DELETE', `/v1/limits?key=${key?.id}`)).status).toBe(200)
  expect((await running.post(ask)).status).toBe(200)

  // What would be a limit of all together, or of nobody, is a mistake.
  expect((await send('POST', '/v1/limits', { key: running.key, tokens_per_day: 5 })).status).toBe(404)
  expect((await send('POST', '/v1/limits', { users: 'ada', tokens_per_day: 5 })).status).toBe(400)
  expect((await send('POST', '/v1/limits', { user: null, tokens_per_day: 5 })).status).toBe(400)
  expect((await send('POST', '/v1/limits', { tokens_per_day: 'unlimited' })).status).toBe(400)
  await send('POST', '/v1/limits', { tokens_per_day: 5 })
  expect((await send('DELETE', '/v1/limits?users=ada')).status).toBe(400)
  expect((await send('DELETE', '/v1/limits')).status).toBe(200)
})

test('answers from the cache are requests like any: refused beyond the limit, told what is left, and free of tokens', async () => {
  const upstream = await startUpstream(good)
  const running = await startGateway({ upstream, config: { cacheMode: 'exact' } })
  await running.stele.limits.set({ user: 'ada' }, { requestsPerDay: 5, tokensPerDay: 1_000 })
  await running.post(ask)
  await expect.poll(() => countOf(running.stele, 'cache_entries')).toBe(1)
  const replies = await Promise.all(Array.from({ length: 8 }, () => running.post(ask)))
  const hits = replies.filter(({ status }) => status === 200)
  const refused = replies.filter(({ status }) => status === 429)
  expect([hits.length, refused.length, upstream.journal.length]).toEqual([4, 4, 1])
  const left = hits.map(({ headers }) => headers['x-ratelimit-remaining-requests'])
  expect(left.toSorted()[0]).toBe('0')
  for (const reply of refused) expect(errorOf(reply).code).toBe('insufficient_quota')
  const [limit] = await running.stele.limits.list({ user: 'ada' })
  expect(limit?.used).toEqual({ requestsPerDay: 5, tokensPerDay: 15 })
})

test('one that costs nothing is given although tokens and money are used up, and no price is known', async () => {
  const upstream = await startUpstream(good)
  const running = await startGateway({ upstream, config: { cacheMode: 'exact' } })
  await running.post(ask)
  await expect.poll(() => countOf(running.stele, 'cache_entries')).toBe(1)
  await running.stele.limits.set({ user: 'ada' }, { tokensPerDay: 1, nanousdPerDay: 1 })
  const hit = await running.post(ask)
  expect([hit.status, hit.headers['x-stele-cache']]).toEqual([200, expect.stringMatching(/^hit/)])
  expect(hit.headers['x-ratelimit-remaining-tokens']).toBe('0')
})
