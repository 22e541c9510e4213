import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { eventsOf, expectOpenAI, expectResponse, lastResponse } from './responding.ts'
import { type RunningOptions, recorded, startGateway } from './running.ts'
import { json, startUpstream, stream, type Upstream, type UpstreamRequest } from './upstream.ts'

const model = 'gpt-own'

/** A provider that speaks Responses itself. */
const speaking = (upstream: Upstream, place?: RunningOptions['place']): RunningOptions => ({
  upstream,
  provider: { responses: true },
  ...(place === undefined ? {} : { place }),
})

interface Asked {
  input: unknown
  [parameter: string]: unknown
}

const askedOf = (request: UpstreamRequest | undefined): Asked => JSON.parse(request?.text ?? '{}') as Asked

/** What OpenAI would send. */
function ownResponse(text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: 'resp_upstream',
    object: 'response',
    created_at: 1_760_000_000,
    status: 'completed',
    completed_at: 1_760_000_001,
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    model: 'gpt-own-2026',
    output: [
      { id: 'rs_1', type: 'reasoning', summary: [] },
      {
        id: 'msg_1',
        type: 'message',
        status: 'completed',
        role: 'assistant',
        content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
      },
    ],
    parallel_tool_calls: true,
    previous_response_id: null,
    store: false,
    temperature: 1,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    usage: {
      input_tokens: 11,
      input_tokens_details: { cached_tokens: 3, cache_write_tokens: 0 },
      output_tokens: 6,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 17,
    },
    metadata: {},
    ...more,
  }
}

function ownEvents(text: string): string[] {
  const begun = ownResponse('', { status: 'in_progress', output: [], completed_at: null, usage: undefined })
  const place = { item_id: 'msg_1', output_index: 0 }
  const item = {
    id: 'msg_1',
    type: 'message',
    status: 'completed',
    role: 'assistant',
    content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
  }
  const events = [
    { type: 'response.created', response: begun },
    { type: 'response.in_progress', response: begun },
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...item, status: 'in_progress', content: [] },
    },
    {
      type: 'response.output_text.delta',
      ...place,
      content_index: 0,
      delta: text,
      logprobs: [],
      obfuscation: 'xyz',
    },
    { type: 'response.output_text.done', ...place, content_index: 0, text, logprobs: [] },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: ownResponse(text, { output: [item] }) },
  ]
  return events.map(
    (event, sequence_number) =>
      `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number })}\n\n`,
  )
}

