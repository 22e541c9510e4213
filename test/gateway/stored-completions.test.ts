import { describe, expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { openapiIsThere, validateOpenAI } from '../harness/openapi.ts'
import { rowsOf } from '../harness/rows.ts'
import { type Running, startGateway } from './running.ts'
import { get, idsOf, path, withStored } from './stored.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { answerEvents, chunk, event, openAiError, questionOf } from './wire.ts'

const checked = (schema: string, value: unknown): void => {
  if (openapiIsThere) expect(validateOpenAI(schema, value)).toEqual([])
}

describe('with the official client', () => {
  test('a completion is stored, found, given other metadata and deleted', async () => {
    const { running, client } = await withStored(['chatcmpl-a'], () => ({ topic: 'names' }))
    const stored = await client.chat.completions.retrieve('chatcmpl-a')
    checked('CreateChatCompletionResponse', stored)
    expect(stored).toEqual({
      ...completion('I am chatcmpl-a', { id: 'chatcmpl-a' }),
      metadata: { topic: 'names' },
    })

    const updated = await client.chat.completions.update('chatcmpl-a', { metadata: { topic: 'x', n: '1' } })
    checked('CreateChatCompletionResponse', updated)
    expect((await client.chat.completions.retrieve('chatcmpl-a')).metadata).toEqual({ topic: 'x', n: '1' })
    expect((await client.chat.completions.update('chatcmpl-a', { metadata: null })).metadata).toEqual({})

    const deleted = await client.chat.completions.delete('chatcmpl-a')
    checked('ChatCompletionDeleted', deleted)
    expect(deleted).toEqual({ object: 'chat.completion.deleted', id: 'chatcmpl-a', deleted: true })
    await expect(client.chat.completions.retrieve('chatcmpl-a')).rejects.toMatchObject({
      status: 404,
      code: 'completion_not_found',
    })
    expect((await client.chat.completions.list()).data).toEqual([])
    // The call stays on record.
    expect(await running.stele.calls.list()).toHaveLength(1)
  })

  test('a list is read page by page, forwards and backwards, and goes on behind what was deleted', async () => {
    const ids = Array.from({ length: 7 }, (_, index) => `chatcmpl-${index}`)
    const { running, client } = await withStored(ids)
    for (const [order, expected] of [
      ['asc', ids],
      ['desc', ids.toReversed()],
    ] as const) {
      const listed: string[] = []
      for await (const { id } of client.chat.completions.list({ limit: 3, order })) listed.push(id)
      expect(listed).toEqual(expected)
    }
    const page = JSON.parse((await get(running, `${path}?limit=3`)).text) as Record<string, unknown>
    checked('ChatCompletionList', page)
    expect(page).toMatchObject({ object: 'list', first_id: ids[0], last_id: ids[2], has_more: true })
    await client.chat.completions.delete(ids[2] ?? '')
    const next = JSON.parse((await get(running, `${path}?after=${ids[2]}&limit=4`)).text) as Record<
      string,
      unknown
    >
    expect(next).toMatchObject({ first_id: ids[3], last_id: ids[6], has_more: false })
    expect((await client.chat.completions.list({ limit: 7 })).data).toHaveLength(6)
  })

  test('a list is filtered by model and by metadata', async () => {
    const ids = ['chatcmpl-1', 'chatcmpl-2', 'chatcmpl-3']
    const odd = { '50%_"a\\': 'Grüße, "x"\u0000\ud83d\ude00!' }
    const { running, client } = await withStored(ids, id =>
      id === 'chatcmpl-2'
        ? { team: 'red', ...odd }
        : id === 'chatcmpl-3'
          ? { team: 'Red', a: '1' }
          : undefined,
    )
    const listed = async (filter: object): Promise<string[]> =>
      (await client.chat.completions.list(filter)).data.map(({ id }) => id)
    expect(await listed({ metadata: { team: 'red' } })).toEqual(['chatcmpl-2'])
    expect(await listed({ metadata: odd })).toEqual(['chatcmpl-2'])
    expect(await listed({ metadata: { team: 'Red', a: '1' } })).toEqual(['chatcmpl-3'])
    expect(await listed({ metadata: { team: 'Red', a: '2' } })).toEqual([])
    expect(await listed({ metadata: { 're%': '_' } })).toEqual([])
    expect(await listed({ model: 'test-model-2026', limit: 2 })).toEqual(['chatcmpl-1', 'chatcmpl-2'])
    expect(await listed({ model: 'other' })).toEqual([])
    expect(await listed({ metadata: null })).toHaveLength(3)
    const empty = JSON.parse((await get(running, `${path}?model=a%00b`)).text) as unknown
    checked('ChatCompletionList', empty)
    expect(empty).toEqual({ object: 'list', data: [], first_id: '', last_id: '', has_more: false })
  })

  test('the messages of its request are listed, parts as parts', async () => {
    const running = await startGateway({
      upstream: await startUpstream(json(completion('A cat', { id: 'c-1' }))),
    })
    const client = running.client()
    const parts = [
      { type: 'text' as const, text: 'And this?' },
      { type: 'image_url' as const, image_url: { url: 'https://example.com/cat.png' } },
    ]
    await client.chat.completions.create({
      model: 'm',
      store: true,
      messages: [
        { role: 'system', content: 'Be brief.', name: 'rules' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 't', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 't', content: '4' },
        { role: 'user', content: parts },
      ],
    })
    const page = await client.chat.completions.messages.list('c-1')
    expect(
      page.data.map(({ id, role, content, content_parts }) => ({ id, role, content, content_parts })),
    ).toEqual([
      { id: 'c-1-0', role: 'system', content: 'Be brief.', content_parts: null },
      { id: 'c-1-1', role: 'assistant', content: null, content_parts: null },
      { id: 'c-1-2', role: 'tool', content: '4', content_parts: null },
      { id: 'c-1-3', role: 'user', content: null, content_parts: parts },
    ])
    expect(page.data[0]).toMatchObject({ name: 'rules' })
    expect(page.data[1]).toMatchObject({ tool_calls: [{ id: 't' }] })
    expect(page.data[2]).toMatchObject({ tool_call_id: 't' })
    const list = JSON.parse((await get(running, `${path}/c-1/messages`)).text) as { data: object[] }
    // OpenAI's description knows no other role here than the assistant's; its own example is a user's message.
    checked('ChatCompletionMessageList', {
      ...list,
      data: list.data.map(each => ({ ...each, role: 'assistant' })),
    })
    const backwards: string[] = []
    for await (const { id } of client.chat.completions.messages.list('c-1', { limit: 3, order: 'desc' }))
      backwards.push(id)
    expect(backwards).toEqual(['c-1-3', 'c-1-2', 'c-1-1', 'c-1-0'])
  })
})

describe('what is stored of a reply', () => {
  const only = async (running: Running): Promise<Record<string, unknown>> => {
    const { data } = JSON.parse((await get(running, path)).text) as { data: Record<string, unknown>[] }
    expect(data).toHaveLength(1)
    checked('CreateChatCompletionResponse', data[0])
    return data[0] ?? {}
  }

  test('a stream is put together as if it had come whole', async () => {
    const toolCall = (fields: object) => chunk({ tool_calls: [{ index: 0, ...fields }] }, { index: 1 })
    const events = [
      ...answerEvents(['Hello', ', ', 'Ada']).slice(0, -3),
      toolCall({ id: 't-1', type: 'function', function: { name: 'f', arguments: '{"a"' } }),
      toolCall({ function: { arguments: ':1}' } }),
      chunk({}, { index: 1, finish: 'tool_calls' }),
      ...answerEvents([]).slice(-3),
    ].map(text => text.replace('"model"', '"system_fingerprint":"fp_1","service_tier":null,"model"'))
    const running = await startGateway({ upstream: await startUpstream(stream(events)) })
    const reply = await running.post(questionOf('Hi', { store: true, stream: true, metadata: { a: 'b' } }))
    expect(reply.text).not.toContain('"usage"')
    expect(await only(running)).toEqual({
      id: 'chatcmpl-s',
      object: 'chat.completion',
      created: 1_760_000_000,
      model: 'gpt-test-2026',
      system_fingerprint: 'fp_1',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello, Ada', refusal: null },
          finish_reason: 'stop',
          logprobs: null,
        },
        {
          index: 1,
          message: {
            role: 'assistant',
            content: null,
            refusal: null,
            tool_calls: [{ id: 't-1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
          },
          finish_reason: 'tool_calls',
          logprobs: null,
        },
      ],
      usage: { prompt_tokens: 7, completion_tokens: 0, total_tokens: 7 },
      metadata: { a: 'b' },
    })
  })

  test('what a service leaves out or writes as null is put right', async () => {
    const bare = {
      system_fingerprint: null,
      usage: null,
      choices: [
        {
          message: { content: 'Hi', tool_calls: null, function_call: null, reasoning: 'I greet' },
          logprobs: { content: [] },
        },
      ],
    }
    const running = await startGateway({ upstream: await startUpstream(json(bare)) })
    const { headers } = await running.post(questionOf('Hi', { store: true }))
    const stored = await only(running)
    expect(stored).toMatchObject({
      id: `chatcmpl-${headers['x-stele-call-id']}`,
      model: 'gpt-test',
      choices: [{ index: 0, finish_reason: 'stop', message: { content: 'Hi', reasoning: 'I greet' } }],
      metadata: {},
    })
    expect((await get(running, `${path}/${String(stored['id'])}`)).status).toBe(200)
  })

  test('the echo stores too, whole and streamed', async () => {
    const running = await startGateway()
    for (const streams of [false, true])
      await running.post(questionOf('Two words', { model: 'echo', store: true, stream: streams }))
    const { data } = JSON.parse((await get(running, path)).text) as { data: { choices: object[] }[] }
    expect(data.map(({ choices }) => choices)).toEqual([data[0]?.choices, data[0]?.choices])
    for (const each of data) checked('CreateChatCompletionResponse', each)
  })

  test('nothing unless it is asked for, and only of a reply that came whole', async () => {
    const upstream = await startUpstream(
      json(completion('a')),
      json(completion('b')),
      json(openAiError('no'), { status: 400 }),
      stream([event({ id: 'x', choices: [{ index: 0, delta: { content: 'par' } }] })]),
    )
    const running = await startGateway({ upstream })
    await running.post(questionOf('1'))
    await running.post(questionOf('2', { store: false }))
    await running.post(questionOf('3', { store: true }))
    await running.post(questionOf('4', { store: true, stream: true }))
    expect(upstream.journal).toHaveLength(4)
    expect(await rowsOf(running.stele, 'stored_completions')).toEqual([])
    expect(idsOf((await get(running, path)).text)).toEqual([])
  })

  test('of retried requests the answer alone', async () => {
    const upstream = await startUpstream(
      json(openAiError('busy'), { status: 503 }),
      json(completion('b', { id: 'c-2' })),
    )
    const running = await startGateway({ upstream, provider: { retries: 1 } })
    await running.post(questionOf('1', { store: true }))
    expect(idsOf((await get(running, path)).text)).toEqual(['c-2'])
  })

  test('of an id that is given again, also at once, the newest', async () => {
    const upstream = await startUpstream(json(completion('same', { id: 'same' })))
    const running = await startGateway({ upstream })
    const ask = (text: string) => running.post(questionOf(text, { store: true, metadata: { text } }))
    const replies = await Promise.all(Array.from({ length: 12 }, (_, index) => ask(`q${index}`)))
    expect(replies.map(({ status }) => status)).toEqual(Array(12).fill(200))
    await running.client().chat.completions.delete('same')
    const { headers } = await ask('last')
    expect(await rowsOf(running.stele, 'stored_completions')).toMatchObject([
      { id: 'same', call_id: headers['x-stele-call-id'], metadata: '{"text":"last"}', deleted_at: null },
    ])
    expect(idsOf((await get(running, path)).text)).toEqual(['same'])
  })

  test('an id too long to look up by is replaced', async () => {
    const running = await startGateway({
      upstream: await startUpstream(json(completion('x', { id: 'y'.repeat(100_000) }))),
    })
    const { headers } = await running.post(questionOf('Hi', { store: true }))
    expect(idsOf((await get(running, path)).text)).toEqual([`chatcmpl-${headers['x-stele-call-id']}`])
  })
})
