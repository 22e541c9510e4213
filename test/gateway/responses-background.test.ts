import { expect, test } from 'vitest'
import { shutDown } from '../../src/gateway/shutdown.ts'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { inBatch } from '../harness/rows.ts'
import { FakeTiming } from './fake-timing.ts'
import { eventsOf, expectResponse, lastResponse, type ResponseEvent } from './responding.ts'
import { errorOf, onlyCall, type Running, startGateway } from './running.ts'
import { type Answer, eventStream, json, silence, startUpstream, stream } from './upstream.ts'
import { answerEvents, chunk, done, openAiError } from './wire.ts'

const model = 'gpt-test'

/** Answers when it is told to. */
function whenTold(answer: Answer): { answer: Answer; tell: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return {
    tell: resolve,
    answer: async (reply, request) => {
      await promise
      await answer(reply, request)
    },
  }
}

const statusOf = async (running: Running, id: string): Promise<string | undefined> =>
  expectResponse(await running.client().responses.retrieve(id)).status

describeEachDatabase('a response in the background', bed => {
  test('is there at once, is made while nobody waits, and is polled', async () => {
    const held = whenTold(json(completion('at last')))
    const upstream = await startUpstream(held.answer)
    const running = await startGateway({ upstream, place: await bed.place() })
    const begun = expectResponse(
      await running.client().responses.create({ model, input: 'Hi', background: true }),
    )
    expect(begun).toMatchObject({ status: 'in_progress', background: true, output: [] })
    await upstream.received()
    expect(await statusOf(running, begun.id)).toBe('in_progress')
    held.tell()
    await expect.poll(() => statusOf(running, begun.id)).toBe('completed')
    const ended = await running.client().responses.retrieve(begun.id)
    expect(ended).toMatchObject({ output_text: 'at last', usage: { total_tokens: 15 }, background: true })
    const next = await running
      .client()
      .responses.create({ model, input: 'x', previous_response_id: begun.id })
    expect(next.output_text).toBe('at last')
    expect(upstream.journal).toHaveLength(2)
  })

  test('is cancelled: its provider is let go and the record says so', async () => {
    const upstream = await startUpstream(async reply => {
      reply.head(200, eventStream)
      await reply.write(chunk({ content: 'a part' }))
    })
    const running = await startGateway({ upstream, place: await bed.place() })
    const { responses } = running.client()
    const { id } = await responses.create({ model, input: 'Hi', background: true })
    const asked = await upstream.received()
    const cancelled = expectResponse(await responses.cancel(id))
    expect(cancelled).toMatchObject({ id, status: 'cancelled' })
    expect(await asked.over).toBe(true)
    expect(await statusOf(running, id)).toBe('cancelled')
    expect((await onlyCall(running)).call).toMatchObject({
      status: 'aborted',
      errorCode: 'response_cancelled',
    })
    // Once more changes nothing.
    expect((await responses.cancel(id)).status).toBe('cancelled')
  })

  test('is cancelled through another gateway on the same database', async () => {
    const place = await bed.place()
    const upstream = await startUpstream(silence)
    const [maker, other] = [await startGateway({ upstream, place }), await startGateway({ upstream, place })]
    const key = maker.key
    const { id } = await maker.client().responses.create({ model, input: 'Hi', background: true })
    const cancelled = await other.client({ apiKey: key }).responses.cancel(id)
    expect(cancelled.status).toBe('cancelled')
  })

  test('whose provider fails for good is a failed one, however often it was tried', async () => {
    const upstream = await startUpstream(json(openAiError('busy'), { status: 500 }))
    const timing = new FakeTiming()
    const running = await startGateway({
      upstream,
      place: await bed.place(),
      provider: { retries: 2 },
      timing,
    })
    const { id } = await running.client().responses.create({ model, input: 'Hi', background: true })
    await expect.poll(() => statusOf(running, id)).toBe('failed')
    expect(upstream.journal).toHaveLength(3)
    const failed = await running.client().responses.retrieve(id)
    expect(failed).toMatchObject({ error: { code: 'server_error' }, output: [] })
    const next = running.client().responses.create({ model, input: 'x', previous_response_id: id })
    await expect(next).rejects.toMatchObject({ status: 400, param: 'previous_response_id' })
  })

  test('that its process did not live to end is a failed one', async () => {
    const place = await bed.place()
    const upstream = await startUpstream(silence)
    const running = await startGateway({ upstream, place })
    const { id } = await running.client().responses.create({ model, input: 'Hi', background: true })
    await upstream.received()
    // What the next process finds when this one has died: its instance gone, its call given up.
    const { kysely } = running.stele.database
    const [request] = await kysely.selectFrom('llm_requests').selectAll().execute()
    const row = { ...orphan, user_id: request?.user_id ?? '', request_id: request?.id ?? '' }
    await inBatch(running.stele, batch => batch.insert('llm_responses', [row]))
    await kysely.deleteFrom('instances').execute()
    expect(expectResponse(await running.client().responses.retrieve(id))).toMatchObject({
      status: 'failed',
      error: { code: 'server_error', message: 'gone' },
    })
  })
})

