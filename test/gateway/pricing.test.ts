import { expect, test } from 'vitest'
import { countTokens } from '../../src/pricing/tokens.ts'
import { completion, historyOf } from '../harness/chat.ts'
import { compare, told } from './comparing.ts'
import { FakeTiming } from './fake-timing.ts'
import { type RunningOptions, startGateway } from './running.ts'
import { type Answer, json, reset, startUpstream, stream } from './upstream.ts'
import { chunk, done, event, openAiError } from './wire.ts'

const model = 'gpt-4o'
const question = { model, messages: [{ role: 'user' as const, content: 'What is the capital of France?' }] }
const usage = {
  prompt_tokens: 1_000,
  completion_tokens: 100,
  total_tokens: 1_100,
  prompt_tokens_details: { cached_tokens: 400 },
}
const cost = 600 * 2_500 + 400 * 1_250 + 100 * 10_000
const good = json(completion('Paris', { model, usage }))
const askedTokens = countTokens(model, 'What is the capital of France?') + 4 + 3

/** A gateway whose provider has the prices of OpenAI, and gives these answers in turn. */
async function start(answers: Answer[], provider: object = {}, more: Partial<RunningOptions> = {}) {
  const upstream = await startUpstream(...answers)
  return startGateway({ upstream, provider: { pricesOf: 'openai', ...provider }, ...more })
}

/** Tokens in, out and from the cache, who counted, and the cost of each call, oldest first. */
async function accounts({ stele }: Awaited<ReturnType<typeof start>>) {
  const calls = (await stele.calls.list()).toReversed()
  return calls.map(call => [
    call.status,
    call.inputTokens,
    call.outputTokens,
    call.cacheReadInputTokens,
    call.usageSource,
    call.costNanousd,
  ])
}

const whole = ['completed', 1_000, 100, 400, 'reported', cost]
const refused = ['failed', undefined, undefined, undefined, undefined, 0]

test('a reply in one piece', async () => {
  const running = await start([good])
  await running.post(question)
  expect(await accounts(running)).toEqual([whole])
})

test('a stream that tells its usage at the end, whether its client asked for it or not', async () => {
  const running = await start([
    stream([chunk({ content: 'Paris' }), chunk({}, { finish: 'stop' }), event({ choices: [], usage }), done]),
  ])
  await running.post({ ...question, stream: true })
  await running.post({ ...question, stream: true, stream_options: { include_usage: true } })
  expect(await accounts(running)).toEqual([whole, whole])
})

test('a response with searches of the provider, in one piece, streamed, and broken off', async () => {
  const search = { type: 'web_search_call', id: 'ws_1', status: 'completed', action: { type: 'search' } }
  const used = { input_tokens: 1_000, output_tokens: 100, total_tokens: 1_100 }
  const response = {
    object: 'response',
    id: 'resp_1',
    status: 'completed',
    model,
    output: [search, search],
    usage: used,
  }
  const found = { type: 'response.output_item.done', output_index: 0, item: search }
  const running = await start(
    [
      json(response),
      stream([event(found), event(found), event({ type: 'response.completed', response })]),
      stream([
        event(found),
        event({
          type: 'response.output_item.added',
          output_index: 1,
          item: { ...search, status: 'in_progress' },
        }),
      ]),
    ],
    { responses: true },
  )
  const ask = (more: object) =>
    running.send('POST', '/v1/responses', {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, input: 'Paris', tools: [{ type: 'web_search' }], ...more }),
    })
  for (const more of [{}, { stream: true }, { stream: true }]) await ask(more)
  const searched = ['completed', 1_000, 100, undefined, 'reported', 3_500_000 + 20_000_000]
  const costs = await accounts(running)
  expect(costs.slice(0, 2)).toEqual([searched, searched])
  // What it read is estimated, and two searches are known of: one has ended.
  expect(costs[2]?.at(-1)).toBeGreaterThan(20_000_000)
  expect(costs[2]?.at(-1)).toBeLessThan(21_000_000)
})

