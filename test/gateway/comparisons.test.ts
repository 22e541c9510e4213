import { expect, test } from 'vitest'
import { shutDown } from '../../src/gateway/shutdown.ts'
import { assistant, completion, historyOf, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { openConnection, requestText } from './bare-connection.ts'
import { byName, choose, compare, each, eventsIn, modelOf, question, statuses, told } from './comparing.ts'
import { holdWriters } from './held-store.ts'
import { errorOf, type Running, recorded, startGateway } from './running.ts'
import { serveProcess } from './serve-process.ts'
import { type Answer, eventStream, json, silence, startUpstream, stream, whole } from './upstream.ts'
import { answerEvents, chunk, done, openAiError } from './wire.ts'

const streamed = question({ stream: true })

/** Says something and then nothing more. */
const halfway: Answer = async reply => {
  reply.head(200, eventStream)
  await reply.write(chunk({ role: 'assistant', content: 'I am h' }))
}

describeEachDatabase('a comparison over a gateway', bed => {
  const start = async (...answers: Answer[]): Promise<Running> =>
    startGateway({ upstream: await startUpstream(...answers), place: await bed.place() })

  test('is one group: all intents before anybody is asked, all outcomes before the end, one reply by the choice', async () => {
    const upstream = await startUpstream(byName)
    const running = await startGateway({ upstream, place: await bed.place() })
    const { stele } = running
    const atDispatch: number[] = []
    upstream.whenReceived(async () => void atDispatch.push(await countOf(stele, 'llm_requests')))
    const reply = await compare(running, streamed)
    expect(atDispatch).toEqual([2, 2])
    const { id, conversation_id: conversationId, replies } = told(reply)
    expect(reply.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-stele-call-id': id,
      'x-stele-conversation': conversationId,
    })
    expect(reply.text.endsWith(done)).toBe(true)
    expect(replies).toEqual(
      ['one', 'two'].map((model, index) => {
        return { index, model, call_id: expect.stringMatching(/^call_/), status: 'completed', error: null }
      }),
    )
    const [first, ...events] = eventsIn(reply.text)
    expect(first).toMatchObject({ object: 'comparison', id, conversation_id: conversationId })
    for (const [index, { call_id: callId, model }] of replies.entries()) {
      const label = `data: {"object":"comparison.chunk","index":${index},"call_id":"${callId}","model":"${model}","chunk":`
      const said = answerEvents(['I', 'am', model]).filter(
        event => event !== done && !event.includes('"usage"'),
      )
      for (const event of said) expect(reply.text).toContain(`${label}${event.slice(6, -2)}}\n\n`)
      expect(events.filter(event => event['index'] === index)).toHaveLength(said.length)
    }
    const group = await stele.calls.group('ada', id)
    expect(group.map(call => [call.id, call.requestModel, call.routeMode, call.status])).toEqual(
      replies.map(({ call_id: callId, model }) => [callId, model, 'compare', 'completed']),
    )
    expect(await historyOf(stele, conversationId)).toEqual([user('Who?')])

    const taken = { call_id: replies[1]?.call_id }
    const choice = await choose(running, id, taken)
    expect(JSON.parse(choice.text)).toEqual({
      object: 'comparison.choice',
      id,
      ...taken,
      conversation_id: conversationId,
    })
    const answer = assistant('Iamtwo')
    expect(await historyOf(stele, conversationId)).toEqual([user('Who?'), answer])
    const goingOn = { model: 'one', messages: [user('Who?'), answer, user('Sure?')] }
    const next = await running.post(goingOn, { 'x-stele-conversation': conversationId })
    expect(next.headers['x-stele-conversation']).toBe(conversationId)
    expect(await countOf(stele, 'conversations')).toBe(1)
  })

  test('its end waits for the record, in a stream and in one piece', async () => {
    for (const isStream of [true, false]) {
      const upstream = await startUpstream(byName)
      const place = await bed.place()
      const running = await startGateway({ upstream, place })
      const held = Promise.withResolvers<Awaited<ReturnType<typeof holdWriters>>>()
      const both = Promise.withResolvers<void>()
      upstream.whenReceived(async request => {
        if (modelOf(request) === 'one') held.resolve(await holdWriters(place))
        else await held.promise
        if (upstream.journal.length === 2) both.resolve()
      })
      const { send, text } = await openConnection(running)
      const headers = ['x: y']
      send(
        requestText(
          running,
          'POST /v1/comparisons',
          JSON.stringify(question({ stream: isStream })),
          ...headers,
        ),
      )
      const { release } = await held.promise
      await both.promise
      for (const { over } of upstream.journal) await over
      for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
      if (isStream) await expect.poll(() => text().match(/"finish_reason":"stop"/g)).toHaveLength(2)
      expect(text()).not.toContain('"completed"')
      expect(text()).not.toContain('[DONE]')
      await release()
      await expect.poll(text, { timeout: 10_000 }).toContain('"status":"completed"')
    }
  })

  test('in one piece, each completion is the provider’s to the letter', async () => {
    const odd =
      '{ "id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"\\u0041"}}],"n":1.0 }'
    const running = await start(each({ one: whole(odd) }))
    const reply = await compare(running)
    const { id, replies } = told(reply)
    expect(reply.text).toContain(`"completion":${odd}}`)
    expect(replies[1]?.completion).toEqual(completion('I am two'))
    const { call, request, response } = await recorded(running, replies[0]?.call_id)
    expect(request).toBe('{"model":"one","messages":[{"role":"user","content":"Who?"}]}')
    expect(response).toBe(odd)
    const choice = JSON.parse((await choose(running, id, { call_id: call.id })).text)
    expect(await historyOf(running.stele, choice.conversation_id)).toEqual([user('Who?'), assistant('A')])
  })

  test('a choice holds: again it answers the same, another is 409, whichever gateway is asked', async () => {
    const place = await bed.place()
    const upstream = await startUpstream(byName)
    const running = await startGateway({ upstream, place })
    const other = await startGateway({ upstream, place })
    const { id, replies } = told(await compare(running))
    const [first, second] = replies.map(({ call_id: callId }) => ({ call_id: callId }))
    const choice = await choose(other, id, first)
    expect(choice.status).toBe(200)
    expect((await choose(running, id, first)).text).toBe(choice.text)
    for (const body of [second, { call_id: null }]) {
      const refused = await choose(running, id, body)
      expect([refused.status, errorOf(refused).code]).toEqual([409, 'comparison_settled'])
    }
    const none = told(await compare(other))
    expect(JSON.parse((await choose(running, none.id, { call_id: null })).text)).toMatchObject({
      call_id: null,
    })
    expect((await choose(other, none.id, { call_id: null })).status).toBe(200)
    expect((await choose(other, none.id, { call_id: none.id })).status).toBe(409)
  })

  test('a client that leaves ends it: what had come is on record, nothing is chosen, and may still be', async () => {
    const upstream = await startUpstream(each({ two: halfway }))
    const running = await startGateway({ upstream, place: await bed.place() })
    const { socket, send, text } = await openConnection(running)
    send(requestText(running, 'POST /v1/comparisons', JSON.stringify(streamed)))
    await expect.poll(text).toMatch(/I am h[\s\S]*"finish_reason":"stop"|"finish_reason":"stop"[\s\S]*I am h/)
    const [{ id, conversation_id: conversationId, replies }] = eventsIn(
      text().slice(text().indexOf('data: '), text().indexOf('\n\n', text().indexOf('data: '))),
    ) as never as [ReturnType<typeof told>]
    // Nothing is settled before all can be.
    for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
    expect(await countOf(running.stele, 'llm_responses')).toBe(0)
    for (const early of [null, replies[0]?.call_id]) {
      const refused = await choose(running, id, { call_id: early })
      expect([refused.status, errorOf(refused).code]).toEqual([409, 'comparison_under_way'])
      expect(refused.headers['retry-after']).toBe('1')
    }
    socket.destroy()
    await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
    expect(await statuses(running)).toEqual([
      ['one', 'completed', undefined],
      ['two', 'aborted', 'client_closed_request'],
    ])
    expect(await historyOf(running.stele, conversationId)).toEqual([user('Who?')])
    expect((await choose(running, id, { call_id: replies[1]?.call_id })).status).toBe(200)
    expect(await historyOf(running.stele, conversationId)).toEqual([user('Who?'), assistant('I am h')])
  })

  test('a gateway that stops settles what still runs, and says so', async () => {
    const upstream = await startUpstream(each({ two: halfway }))
    const running = await startGateway({ upstream, place: await bed.place() })
    const inStream = compare(running, streamed)
    const inOnePiece = compare(running)
    await expect.poll(() => upstream.journal.length).toBe(4)
    for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
    await shutDown(running.gateway, { timeout: 0 })
    expect((await inStream).text).toMatch(/"code":"shutting_down"[^\n]*\n\n$/)
    const refused = await inOnePiece
    expect([refused.status, errorOf(refused).code]).toEqual([503, 'shutting_down'])
    const ends = await statuses(running)
    expect(ends).toHaveLength(4)
    for (const end of ends.filter(([model]) => model === 'two'))
      expect(end).toEqual(['two', 'aborted', 'shutting_down'])
    expect((await rowsOf(running.stele, 'messages')).map(({ role }) => role)).not.toContain('assistant')
  })

  test('a gateway that is killed leaves a comparison to be found orphaned', { timeout: 60_000 }, async () => {
    const place = await bed.place()
    const upstream = await startUpstream(each({ two: silence }))
    const key = 'sk-of-whoever-compares'
    const env = { OPENAI_BASE_URL: upstream.baseUrl, OPENAI_API_KEY: 'k', STELE_API_KEY: key }
    const dying = await serveProcess({ place, env })
    const address = await dying.address
    const lost = fetch(`${address}/v1/comparisons`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(question()),
    }).then(
      () => 'answered',
      () => 'lost',
    )
    await expect.poll(() => upstream.journal.length, { timeout: 10_000 }).toBe(2)
    dying.kill('SIGKILL')
    expect(await lost).toBe('lost')
    await dying.ended
    const stele = await place.stele()
    await stele.recorder.start()
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['orphaned', 'orphaned'])
  })
})

