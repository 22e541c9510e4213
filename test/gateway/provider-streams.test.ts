import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { errorOf, recorded, startGateway } from './running.ts'
import { type Answer, brokenStream, eventStream, startUpstream, stream } from './upstream.ts'
import { chunk, done, event, openAiError, questionOf, usageChunk } from './wire.ts'

const asked = questionOf('Hi', { stream: true })
const part = chunk({ role: 'assistant', content: 'half of ' })
const rest = chunk({ content: 'it' }, { finish: 'stop' })

/** Streams that end without being whole: what the provider sends, what of it the client gets, why it failed. */
const broken: Record<string, [pieces: string[], passed: string, reason: string]> = {
  'an event that is not JSON': [
    [part, 'data: {"id":"x","choices":[{"del\n\n', rest, done],
    part,
    'an event is not JSON',
  ],
  'an event that is no object': [[part, 'data: [1]\n\n', done], part, 'an event is not an object'],
  'an error in the middle': [[part, event(openAiError('sekret-words')), done], part, 'it reported an error'],
  'an error as a named event': [
    [part, `event: error\n${event(openAiError('sekret-words'))}`],
    part,
    'it reported an error',
  ],
  'an end after half of the reply': [[part], part, 'it ended without a finish reason'],
  'an end in the middle of an event': [[part, 'data: {"id":"x","choi'], part, 'an event is not JSON'],
  'an end after nothing but comments': [[': hello\n\n'], ': hello\n\n', 'it ended without a finish reason'],
  'one of two choices unfinished': [
    [part, chunk({ content: 'other' }, { index: 1 }), rest],
    part + chunk({ content: 'other' }, { index: 1 }) + rest,
    'it ended without a finish reason',
  ],
}

for (const together of [false, true]) {
  test.each(Object.entries(broken))(
    `a stream with %s is told and recorded as failed${together ? ', also when it comes at once' : ''}`,
    async (_, [pieces, passed, reason]) => {
      const upstream = await startUpstream(stream(together ? [pieces.join('')] : pieces))
      const running = await startGateway({ upstream })
      const { status, text, headers } = await running.post(asked)
      expect(status).toBe(200)
      expect(text.slice(0, passed.length)).toBe(passed)
      expect(JSON.parse(text.slice(passed.length).replace(/^data: /, ''))).toEqual({
        error: {
          message: `The provider 'test' ended its stream early: ${reason}`,
          type: 'provider_error',
          param: null,
          code: 'provider_stream_truncated',
        },
      })
      expect(text).not.toContain('[DONE]')
      expect(text + running.log()).not.toContain('sekret')
      const { call, response } = await recorded(running, headers['x-stele-call-id'])
      expect(call).toMatchObject({
        status: 'failed',
        httpStatus: 200,
        errorCode: 'provider_stream_truncated',
      })
      expect(pieces.join('').startsWith(response ?? '?')).toBe(true)
      expect(response?.startsWith(passed)).toBe(true)
    },
  )
}

/** Streams of which nothing reaches the client: it is told by a status, as if there had been no stream. */
const stillborn: Record<string, [pieces: string[], reason: string]> = {
  'an end before anything': [[], 'it ended without a finish reason'],
  'an error as its first event': [[event(openAiError('sekret-words')), done], 'it reported an error'],
  'a first event that is not JSON': [['data: {"id"\n\n', rest, done], 'an event is not JSON'],
}

test.each(Object.entries(stillborn))(
  'a stream with %s is an error with a status, and recorded as failed',
  async (_, [pieces, reason]) => {
    const running = await startGateway({ upstream: await startUpstream(stream(pieces)) })
    const reply = await running.post(asked)
    expect(reply.status).toBe(502)
    expect(errorOf(reply)).toEqual({
      message: `The provider 'test' ended its stream early: ${reason}`,
      type: 'provider_error',
      param: null,
      code: 'provider_stream_truncated',
    })
    expect(reply.text + running.log()).not.toContain('sekret')
    const { call, response } = await recorded(running, reply.headers['x-stele-call-id'])
    expect(call).toMatchObject({
      status: 'failed',
      httpStatus: 200,
      contentType: eventStream['content-type'],
      errorCode: 'provider_stream_truncated',
    })
    expect(pieces.join('').startsWith(response ?? '?')).toBe(true)
  },
)