const orphan = {
  status: 'orphaned',
  http_status: null,
  content_type: null,
  body: null,
  content_at: null,
  conversation_id: null,
  seq: null,
  response_model: null,
  provider_response_id: null,
  finish_reasons: null,
  input_tokens: null,
  output_tokens: null,
  cache_read_input_tokens: null,
  reasoning_output_tokens: null,
  cost_nanousd: null,
  usage_source: null,
  cache_creation_input_tokens: null,
  usage_details: null,
  latency_ms: null,
  time_to_first_chunk_ms: null,
  error_code: 'orphaned',
  error_message: 'gone',
  cache_hit: null,
  saved_input_tokens: null,
  saved_output_tokens: null,
  saved_nanousd: null,
  created_at: 1,
}

test('its events are streamed, its client may leave, and another goes on where it stopped', async () => {
  const more = Promise.withResolvers<void>()
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ content: 'one' }))
    await more.promise
    await reply.write(chunk({ content: ' two' }))
    await reply.write(chunk({}, { finish: 'stop' }))
    reply.end(done)
  })
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const seen: ResponseEvent[] = []
  for await (const event of await responses.create({ model, input: 'Hi', background: true, stream: true })) {
    seen.push(event)
    if (event.type === 'response.output_text.delta') break
  }
  const id = seen[0]?.type === 'response.created' ? seen[0].response.id : ''
  const starting_after = seen.at(-1)?.sequence_number ?? -1
  const rest = responses.retrieve(id, { stream: true, starting_after })
  const events = rest.then(eventsOf)
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(1)
  more.resolve()
  const later = await events
  expect(later[0]?.sequence_number).toBe(starting_after + 1)
  expect(lastResponse(later)).toMatchObject({
    id,
    status: 'completed',
    output: [{ content: [{ text: 'one two' }] }],
  })
  // From the record the same events come again.
  const again = await eventsOf(await responses.retrieve(id, { stream: true }))
  expect(again.slice(0, seen.length).map(({ type }) => type)).toEqual(seen.map(({ type }) => type))
  expect(again.slice(seen.length)).toEqual(later)
  expect((await onlyCall(running)).call.status).toBe('completed')
})

test('a response that is still being made is streamed once it has ended', async () => {
  const held = whenTold(json(completion('at last')))
  const upstream = await startUpstream(held.answer)
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  const { id } = await responses.create({ model, input: 'Hi', background: true })
  const events = responses.retrieve(id, { stream: true }).then(eventsOf)
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(1)
  held.tell()
  expect(lastResponse(await events)).toMatchObject({ id, status: 'completed' })
})

test('a shutdown waits for it, then ends it', async () => {
  const upstream = await startUpstream(silence)
  const running = await startGateway({ upstream })
  await running.client().responses.create({ model, input: 'Hi', background: true })
  await upstream.received()
  await shutDown(running.gateway, { timeout: 50 })
  expect((await onlyCall(running)).call).toMatchObject({ status: 'aborted', errorCode: 'shutting_down' })
  const [row] = await running.stele.database.kysely.selectFrom('responses').selectAll().execute()
  expect(row?.status).toBe('failed')
})

test('a shutdown lets it end in time', async () => {
  const held = whenTold(json(completion('in time')))
  const upstream = await startUpstream(held.answer)
  const running = await startGateway({ upstream })
  await running.client().responses.create({ model, input: 'Hi', background: true })
  await upstream.received()
  const over = shutDown(running.gateway, { timeout: 10_000 })
  held.tell()
  await over
  expect((await onlyCall(running)).call.status).toBe('completed')
})

