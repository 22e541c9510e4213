import { describe, expect, test } from 'vitest'
import { sqlitePlace } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { cacheOf, completionOf, exact, novelist, saidIn, startCaching } from './caching-start.ts'
import { errorOf, recorded, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { done, questionOf } from './wire.ts'

test('nothing is cached unless somebody asks for it', async () => {
  const { running, asked } = await startCaching({})
  const replies = [await running.post(questionOf('Hi')), await running.post(questionOf('Hi'))]
  expect(replies.map(saidIn)).toEqual(['novel 1', 'novel 2'])
  expect(replies.map(cacheOf)).toEqual([undefined, undefined])
  expect(asked()).toBe(2)
  expect(await rowsOf(running.stele, 'cache_entries')).toEqual([])
})

test('the same request is answered once, and recorded twice', async () => {
  const { running, asked } = await startCaching()
  const first = await running.post(questionOf('Hi'))
  const second = await running.post(questionOf('Hi', { user: 'ada', metadata: { n: '2' } }))
  expect([first, second].map(saidIn)).toEqual(['novel 1', 'novel 1'])
  expect([first, second].map(cacheOf)).toEqual(['miss', 'hit'])
  expect(second.headers['x-stele-cache']).toMatch(/^hit; age=\d+$/)
  expect(asked()).toBe(1)
  const [made, given] = [
    await recorded(running, first.headers['x-stele-call-id']),
    await recorded(running, second.headers['x-stele-call-id']),
  ]
  expect(made.call).toMatchObject({
    status: 'completed',
    inputTokens: 7,
    outputTokens: 3,
    cacheHit: undefined,
  })
  expect(given.call).toMatchObject({
    status: 'cached',
    provider: 'test',
    requestModel: 'gpt-test',
    responseModel: 'gpt-test-2026',
    finishReasons: ['stop'],
    inputTokens: 0,
    outputTokens: 0,
    cacheReadInputTokens: 0,
    costNanousd: 0,
    cacheHit: 'exact',
    savedInputTokens: 7,
    savedOutputTokens: 3,
    savedNanousd: undefined,
    httpStatus: 200,
  })
  expect(given.call.id).not.toBe(made.call.id)
  // What came back is on record byte for byte, and is the first reply but for its name and its time.
  expect(given.response).toBe(second.text)
  const { id, created, ...rest } = JSON.parse(second.text) as Record<string, unknown>
  expect(id).toBe(`chatcmpl-${given.call.id}`)
  expect(created).toBe(Math.floor(given.call.createdAt / 1000))
  expect({ ...rest, id: 'chatcmpl-n', created: 1_760_000_000 }).toEqual(completionOf('novel 1'))
  const days = await rowsOf(running.stele, 'usage_daily')
  expect(days).toMatchObject([
    { calls: 2, errors: 0, input_tokens: 7, output_tokens: 3, cost_nanousd: 0, unpriced_calls: 1 },
  ])
})

test('what a hit saves is what the call cost that made the answer', async () => {
  const { running } = await startCaching()
  const first = await running.post(questionOf('Hi'))
  await running.stele.database.batch(async batch => {
    await batch.permit('repricing')
    await batch.update(
      'llm_responses',
      ['cost_nanousd'],
      ['request_id'],
      [{ set: { cost_nanousd: 123_000 }, match: { request_id: String(first.headers['x-stele-call-id']) } }],
    )
  })
  const second = await running.post(questionOf('Hi'))
  const { call } = await recorded(running, second.headers['x-stele-call-id'])
  expect(call).toMatchObject({ costNanousd: 0, savedNanousd: 123_000 })
})

test.each([
  ['whole', 'whole'],
  ['whole', 'streamed'],
  ['streamed', 'whole'],
  ['streamed', 'streamed'],
])('an answer that came %s is given %s to the official client', async (made, given) => {
  const { running, asked } = await startCaching()
  const ask = async (how: string) => {
    const { completions } = running.client().chat
    const body = questionOf('Hi')
    if (how === 'whole') return completions.create(body)
    return completions.stream({ ...body, stream_options: { include_usage: true } }).finalChatCompletion()
  }
  const [first, second] = [await ask(made), await ask(given)]
  for (const { choices, usage, model } of [first, second]) {
    expect(choices[0]?.message.content).toBe('novel 1')
    expect(choices[0]?.finish_reason).toBe('stop')
    expect(usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 })
    expect(model).toBe('gpt-test-2026')
  }
  expect(asked()).toBe(1)
})

