import { setTimeout as pause } from 'node:timers/promises'
import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { assistant, completion, completionBody, historyOf, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { FakeTiming } from './fake-timing.ts'
import { holdWriters } from './held-store.ts'
import { errorOf, type RawReply, type Running, recorded, startGateway } from './running.ts'
import {
  type Answer,
  brokenStream,
  eventStream,
  headThenSilence,
  json,
  reset,
  silence,
  startUpstream,
  stream,
  whole,
} from './upstream.ts'
import { answerEvents, chunk, done, event, openAiError, questionOf } from './wire.ts'

const refusal = (status: number, headers: Record<string, string> = {}): Answer =>
  json(openAiError('Not now.', 'its_code'), { status, ...headers })

const good = json(completion('ok'))

/** A gateway whose provider gives these answers in turn and may be asked three times. */
async function start(answers: Answer[], provider: Record<string, unknown> = {}, config = {}) {
  const upstream = await startUpstream(...answers)
  const timing = new FakeTiming()
  const running = await startGateway({
    upstream,
    timing,
    provider: { retries: 2, ...provider },
    config,
  })
  return { running, upstream, timing }
}

/** Every call, oldest first: which attempt it was and how it ended. */
async function attempts({ stele }: Pick<Running, 'stele'>) {
  const calls = (await stele.calls.list()).toReversed()
  return calls.map(({ attempt, routeMode, status, httpStatus, errorCode }) => ({
    attempt,
    routeMode,
    status,
    httpStatus,
    errorCode,
  }))
}

const callIdOf = (reply: RawReply): string => String(reply.headers['x-stele-call-id'])

describe.each([
  ['JSON', false],
  ['a stream', true],
])('asked for %s', (_, isStream) => {
  const asked = questionOf('Hi', {
    stream: isStream,
    stream_options: isStream ? { include_usage: true } : null,
  })
  const answer = isStream ? stream(answerEvents(['ok'])) : good
  const text = isStream ? answerEvents(['ok']).join('') : completionBody('ok')

  test.each([408, 409, 429, 500, 502, 503, 504, 520, 529])(
    'a %i is asked again, and the client sees the answer alone',
    async status => {
      const { running, upstream, timing } = await start([refusal(status), answer])
      const reply = await running.post(asked)
      expect({ status: reply.status, text: reply.text }).toEqual({ status: 200, text })
      expect(upstream.journal.map(request => request.text)).toEqual(Array(2).fill(JSON.stringify(asked)))
      expect(timing.waits).toEqual([250])
      expect(await attempts(running)).toEqual([
        {
          attempt: 1,
          routeMode: undefined,
          status: 'failed',
          httpStatus: status,
          errorCode: 'provider_error',
        },
        { attempt: 2, routeMode: 'retry', status: 'completed', httpStatus: 200, errorCode: undefined },
      ])
    },
  )

  test.each([400, 401, 402, 403, 404, 405, 410, 413, 418, 422, 451, 501, 505])(
    'a %i is told at once',
    async status => {
      const { running, upstream, timing } = await start([refusal(status), answer])
      const reply = await running.post(asked)
      expect(reply.status).toBe(status === 401 || status === 403 ? 502 : status)
      expect(upstream.journal).toHaveLength(1)
      expect(timing.waits).toEqual([])
      expect(reply.headers).not.toHaveProperty('x-stele-attempts')
    },
  )

  const lost: Record<string, Answer> = {
    'a connection cut instead of an answer': reset,
    'no first byte in time': silence,
    'an error under a status of success': json(openAiError('sekret-words')),
    'a page': whole('<html>sekret-words</html>', { 'content-type': 'text/html' }),
    nothing: whole(''),
    'an event stream under another type': whole(answerEvents(['x']).join(''), {
      'content-type': 'text/plain',
    }),
    'an unknown compression': whole(Buffer.from([0x1f, 0x8b, 8, 0]), { 'content-encoding': 'gzip' }),
    'JSON that stops coming': headThenSilence({ 'content-type': 'application/json' }),
    'JSON that is cut off': async reply => {
      reply.head(200, { 'content-type': 'application/json' })
      await reply.write('{"choices":[')
      reply.reset()
    },
  }
  test.each(Object.entries(lost))('%s is asked again', async (_, failing) => {
    const { running, upstream } = await start([failing, answer], {
      firstByteTimeout: 0.25,
      idleTimeout: 0.25,
    })
    const reply = await running.post(asked)
    expect({ status: reply.status, text: reply.text }).toEqual({ status: 200, text })
    expect(upstream.journal).toHaveLength(2)
    expect((await attempts(running)).map(({ status }) => status)).toEqual(['failed', 'completed'])
    expect(running.log()).not.toContain('sekret')
  })

  test('when every attempt fails the client is told the last failure, byte for byte', async () => {
    const last = JSON.stringify(openAiError('Still not.', 'late'), null, 1)
    const { running, upstream, timing } = await start([
      refusal(500),
      reset,
      whole(last, { status: 503, 'x-request-id': 'req_3' }),
    ])
    const reply = await running.post(asked)
    expect({ status: reply.status, text: reply.text }).toEqual({ status: 503, text: last })
    expect(reply.headers).toMatchObject({ 'x-request-id': 'req_3', 'x-stele-attempts': '3' })
    expect(upstream.journal).toHaveLength(3)
    expect(timing.waits).toEqual([250, 500])
    expect((await recorded(running, callIdOf(reply))).response).toBe(last)
    expect(await attempts(running)).toMatchObject([
      { status: 'failed', errorCode: 'provider_error', httpStatus: 500 },
      { status: 'failed', errorCode: 'provider_unreachable', httpStatus: undefined },
      { status: 'failed', errorCode: 'provider_error', httpStatus: 503 },
    ])
  })
})

test('the official client gets its answer, and headers that lead to it and to every attempt', async () => {
  const { running } = await start([refusal(503), refusal(429), good])
  const { data, response } = await running.client().chat.completions.create(questionOf('Hi')).withResponse()
  expect(data.choices[0]?.message.content).toBe('ok')
  expect(response.headers.get('x-stele-attempts')).toBe('3')
  const { call } = await recorded(running, response.headers.get('x-stele-call-id'))
  expect(call).toMatchObject({ status: 'completed', attempt: 3 })
  expect(call.conversationId).toBe(response.headers.get('x-stele-conversation'))
  const group = await running.stele.calls.group('ada', call.id)
  expect(group.map(({ status }) => status)).toEqual(['failed', 'failed', 'completed'])
  for (const { id } of group)
    expect((await running.stele.calls.group('ada', id)).map(each => each.id)).toEqual(
      group.map(each => each.id),
    )
})

test('the official client raises the error of the last attempt', async () => {
  const { running, upstream } = await start([refusal(500)])
  const error = await running
    .client()
    .chat.completions.create(questionOf('Hi'))
    .catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(OpenAI.InternalServerError)
  expect(error).toMatchObject({ status: 500, code: 'its_code' })
  expect(upstream.journal).toHaveLength(3)
})

describeEachDatabase('attempts', bed => {
  test('each is begun before its provider is asked, when the one before is settled', async () => {
    const place = await bed.place()
    const upstream = await startUpstream(refusal(503), reset, good)
    const running = await startGateway({
      upstream,
      place,
      timing: new FakeTiming(),
      provider: { retries: 2 },
    })
    const database = place.database()
    const seen: number[][] = []
    upstream.whenReceived(async () => {
      const tables = ['llm_requests', 'llm_responses', 'messages'] as const
      seen.push(await Promise.all(tables.map(table => countOf({ database }, table))))
    })
    expect((await running.post(questionOf('Hi'))).status).toBe(200)
    expect(seen).toEqual([
      [1, 0, 1],
      [2, 1, 1],
      [3, 2, 1],
    ])
  })

  test('however long recording a failure takes, no head goes out that names the attempt that failed', async () => {
    let held: Awaited<ReturnType<typeof holdWriters>> | undefined
    const failed = Promise.withResolvers<void>()
    const place = await bed.place()
    const upstream = await startUpstream(async reply => {
      held = await holdWriters(place)
      reply.head(200, eventStream)
      reply.end()
      failed.resolve()
    }, stream(goodEvents))
    const running = await startGateway({
      upstream,
      place,
      timing: new FakeTiming(),
      provider: { retries: 2 },
    })
    const answered = running.post(streamed)
    await failed.promise
    // Longer than the head of a stream is held for its first event.
    await pause(700)
    await held?.release()
    const last = callIdOf(await answered)
    expect((await running.stele.calls.find(last))?.status).toBe('completed')
  })

  test('they make one conversation, which goes on, and count as a call each', async () => {
    const upstream = await startUpstream(refusal(503), json(completion('a', { model: 'gpt-test' })))
    const place = await bed.place()
    const running = await startGateway({
      upstream,
      place,
      timing: new FakeTiming(),
      provider: { retries: 2 },
    })
    const first = await running.post(questionOf('Hi'))
    const conversationId = String(first.headers['x-stele-conversation'])
    expect(await historyOf(running.stele, conversationId)).toEqual([user('Hi'), assistant('a')])
    const messages = [user('Hi'), assistant('a'), user('more')]
    const next = await running.post({ model: 'gpt-test', messages })
    expect(next.headers['x-stele-conversation']).toBe(conversationId)
    expect(await countOf(running.stele, 'conversations')).toBe(1)
    expect(await rowsOf(running.stele, 'usage_daily')).toMatchObject([
      { calls: 3, errors: 1, input_tokens: 20, output_tokens: 10 },
    ])
  })
})

const part = chunk({ role: 'assistant', content: 'half of ' })
const streamed = questionOf('Hi', { stream: true, stream_options: { include_usage: true } })
const goodEvents = answerEvents(['ok'])

const stillborn: Record<string, [Answer, passed?: string]> = {
  'whose first event is an error': [stream([event(openAiError('sekret-words')), done])],
  'whose first event is a named error': [stream([`event: error\n${event(openAiError('sekret-words'))}`])],
  'whose first event is broken': [stream(['data: {"id":\n\n'])],
  'that ends before its first event': [stream([])],
  'that is cut before its first event': [brokenStream([], Promise.resolve())],
  'that falls silent before its first event': [headThenSilence(eventStream)],
  'that ends within the name of its first field': [stream(['dat'])],
  'that fails after a comment': [stream([': hello\n\n', event(openAiError('x'))]), ': hello\n\n'],
}

test.each(Object.entries(stillborn))('a stream %s is asked for again', async (_, [failing, passed = '']) => {
  const { running, upstream } = await start([failing, stream(goodEvents)], { idleTimeout: 0.25 })
  const reply = await running.post(streamed)
  expect({ status: reply.status, text: reply.text }).toEqual({
    status: 200,
    text: passed + goodEvents.join(''),
  })
  expect(upstream.journal).toHaveLength(2)
  expect((await attempts(running)).map(({ status }) => status)).toEqual(['failed', 'completed'])
})

test('a stream given up for its first event is not left open', async () => {
  const { running, upstream } = await start([
    async reply => {
      reply.head(200, eventStream)
      await reply.write(event(openAiError('x')))
    },
    stream(goodEvents),
  ])
  expect((await running.post(streamed)).text).toBe(goodEvents.join(''))
  expect(await upstream.journal[0]?.over).toBe(true)
})

test('a stream of which a part reached the client is not asked for again', async () => {
  const failing: Answer[] = [
    stream([part, event(openAiError('sekret-words'))]),
    stream([part]),
    brokenStream([part], Promise.resolve()),
  ]
  for (const broken of failing) {
    const { running, upstream } = await start([broken, stream(goodEvents)])
    const { text } = await running.post(streamed)
    expect(text.startsWith(part)).toBe(true)
    expect(text).toContain('"error"')
    expect(text).not.toContain('[DONE]')
    expect(upstream.journal).toHaveLength(1)
    expect(await attempts(running)).toMatchObject([{ attempt: 1, status: 'failed' }])
  }
})

test('a stream that has begun with a comment tells the last failure as an event', async () => {
  const failing = stream([': hello\n\n', event(openAiError('sekret-words'))])
  const { running, upstream } = await start([failing, refusal(503), failing])
  const { status, text, headers } = await running.post(streamed)
  expect(status).toBe(200)
  expect(text).toMatch(
    /^: hello\n\n: hello\n\ndata: \{"error":\{.*"code":"provider_stream_truncated"\}\}\n\n$/,
  )
  expect(upstream.journal).toHaveLength(3)
  // The head was sent with the first attempt; its group leads to all of them.
  const group = await running.stele.calls.group('ada', String(headers['x-stele-call-id']))
  expect(group.map(({ status }) => status)).toEqual(['failed', 'failed', 'failed'])
})

test('a whole reply to a stream that has begun with a comment is given as its events', async () => {
  const failing = stream([': hello\n\n', event(openAiError('x'))])
  const { running } = await start([failing, good])
  const { text } = await running.post(streamed)
  expect(text.startsWith(': hello\n\ndata: ')).toBe(true)
  expect(text).toContain('"content":"ok"')
  expect(text.endsWith(done)).toBe(true)
})

test('a stream whose first event takes its time has its head sent before', async () => {
  const more = Promise.withResolvers<void>()
  const { running } = await start([
    async reply => {
      reply.head(200, eventStream)
      await more.promise
      for (const piece of goodEvents) await reply.write(piece)
      reply.end()
    },
  ])
  const response = await fetch(`${running.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(streamed),
  })
  expect(response.status).toBe(200)
  more.resolve()
  expect(await response.text()).toBe(goodEvents.join(''))
})

test('an error that names a status of its own is judged by that', async () => {
  const { running, upstream } = await start([json({ error: { code: 400, message: 'no' } }), good])
  expect((await running.post(questionOf('Hi'))).status).toBe(502)
  expect(upstream.journal).toHaveLength(1)
  upstream.answer(stream([event({ error: { code: 422, message: 'no' } })]), stream(goodEvents))
  expect((await running.post(streamed)).status).toBe(502)
  expect(upstream.journal).toHaveLength(2)
  upstream.answer(json({ error: { code: 503, message: 'no' } }), good)
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
})

test('x-should-retry overrules the status, as for the official client', async () => {
  const { running, upstream } = await start([refusal(400, { 'x-should-retry': 'true' }), good])
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
  upstream.answer(refusal(503, { 'x-should-retry': 'false' }), good)
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(503)
  expect(reply.headers['x-should-retry']).toBe('false')
  expect(upstream.journal).toHaveLength(3)
})

test('a redirect is not followed by a retry', async () => {
  const { running, upstream } = await start([
    whole('', { status: 302, location: 'http://127.0.0.1:1/' }),
    good,
  ])
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(502)
  expect(errorOf(reply).code).toBe('provider_invalid_response')
  expect(upstream.journal).toHaveLength(1)
})