test('only a response in the background can be cancelled, and only a stored one be made there', async () => {
  const running = await startGateway()
  const { responses } = running.client()
  const { id } = await responses.create({ model: 'echo', input: 'x' })
  await expect(responses.cancel(id)).rejects.toMatchObject({ status: 400, code: 'response_not_cancellable' })
  const unkept = responses.create({ model: 'echo', input: 'x', background: true, store: false })
  await expect(unkept).rejects.toMatchObject({ status: 400, param: 'background' })
  const missing = responses.create({
    model: 'echo',
    input: 'x',
    background: true,
    previous_response_id: 'resp_x',
  })
  await expect(missing).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found' })
})

test('a client that leaves a stream ends its call; what came is kept as an incomplete response', async () => {
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ content: 'once upon' }))
  })
  const running = await startGateway({ upstream })
  const { responses } = running.client()
  let id = ''
  for await (const event of await responses.create({ model, input: 'Hi', stream: true })) {
    if (event.type === 'response.created') id = event.response.id
    if (event.type === 'response.output_text.delta') break
  }
  expect(await upstream.journal[0]?.over).toBe(true)
  await expect.poll(() => statusOf(running, id)).toBe('incomplete')
  expect(await responses.retrieve(id)).toMatchObject({
    output: [{ status: 'incomplete', content: [{ text: 'once upon' }] }],
  })
  expect((await onlyCall(running)).call).toMatchObject({
    status: 'aborted',
    errorCode: 'client_closed_request',
  })
  const events = await eventsOf(await responses.retrieve(id, { stream: true }))
  expect(events.at(-1)?.type).toBe('response.incomplete')
  upstream.answer(stream(answerEvents(['and so on'])))
  const next = await eventsOf(
    await responses.create({ model, input: 'go on', previous_response_id: id, stream: true }),
  )
  expect(lastResponse(next).status).toBe('completed')
})

test('a client that leaves before anything came leaves an incomplete response', async () => {
  const upstream = await startUpstream(silence)
  const running = await startGateway({ upstream })
  const leaving = new AbortController()
  const asked = running.client().responses.create({ model, input: 'Hi' }, { signal: leaving.signal })
  asked.catch(() => undefined)
  await upstream.received()
  leaving.abort()
  await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
  const { call } = await onlyCall(running)
  expect(await statusOf(running, `resp_${call.id.slice(5)}`)).toBe('incomplete')
})

test('the last event waits for the record: while the store is away it is not sent', async () => {
  const upstream = await startUpstream(stream(answerEvents(['all'])))
  const running = await startGateway({ upstream })
  const { recorder } = running.stele
  const settle = recorder.settle.bind(recorder)
  const held = Promise.withResolvers<void>()
  recorder.settle = async (...given) => {
    await held.promise
    return settle(...given)
  }
  const types: string[] = []
  const told = (async () => {
    for await (const event of await running.client().responses.create({ model, input: 'Hi', stream: true }))
      types.push(event.type)
  })()
  await expect.poll(() => types).toContain('response.output_text.delta')
  expect(types).not.toContain('response.completed')
  held.resolve()
  await told
  expect(types.at(-1)).toBe('response.completed')
})

test('a query that makes no sense is refused', async () => {
  const running = await startGateway()
  const { id } = await running.client().responses.create({ model: 'echo', input: 'x' })
  const headers = { authorization: `Bearer ${running.key}` }
  for (const [query, param] of [
    ['?stream=maybe', 'stream'],
    ['?stream=true&starting_after=-1', 'starting_after'],
    ['?starting_after=x', 'starting_after'],
    ['/input_items?limit=0', 'limit'],
    ['/input_items?limit=101', 'limit'],
    ['/input_items?order=up', 'order'],
    ['/input_items?after=item_x', 'after'],
    ['/input_items?limit=1&limit=2', 'limit'],
  ]) {
    const reply = await running.send('GET', `/v1/responses/${id}${query}`, { headers })
    expect([query, reply.status]).toEqual([query, 400])
    expect(errorOf(reply).param).toBe(param)
  }
})