test('a model that fails does not keep the others from answering, and is told in its provider’s words', async () => {
  const upstream = await startUpstream(
    each({ one: json(openAiError('Out of order.', 'broken'), { status: 500 }), three: halfTold }),
  )
  const running = await startGateway({ upstream, config: { defaultProvider: 'test' } })
  const body = question({ models: ['one', 'two', 'three'], stream: true })
  const { id, replies } = told(await compare(running, body))
  expect(replies.map(({ status, error }) => [status, error?.code])).toEqual([
    ['failed', 'broken'],
    ['completed', undefined],
    ['failed', 'provider_stream_truncated'],
  ])
  expect(replies[0]?.error?.message).toBe('Out of order.')
  expect(upstream.journal).toHaveLength(3)
  for (const failed of [replies[0], replies[2]]) {
    const refused = await choose(running, id, { call_id: failed?.call_id })
    expect([refused.status, errorOf(refused)]).toMatchObject([400, { param: 'call_id' }])
  }
  expect((await choose(running, id, { call_id: replies[1]?.call_id })).status).toBe(200)
  expect(await statuses(running)).toMatchObject([
    ['one', 'failed', 'provider_error'],
    ['two', 'completed', undefined],
    ['three', 'failed', 'provider_stream_truncated'],
  ])
})