test('a stream of a hit is that of a provider: chunks, the usage if asked for, the end', async () => {
  const { running } = await startCaching()
  await running.post(questionOf('Hi'))
  const eventsOf = async (more: object): Promise<Record<string, unknown>[]> => {
    const reply = await running.post(questionOf('Hi', { stream: true, ...more }))
    expect(cacheOf(reply)).toBe('hit')
    expect(reply.headers['content-type']).toMatch(/^text\/event-stream/)
    expect(reply.text.endsWith(done)).toBe(true)
    const { call } = await recorded(running, reply.headers['x-stele-call-id'])
    expect(call.status).toBe('cached')
    const lines = reply.text.split('\n\n').filter(line => line.startsWith('data: {'))
    return lines.map(line => JSON.parse(line.slice(6)) as Record<string, unknown>)
  }
  const plain = await eventsOf({})
  expect(plain.every(({ object }) => object === 'chat.completion.chunk')).toBe(true)
  expect(plain.some(({ usage }) => usage != null)).toBe(false)
  const withUsage = await eventsOf({ stream_options: { include_usage: true } })
  const { usage } = completionOf('')
  expect(withUsage.at(-1)).toMatchObject({ choices: [], usage })
  expect(plain.every(one => one['system_fingerprint'] === 'fp_1')).toBe(true)
})

test('calls of tools are given again, to streaming clients too', async () => {
  const calls = [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"at":1}' } }]
  const message = { role: 'assistant', content: null, tool_calls: calls }
  const choices = [{ index: 0, message, logprobs: null, finish_reason: 'tool_calls' }]
  const upstream = await startUpstream(json({ ...completionOf(''), choices }))
  const { running, asked } = await startCaching(exact, { upstream })
  const tools = [{ type: 'function' as const, function: { name: 'look', parameters: {} } }]
  const body = questionOf('Look', { tools })
  await running.client().chat.completions.create(body)
  const run = running.client().chat.completions.stream(body)
  const final = await run.finalChatCompletion()
  expect(final.choices[0]?.message.tool_calls).toMatchObject(calls)
  expect(asked()).toBe(1)
})

test('a conversation goes on from a cached reply', async () => {
  const { running } = await startCaching()
  await running.post(questionOf('Hi'))
  const hit = await running.post(questionOf('Hi'))
  const next = await running.post({
    model: 'gpt-test',
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: saidIn(hit) },
      { role: 'user', content: 'And?' },
    ],
  })
  expect(next.headers['x-stele-conversation']).toBe(hit.headers['x-stele-conversation'])
  const { call } = await recorded(running, next.headers['x-stele-call-id'])
  const history = await running.stele.conversations.get('ada', call.conversationId)
  expect(history?.nextSeq).toBe(4)
})

describe('a request says', () => {
  test.each([
    [{ 'x-stele-cache': 'off' }, undefined, 2],
    [{ 'cache-control': 'no-store' }, undefined, 2],
    [{ 'x-stele-cache': 'refresh' }, 'miss', 2],
    [{ 'cache-control': 'no-cache' }, 'miss', 2],
    [{ 'cache-control': 'max-age=0' }, 'miss', 2],
    [{ 'cache-control': 'max-age=60' }, 'hit', 1],
    [{ 'x-stele-cache': 'exact' }, 'hit', 1],
  ])('%o', async (headers, told, count) => {
    const { running, asked } = await startCaching()
    await running.post(questionOf('Hi'))
    const reply = await running.post(questionOf('Hi'), headers as Record<string, string>)
    expect([cacheOf(reply), asked()]).toEqual([told, count])
  })

  test('that it is cached where nothing else is', async () => {
    const { running, asked } = await startCaching({})
    const headers = { 'x-stele-cache': 'exact' }
    await running.post(questionOf('Hi'), headers)
    expect(cacheOf(await running.post(questionOf('Hi'), headers))).toBe('hit')
    expect(cacheOf(await running.post(questionOf('Hi')))).toBeUndefined()
    expect(asked()).toBe(2)
  })

  test('to ask anew, and the new answer takes the place of the old', async () => {
    const { running } = await startCaching()
    await running.post(questionOf('Hi'))
    await running.post(questionOf('Hi'), { 'x-stele-cache': 'refresh' })
    // It is kept behind the reply.
    await expect.poll(async () => saidIn(await running.post(questionOf('Hi')))).toBe('novel 2')
    expect(await rowsOf(running.stele, 'cache_entries')).toHaveLength(1)
  })

  test.each([
    ['x-stele-cache', 'sometimes'],
    ['x-stele-cache', 'semantic'],
    ['x-stele-cache-partition', 'unknown'],
  ])('what is refused: %s: %s', async (name, value) => {
    const { running, asked } = await startCaching()
    const reply = await running.post(questionOf('Hi'), { [name]: value })
    expect(reply.status).toBe(400)
    expect(errorOf(reply)).toMatchObject({ code: 'invalid_value', param: name })
    expect(asked()).toBe(0)
  })
})