test('the official client raises an error for a stream that broke off', async () => {
  const cut = Promise.withResolvers<void>()
  const running = await startGateway({ upstream: await startUpstream(brokenStream([part], cut.promise)) })
  const read = async (): Promise<void> => {
    for await (const { choices } of await running
      .client()
      .chat.completions.create({ ...questionOf('Hi'), stream: true })) {
      expect(choices[0]?.delta.content).toBe('half of ')
      cut.resolve()
    }
  }
  const error = await read().catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(OpenAI.APIError)
  expect(error).toMatchObject({ code: 'provider_unreachable' })
  const [call] = await running.stele.calls.list()
  expect(await recorded(running, call?.id)).toMatchObject({
    call: { status: 'failed', httpStatus: 200, errorCode: 'provider_unreachable' },
    response: part,
  })
})

test('a stream that says why it ended is whole even without [DONE], and gets one', async () => {
  const running = await startGateway({
    upstream: await startUpstream(stream([part, rest, usageChunk(2, 3)])),
  })
  const { text, headers } = await running.post(asked)
  expect(text).toBe(part + rest + done)
  expect(await recorded(running, headers['x-stele-call-id'])).toMatchObject({
    call: { status: 'completed', inputTokens: 2, finishReasons: ['stop'] },
    response: part + rest + usageChunk(2, 3),
  })
})

test.each<[string, string[]]>([
  ['the last chunk', [part, rest.slice(0, -2)]],
  ['the last chunk, but for one line end', [part, rest.slice(0, -1)]],
  ['[DONE]', [part, rest, done.slice(0, -2)]],
])('%s may lack its blank line: the official client still reads the whole', async (_, pieces) => {
  const running = await startGateway({ upstream: await startUpstream(stream(pieces)) })
  const final = await running
    .client()
    .chat.completions.stream({ ...questionOf('Hi'), stream: true })
    .finalChatCompletion()
  expect(final.choices[0]?.message.content).toBe('half of it')
  const [call] = await running.stele.calls.list()
  expect(await recorded(running, call?.id)).toMatchObject({
    call: { status: 'completed' },
    response: pieces.join(''),
  })
})

const afterDone: Record<string, Answer> = {
  'cut off': brokenStream([part, rest, done], Promise.resolve()),
  'left open': async reply => {
    reply.head(200, eventStream)
    await reply.write(part + rest + done)
  },
  'followed by more': stream([part, rest, done, 'data: {"late":1}\n\ndata: garbage\n\n', done]),
}

test.each(Object.entries(afterDone))('a reply that is %s after [DONE] is whole', async (_, answer) => {
  const running = await startGateway({ upstream: await startUpstream(answer), provider: { idleTimeout: 60 } })
  const { text, headers } = await running.post(asked)
  expect(text.startsWith(part + rest)).toBe(true)
  expect(text.endsWith(done)).toBe(true)
  const { call, response } = await recorded(running, headers['x-stele-call-id'])
  expect(call).toMatchObject({ status: 'completed', finishReasons: ['stop'] })
  expect(response?.startsWith(part + rest + done)).toBe(true)
})

test('the connection of a whole stream is used again', async () => {
  const ports = new Set<unknown>()
  const upstream = await startUpstream(async (reply, request) => {
    ports.add(reply.raw.socket?.remotePort)
    await stream([part, rest, done])(reply, request)
  })
  const running = await startGateway({ upstream })
  for (let round = 0; round < 4; round++) expect((await running.post(asked)).text).toBe(part + rest + done)
  expect(ports.size).toBe(1)
})

test('a broken stream leaves no connection to its provider behind', async () => {
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(`${part}data: broken\n\n`)
  })
  const running = await startGateway({ upstream })
  await running.post(asked)
  expect(await upstream.journal[0]?.over).toBe(true)
  expect(running.gateway.state.underWay.size).toBe(0)
})