describeEachDatabase('a provider that speaks Responses', bed => {
  test('gets the words of the client, its reply comes under an id of Stele, and both are recorded', async () => {
    const upstream = await startUpstream(json(ownResponse('Passed through.')))
    const running = await startGateway(speaking(upstream, await bed.place()))
    const { data, response } = await running
      .client()
      .responses.create({
        model,
        input: [
          { role: 'user', content: 'Hi' },
          { type: 'reasoning', id: 'rs_0', summary: [] },
        ],
        tools: [{ type: 'web_search' }],
        metadata: { a: 'b' },
      })
      .withResponse()
    expectResponse(data)
    expect(data).toMatchObject({
      output_text: 'Passed through.',
      metadata: { a: 'b' },
      store: true,
      model: 'gpt-own-2026',
    })
    expect(data.id).toMatch(/^resp_[0-9a-z]{26}$/)
    expect(upstream.journal[0]?.path).toBe('/v1/responses')
    expect(askedOf(upstream.journal[0])).toEqual({
      model,
      input: [
        { role: 'user', content: 'Hi' },
        { type: 'reasoning', id: 'rs_0', summary: [] },
      ],
      tools: [{ type: 'web_search' }],
      metadata: { a: 'b' },
      store: false,
    })
    const {
      call,
      request,
      response: reply,
    } = await recorded(running, response.headers.get('x-stele-call-id'))
    expect(request).toBe(upstream.journal[0]?.text)
    expect(JSON.parse(reply ?? '')).toEqual(ownResponse('Passed through.'))
    expect(call).toMatchObject({
      operation: 'responses',
      providerResponseId: 'resp_upstream',
      responseModel: 'gpt-own-2026',
      inputTokens: 11,
      outputTokens: 6,
      cacheReadInputTokens: 3,
      reasoningOutputTokens: 2,
    })
    expect((await running.client().responses.retrieve(data.id)).output).toEqual(data.output)
  })

  test('is told what came before in its own words, whoever said it', async () => {
    const upstream = await startUpstream(
      json(ownResponse('one')),
      stream(ownEvents('two')),
      json(ownResponse('three')),
    )
    const running = await startGateway(speaking(upstream, await bed.place()))
    const { responses } = running.client()
    const first = await responses.create({ model, input: 'q1', instructions: 'Be brief.' })
    const events = await eventsOf(
      await responses.create({ model, input: 'q2', previous_response_id: first.id, stream: true }),
    )
    const second = lastResponse(events)
    expect(second).toMatchObject({ status: 'completed', previous_response_id: first.id })
    expect(events.every(event => !('response' in event) || event.response.id === second.id)).toBe(true)
    await responses.create({
      model,
      input: [{ role: 'user', content: 'q3' }],
      previous_response_id: second.id,
    })
    const said = (content: string) => ({ type: 'message', role: 'assistant', content })
    expect(askedOf(upstream.journal[2])).toEqual({
      model,
      input: [
        { type: 'message', role: 'user', content: 'q1' },
        said('one'),
        { type: 'message', role: 'user', content: 'q2' },
        said('two'),
        { role: 'user', content: 'q3' },
      ],
      store: false,
    })
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    expect(await countOf(running.stele, 'messages')).toBe(6)
    const sent = upstream.journal.map(({ text }) => text)
    const calls = (await running.stele.calls.list()).toReversed()
    for (const [index, { id }] of calls.entries())
      expect((await recorded(running, id)).request).toBe(sent[index])
    const again = await eventsOf(await responses.retrieve(second.id, { stream: true }))
    expect(again.map(({ type }) => type)).toEqual(events.map(({ type }) => type))
    expect(lastResponse(again)).toEqual(second)
  })
})

test('costs T turns of storage for a conversation of T turns, whatever was said', async () => {
  const upstream = await startUpstream(json(ownResponse('an answer of some length, "quoted" and all')))
  const running = await startGateway(speaking(upstream))
  const { responses } = running.client()
  const conversation = (await running.client().conversations.create({})).id
  const said = (turn: number) => [
    {
      role: 'user' as const,
      content: [
        { type: 'input_text' as const, text: `Größe ${turn}` },
        { type: 'input_image' as const, image_url: 'data:image/png;base64,AA', detail: 'high' as const },
      ],
    },
    { type: 'function_call' as const, call_id: `call_${turn}`, name: 'f', arguments: '{ }' },
    { type: 'function_call_output' as const, call_id: `call_${turn}`, output: 'ok' },
  ]
  for (let turn = 0; turn < 12; turn++) await responses.create({ model, input: said(turn), conversation })
  const rows = (await rowsOf(running.stele, 'llm_requests')).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const sizes = rows.map(({ params, body }) => (params ?? body)?.byteLength ?? 0)
  expect(Math.abs((sizes[11] ?? 0) - (sizes[1] ?? 0))).toBeLessThan(8)
  for (const [index, { id }] of rows.entries())
    expect((await recorded(running, id)).request).toBe(upstream.journal[index]?.text)
  expect(rows[11]?.separator).toBe('items:43')
})

test('that reports a failure within its stream has failed', async () => {
  const [created = '', progress = ''] = ownEvents('x')
  const failed = {
    type: 'response.failed',
    sequence_number: 2,
    response: ownResponse('', {
      status: 'failed',
      error: { code: 'server_error', message: 'boom' },
      output: [],
    }),
  }
  const upstream = await startUpstream(
    stream([created, progress, `event: response.failed\ndata: ${JSON.stringify(failed)}\n\n`]),
  )
  const running = await startGateway(speaking(upstream))
  const events = await eventsOf(await running.client().responses.create({ model, input: 'x', stream: true }))
  expect(events.map(({ type }) => type)).toEqual([
    'response.created',
    'response.in_progress',
    'response.failed',
  ])
  const { id, status } = lastResponse(events)
  expect(status).toBe('failed')
  expect(lastResponse(events).error).toEqual({ code: 'server_error', message: 'boom' })
  expect((await running.client().responses.retrieve(id)).status).toBe('failed')
  const [call] = await running.stele.calls.list()
  expect(call).toMatchObject({ status: 'failed', errorCode: 'provider_stream_truncated' })
})