test('of many who ask the same at once one asks the provider', async () => {
  const upstream = await startUpstream(novelist())
  const release = Promise.withResolvers<void>()
  upstream.whenReceived(() => release.promise)
  const { running, asked } = await startCaching(exact, { upstream })
  const replies = Array.from({ length: 8 }, () => running.post(questionOf('Hi')))
  await upstream.received()
  await expect.poll(async () => (await running.stele.calls.list()).length).toBe(1)
  release.resolve()
  expect((await Promise.all(replies)).map(saidIn)).toEqual(new Array(8).fill('novel 1'))
  expect(asked()).toBe(1)
  const statuses = (await running.stele.calls.list()).map(({ status }) => status).sort()
  expect(statuses).toEqual([...new Array(7).fill('cached'), 'completed'])
})

test('whoever waits for another asks for himself when the other fails', async () => {
  const upstream = await startUpstream(json({ error: {} }, { status: 400 }), novelist())
  const release = Promise.withResolvers<void>()
  upstream.whenReceived(() => release.promise)
  const { running } = await startCaching(exact, { upstream })
  const first = running.post(questionOf('Hi'))
  await upstream.received()
  const second = running.post(questionOf('Hi'))
  release.resolve()
  expect((await first).status).toBe(400)
  expect(saidIn(await second)).toBe('novel 1')
})

test('a repetition of a request that was answered from the cache gets the same bytes', async () => {
  const { running } = await startCaching()
  await running.post(questionOf('Hi'))
  for (const stream of [false, true]) {
    const headers = { 'idempotency-key': `key-${stream}` }
    const first = await running.post(questionOf('Hi', { stream }), headers)
    const again = await running.post(questionOf('Hi', { stream }), headers)
    expect(cacheOf(first)).toBe('hit')
    expect(again.headers['idempotent-replayed']).toBe('true')
    expect(again.text).toBe(first.text)
  }
})

test('responses are answered from the same cache', async () => {
  const { running, asked } = await startCaching()
  const { responses } = running.client()
  const ask = () => responses.create({ model: 'gpt-test', input: 'Hi', instructions: 'Be brief.' })
  const [first, second] = [await ask(), await ask()]
  expect([first.output_text, second.output_text]).toEqual(['novel 1', 'novel 1'])
  expect(second.id).not.toBe(first.id)
  expect(asked()).toBe(1)
  expect(await responses.retrieve(second.id)).toMatchObject({ status: 'completed', output_text: 'novel 1' })
  const events = []
  const stream = await responses.create({
    model: 'gpt-test',
    input: 'Hi',
    instructions: 'Be brief.',
    stream: true,
  })
  for await (const { type } of stream) events.push(type)
  expect(events[0]).toBe('response.created')
  expect(events).toContain('response.output_text.delta')
  expect(events.at(-1)).toBe('response.completed')
  const next = await responses.create({ model: 'gpt-test', input: 'And?', previous_response_id: second.id })
  expect(next.output_text).toBe('novel 2')
  const other = await responses.create({ model: 'gpt-test', input: 'Hi', instructions: 'Be long.' })
  expect(other.output_text).toBe('novel 3')
})

