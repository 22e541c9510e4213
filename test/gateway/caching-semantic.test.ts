import { expect, test } from 'vitest'
import { rowsOf } from '../harness/rows.ts'
import { cacheOf, kept, novelist, saidIn, semantic, startCaching } from './caching-start.ts'
import { recorded } from './running.ts'
import { json, silence, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

test('what means the same is answered once, and what was asked of the embeddings model is on record', async () => {
  const { running, asked, upstream } = await startCaching(semantic)
  const first = await running.post(questionOf('what is the capital of France'))
  await kept(running)
  const second = await running.post(questionOf('the capital of France is what?'))
  expect([saidIn(second), cacheOf(second)]).toEqual(['novel 1', 'semantic'])
  expect(second.headers['x-stele-cache']).toMatch(/^semantic; age=\d+; similarity=(1|0\.9)\d*\.?\d*$/)
  expect(asked()).toBe(1)
  const { call, response, request } = await recorded(running, second.headers['x-stele-call-id'])
  expect(call).toMatchObject({
    status: 'cached',
    cacheHit: 'semantic',
    costNanousd: 0,
    savedInputTokens: 7,
    savedOutputTokens: 3,
  })
  expect(response).toBe(second.text)
  expect(request).toContain('the capital of France is what?')
  const calls = await running.stele.calls.list()
  const embeddings = calls.filter(({ operation }) => operation === 'embeddings')
  expect(embeddings).toMatchObject([
    { status: 'completed', inputTokens: 2, requestModel: 'embedder', apiKeyId: call.apiKeyId, userId: 'ada' },
    { status: 'completed', inputTokens: 2 },
  ])
  expect(upstream.journal.filter(({ path }) => path.endsWith('/embeddings'))).toHaveLength(2)
  expect(first.headers['x-stele-cache']).toBe('miss')
  // The very same again takes no embedding.
  expect(cacheOf(await running.post(questionOf('what is the capital of France')))).toBe('hit')
  expect(upstream.journal).toHaveLength(3)
  await running.stele.cache.noteUses()
  expect(await rowsOf(running.stele, 'cache_entries')).toMatchObject([{ hits: 2 }])
})

test('it streams as any other', async () => {
  const { running } = await startCaching(semantic)
  await running.post(questionOf('one two three', { stream: true }))
  await kept(running)
  const stream = running.client().chat.completions.stream(questionOf('three two one'))
  expect((await stream.finalChatCompletion()).choices[0]?.message.content).toBe('novel 1')
})

test.each([
  [
    'another system prompt',
    {
      messages: [
        { role: 'system', content: 'Be long.' },
        { role: 'user', content: 'two one' },
      ],
    },
  ],
  ['other tools', { tools: [{ type: 'function', function: { name: 'look' } }] }],
  ['another temperature', { temperature: 0.5 }],
  ['another model', { model: 'gpt-other' }],
  [
    'an earlier turn',
    {
      messages: [
        { role: 'user', content: 'zero' },
        { role: 'assistant', content: 'x' },
        { role: 'user', content: 'two one' },
      ],
    },
  ],
  ['a name', { messages: [{ role: 'user', name: 'bob', content: 'two one' }] }],
  [
    'a picture',
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'two one' },
            { type: 'image_url', image_url: { url: 'data:,' } },
          ],
        },
      ],
    },
  ],
  ['what a tool says', { messages: [{ role: 'tool', tool_call_id: 'x', content: 'two one' }] }],
  ['another number', { messages: [{ role: 'user', content: 'two one 2' }] }],
  ['other words', { messages: [{ role: 'user', content: 'something else altogether' }] }],
])('it is not answered where there is %s', async (_, change) => {
  const { running, asked } = await startCaching(semantic)
  await running.post(questionOf('one two'))
  await kept(running)
  expect(cacheOf(await running.post({ ...questionOf('two one'), ...change }))).toBe('miss')
  expect(asked()).toBe(2)
})

test('nor for another user', async () => {
  const { running, asked } = await startCaching(semantic)
  const headers = { authorization: `Bearer ${await running.newKey('bob')}` }
  await running.post(questionOf('one two'))
  await kept(running)
  expect(cacheOf(await running.post(questionOf('two one'), headers))).toBe('miss')
  expect(asked()).toBe(2)
})

test('a threshold says what counts as the same', async () => {
  for (const [threshold, told] of [
    [0.8, 'semantic'],
    [0.95, 'miss'],
  ] as const) {
    const { running } = await startCaching({ ...semantic, cache: { ...semantic.cache, threshold } })
    await running.post(questionOf('alpha beta gamma delta'))
    await kept(running)
    expect(cacheOf(await running.post(questionOf('alpha beta gamma delta epsilon')))).toBe(told)
  }
})

test('it is off unless it is asked for, though a model is there', async () => {
  const { running, upstream } = await startCaching({ cacheMode: 'exact', cache: semantic.cache })
  await running.post(questionOf('one two'))
  await kept(running)
  expect(cacheOf(await running.post(questionOf('two one')))).toBe('miss')
  expect(upstream.journal.some(({ path }) => path.endsWith('/embeddings'))).toBe(false)
  const headers = { 'x-stele-cache': 'semantic' }
  await running.post(questionOf('three four'), headers)
  await kept(running, 3)
  expect(cacheOf(await running.post(questionOf('four three'), headers))).toBe('semantic')
})

test('what tells of people is not compared where it is masked', async () => {
  const { running, asked, upstream } = await startCaching(semantic)
  const masked = { 'x-mask-pii-before-llm': 'true' }
  const ask = (mail: string) => running.post(questionOf(`Is ${mail} right?`), masked)
  await ask('ada@example.com')
  await kept(running)
  expect(cacheOf(await ask('bob@example.com'))).toBe('miss')
  expect(asked()).toBe(2)
  for (const { text } of upstream.journal) expect(text).not.toContain('@example.com')
  expect(upstream.journal.some(({ path }) => path.endsWith('/embeddings'))).toBe(false)
  await running.post(questionOf('one two'), masked)
  await kept(running, 3)
  expect(cacheOf(await running.post(questionOf('two one'), masked))).toBe('semantic')
})

test.each([
  ['fails', json({ error: {} }, { status: 500 })],
  ['says what is no vector', json({ object: 'list', data: [], model: 'e', usage: {} })],
  ['does not answer in time', silence],
])('an embeddings model that %s costs nobody an answer', async (_, answer) => {
  const embedder = await startUpstream(answer)
  const upstream = await startUpstream(novelist())
  const config = {
    cacheMode: 'semantic',
    cache: { embeddings: 'embedder/e', embeddingsTimeout: 0.2 },
    providers: { embedder: { baseUrl: embedder.baseUrl, retries: 0 } },
  }
  const { running } = await startCaching(config, { upstream })
  expect(saidIn(await running.post(questionOf('one two')))).toBe('novel 1')
  expect(cacheOf(await running.post(questionOf('two one')))).toBe('miss')
  expect(cacheOf(await running.post(questionOf('one two')))).toBe('hit')
})