/** A stream without an end. */
const halfTold: Answer = stream([chunk({ role: 'assistant', content: 'I am' })])

test('a provider that is not asked for a while fails its reply alone', async () => {
  const bad = await startUpstream(json({}, { status: 500 }))
  const upstream = await startUpstream(byName)
  const config = { providers: { bad: { baseUrl: bad.baseUrl, retries: 0, breakerFailures: 1 } } }
  const running = await startGateway({ upstream, config })
  const body = question({ models: ['bad/x', 'one'] })
  const codes = [told(await compare(running, body)), told(await compare(running, body))].map(({ replies }) =>
    replies.map(({ error }) => error?.code),
  )
  expect(codes).toEqual([
    ['provider_error', undefined],
    ['provider_unavailable', undefined],
  ])
  expect(bad.journal).toHaveLength(1)
  expect(await countOf(running.stele, 'llm_responses')).toBe(4)
})

test('a provider that does not stream is told as events', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('I am whole'))) })
  const reply = await compare(running, question({ stream: true, models: ['one', 'one'] }))
  const chunks = eventsIn(reply.text).filter(({ object }) => object === 'comparison.chunk')
  for (const index of [0, 1])
    expect(JSON.stringify(chunks.filter(event => event['index'] === index))).toContain('I am whole')
  expect(told(reply).replies.map(({ status }) => status)).toEqual(['completed', 'completed'])
})