test('so is a turn of a chat, when all that was said before is the same', async () => {
  const { running, asked } = await startCaching({ ...exact, chatModel: 'gpt-test' })
  const turn = async (session: string, text: string) => {
    const headers = { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ session_id: session, user_text: text })
    const reply = await running.send('POST', '/chat', { headers, body })
    return [cacheOf(reply), (JSON.parse(reply.text) as { reply: string }).reply]
  }
  expect(await turn('one', 'Hi')).toEqual(['miss', 'novel 1'])
  expect(await turn('two', 'Hi')).toEqual(['hit', 'novel 1'])
  expect(await turn('two', 'Hi')).toEqual(['miss', 'novel 2'])
  expect(await turn('one', 'Hi')).toEqual(['hit', 'novel 2'])
  expect(asked()).toBe(2)
})

test('embeddings are answered from it', async () => {
  const { running, upstream } = await startCaching()
  const { embeddings } = running.client()
  const ask = (input: string) => embeddings.create({ model: 'embedder', input })
  const [first, second] = [await ask('one two'), await ask('one two')]
  expect(second.data).toEqual(first.data)
  expect(upstream.journal).toHaveLength(1)
  await ask('three')
  expect(upstream.journal).toHaveLength(2)
  const [, cached] = (await running.stele.calls.list()).toReversed()
  expect(cached).toMatchObject({
    status: 'cached',
    operation: 'embeddings',
    inputTokens: 0,
    savedInputTokens: 2,
  })
})

test('a cache that fails is a miss, and whoever looks after the place is told', async () => {
  const errors: unknown[] = []
  const { running, asked } = await startCaching(exact, { store: { onError: error => errors.push(error) } })
  await running.post(questionOf('Hi'))
  await running.stele.database.kysely.schema.dropTable('cache_entries').execute()
  expect(saidIn(await running.post(questionOf('Hi')))).toBe('novel 2')
  expect(asked()).toBe(2)
  expect(errors.length).toBeGreaterThan(0)
})

test('a restart, and another gateway on the same database, know what was answered', async () => {
  const place = await sqlitePlace()
  const upstream = await startUpstream(novelist())
  const first = await startCaching(exact, { upstream, place })
  await first.running.post(questionOf('Hi'))
  await expect.poll(async () => (await rowsOf(first.running.stele, 'cache_entries')).length).toBe(1)
  const second = await startGateway({ upstream, place, config: exact })
  const headers = { authorization: `Bearer ${first.running.key}` }
  expect(cacheOf(await second.post(questionOf('Hi'), headers))).toBe('hit')
  await first.running.stele.close()
  await second.stele.close()
  const third = await startGateway({ upstream, place, config: exact })
  expect(cacheOf(await third.post(questionOf('Hi'), headers))).toBe('hit')
  expect(first.asked()).toBe(1)
  await third.stele.close()
  const stele = await place.stele()
  expect(await rowsOf(stele, 'cache_entries')).toMatchObject([{ hits: 2 }])
})

test('an answer does for no longer than is said now, and not when its provider is elsewhere', async () => {
  const place = await sqlitePlace()
  const upstream = await startUpstream(novelist())
  const first = await startCaching(exact, { upstream, place })
  const headers = { authorization: `Bearer ${first.running.key}` }
  await first.running.post(questionOf('Hi'))
  await expect.poll(async () => (await rowsOf(first.running.stele, 'cache_entries')).length).toBe(1)
  const elsewhere = await startUpstream(novelist())
  const moved = await startGateway({ upstream: elsewhere, place, config: exact })
  expect(cacheOf(await moved.post(questionOf('Hi'), { ...headers, 'cache-control': 'max-age=3000' }))).toBe(
    'miss',
  )
  await first.running.stele.database.kysely
    .updateTable('cache_entries')
    .set({ created_at: Date.now() - 61_000 })
    .execute()
  const shorter = await startGateway({ upstream, place, config: { ...exact, cacheTtl: 60 } })
  expect(cacheOf(await first.running.post(questionOf('Hi')))).toBe('hit')
  expect(cacheOf(await shorter.post(questionOf('Hi'), headers))).toBe('miss')
})