test('a stream that says nothing of its usage', async () => {
  const running = await start([
    stream([chunk({ content: 'Paris is it' }), chunk({}, { finish: 'stop' }), done]),
  ])
  await running.post({ ...question, stream: true })
  expect(await accounts(running)).toEqual([
    ['completed', askedTokens, 3, undefined, 'estimated', askedTokens * 2_500 + 3 * 10_000],
  ])
})

test('a stream whose client leaves', async () => {
  const running = await start([
    async reply => {
      reply.head(200, { 'content-type': 'text/event-stream' })
      await reply.write(chunk({ role: 'assistant', content: 'Paris is it' }))
    },
  ])
  const events = await running.client().chat.completions.create({ ...question, stream: true })
  for await (const _ of events) break
  await expect
    .poll(async () => (await accounts(running))[0])
    .toEqual(['aborted', askedTokens, 3, undefined, 'estimated', askedTokens * 2_500 + 3 * 10_000])
})

test('refused attempts cost nothing, the one that answers does', async () => {
  const busy = json(openAiError('Not now.', 'rate_limit_exceeded'), { status: 429 })
  const timing = new FakeTiming()
  const running = await start([busy, busy, good], { retries: 2 }, { timing })
  await running.post(question)
  expect(await accounts(running)).toEqual([refused, refused, whole])
  const day = await running.stele.database.kysely.selectFrom('usage_daily').selectAll().execute()
  expect(day.map(row => row.unpriced_calls)).toEqual([0])
})

test('of an attempt that got no answer nobody knows, and where nobody listens nothing was used', async () => {
  const config = {
    providers: { nobody: { baseUrl: 'http://127.0.0.1:1/v1', retries: 0, pricesOf: 'openai' } },
    models: { both: { targets: ['nobody/gpt-4o', `test/${model}`] } },
  }
  const timing = new FakeTiming()
  const running = await start([reset, good], { retries: 1 }, { config, timing })
  await running.post({ ...question, model: 'both' })
  expect(await accounts(running)).toEqual([
    refused,
    ['failed', undefined, undefined, undefined, undefined, undefined],
    whole,
  ])
})

test('a response, put to its provider as a chat or passed on', async () => {
  const ask = { model, input: 'What is the capital of France?' }
  const post = (running: Awaited<ReturnType<typeof start>>) =>
    running.send('POST', '/v1/responses', {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(ask),
    })
  const translated = await start([good])
  expect((await post(translated)).status).toBe(200)
  expect(await accounts(translated)).toEqual([whole])

  const own = {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    status: 'completed',
    error: null,
    incomplete_details: null,
    model,
    output: [
      {
        id: 'msg_1',
        type: 'message',
        status: 'completed',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'Paris', annotations: [] }],
      },
    ],
    usage: {
      input_tokens: 1_000,
      input_tokens_details: { cached_tokens: 400 },
      output_tokens: 100,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 1_100,
    },
  }
  const passed = await start([json(own)], { responses: true })
  expect((await post(passed)).status).toBe(200)
  expect(await accounts(passed)).toEqual([whole])
})

test('at an address that is nobody in the list the price is unknown, and the built-in echo is free', async () => {
  const running = await start([good], { pricesOf: undefined })
  await running.post(question)
  await running.post({ ...question, model: 'echo/echo' })
  const costs = (await accounts(running)).map(account => account.at(-1))
  expect(costs).toEqual([undefined, 0])
})

test('compared replies of which nothing is told are estimated whole, and none is in the conversation', async () => {
  const running = await start([json({ ...completion('Paris is it', { model }), usage: undefined })])
  const { id } = told(await compare(running, { models: [model, 'gpt-4o-mini'], messages: question.messages }))
  expect(await accounts(running)).toEqual([
    ['completed', askedTokens, 3, undefined, 'estimated', askedTokens * 2_500 + 3 * 10_000],
    ['completed', askedTokens, 3, undefined, 'estimated', askedTokens * 2_500 + 3 * 10_000],
  ])
  const conversation = (await running.stele.calls.get('ada', id))?.conversationId ?? ''
  expect(await historyOf(running.stele, conversation)).toEqual(question.messages)
})