const refusals: [
  what: string,
  body: unknown,
  status: number,
  code: string,
  headers?: Record<string, string>,
][] = [
  ['no models', { messages: question().messages }, 400, 'missing_required_parameter'],
  ['one model', question({ models: ['one'] }), 400, 'invalid_value'],
  ['nine models', question({ models: Array(9).fill('one') }), 400, 'invalid_value'],
  ['models that are no names', question({ models: ['one', 2] }), 400, 'invalid_value'],
  ['a model beside them', question({ model: 'one' }), 400, 'invalid_value'],
  [
    'models named twice',
    '{"models":["a","b"],"messages":[{"role":"user","content":"x"}],"models":["c","d"]}',
    400,
    'duplicate_member',
  ],
  ['no messages', question({ messages: [] }), 400, 'invalid_value'],
  ['no JSON', '{', 400, 'invalid_json'],
  ['an idempotency key', question(), 400, 'invalid_value', { 'idempotency-key': 'k' }],
  [
    'an unknown conversation',
    question(),
    404,
    'conversation_not_found',
    { 'x-stele-conversation': 'conv_1' },
  ],
  ['another user', question({ user: 'bob' }), 403, 'permission_denied'],
]

test.each(refusals)('is refused before anything is begun: %s', async (_, body, status, code, headers) => {
  const upstream = await startUpstream(byName)
  const running = await startGateway({ upstream })
  const reply = await compare(running, body, headers)
  expect([reply.status, errorOf(reply).code]).toEqual([status, code])
  expect(upstream.journal).toHaveLength(0)
  expect(await countOf(running.stele, 'llm_requests')).toBe(0)
})

test('a model that nobody serves is refused before anybody is asked', async () => {
  const running = await startGateway()
  const reply = await compare(running, question({ models: ['echo', 'nobody'] }))
  expect([reply.status, errorOf(reply).code]).toEqual([404, 'model_not_found'])
  expect(await countOf(running.stele, 'llm_requests')).toBe(0)
})

test('a choice is refused when it is none', async () => {
  const running = await startGateway({ upstream: await startUpstream(byName) })
  const { id } = told(await compare(running))
  for (const [name, body, status] of [
    [id, {}, 400],
    [id, { call_id: 1 }, 400],
    [id, { call_id: id, message: { role: 'user', content: 'x' } }, 400],
    [id, '[]', 400],
    [id, { call_id: 'call_1' }, 404],
    ['call_1', { call_id: null }, 404],
    ['..%2f', { call_id: null }, 404],
  ] as const) {
    const refused = await choose(running, name, body)
    expect(refused.status, JSON.stringify(body)).toBe(status)
    errorOf(refused)
  }
  expect((await choose(running, id, { call_id: null })).status).toBe(200)
})

test('completions that are to be listed are, each by itself', async () => {
  const running = await startGateway({ upstream: await startUpstream(byName), config: {} })
  told(await compare(running, question({ store: true, metadata: { topic: 'x' } })))
  const rows = await rowsOf(running.stele, 'stored_completions')
  expect(rows.length).toBeGreaterThan(0)
  for (const { metadata } of rows) expect(metadata).toBe('{"topic":"x"}')
})