test('that does not number its events has them numbered', async () => {
  const upstream = await startUpstream(
    stream(ownEvents('x').map(text => text.replace(/,"sequence_number":\d+/, ''))),
  )
  const running = await startGateway(speaking(upstream))
  const events = await eventsOf(await running.client().responses.create({ model, input: 'x', stream: true }))
  expect(events.map(event => event.sequence_number)).toEqual([0, 1, 2, 3, 4, 5, 6])
  expect(lastResponse(events)).toMatchObject({ status: 'completed' })
})

test('whose stream ends without its last event has failed too', async () => {
  const upstream = await startUpstream(stream(ownEvents('part').slice(0, -1)))
  const running = await startGateway(speaking(upstream))
  const events = await eventsOf(await running.client().responses.create({ model, input: 'x', stream: true }))
  expect(lastResponse(events)).toMatchObject({ status: 'failed', output: [{ content: [{ text: 'part' }] }] })
})

test('is asked what a chat cannot hold; one that speaks chat completions is not', async () => {
  const own = await startUpstream(json(ownResponse('searched')))
  const chatting = await startUpstream(json(completion('chatted')))
  const running = await startGateway({
    config: {
      providers: { own: { baseUrl: own.baseUrl, responses: true }, chatting: { baseUrl: chatting.baseUrl } },
      models: { any: { targets: ['chatting/m', 'own/m'] } },
    },
  })
  const { responses } = running.client()
  const tools: [{ type: 'web_search' }] = [{ type: 'web_search' }]
  expect((await responses.create({ model: 'any', input: 'x', tools })).output_text).toBe('searched')
  expect((await responses.create({ model: 'any', input: 'x' })).output_text).toBe('chatted')
  const refused = responses.create({ model: 'chatting/m', input: 'x', tools })
  await expect(refused).rejects.toMatchObject({
    status: 400,
    code: 'not_translatable',
    param: 'tools[0].type',
  })
  expect(chatting.journal).toHaveLength(1)
})

test('that fails is followed by one that speaks chat completions, in the same conversation', async () => {
  const own = await startUpstream(
    json({ error: { message: 'down', type: 'x', param: null, code: null } }, { status: 503 }),
  )
  const chatting = await startUpstream(json(completion('rescued')))
  const running = await startGateway({
    config: {
      providers: {
        own: { baseUrl: own.baseUrl, responses: true, retries: 0 },
        chatting: { baseUrl: chatting.baseUrl },
      },
      models: { any: { targets: ['own/m', 'chatting/m'] } },
    },
  })
  const { responses } = running.client()
  const first = await responses.create({ model: 'any', input: 'q1' })
  const second = expectResponse(
    await responses.create({ model: 'any', input: 'q2', previous_response_id: first.id }),
  )
  expect(second.output_text).toBe('rescued')
  expect(await countOf(running.stele, 'conversations')).toBe(1)
  expect(await countOf(running.stele, 'messages')).toBe(4)
  expectOpenAI('CreateResponse', askedOf(own.journal[1]))
  const [last] = await running.stele.calls.list({ limit: 1 })
  expect((await recorded(running, last?.id)).request).toBe(chatting.journal[1]?.text)
})

test('a completed reply that is no response is no reply', async () => {
  const upstream = await startUpstream(json({ ok: true }))
  const running = await startGateway(speaking(upstream))
  const asked = running.client().responses.create({ model, input: 'x' })
  await expect(asked).rejects.toMatchObject({ status: 502, code: 'provider_invalid_response' })
})
