import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase, sqlitePlace } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { FakeTiming } from './fake-timing.ts'
import { errorOf, type RawReply, startGateway } from './running.ts'
import { type Answer, brokenStream, json, reset, silence, startUpstream, stream, whole } from './upstream.ts'
import { answerEvents, chunk, openAiError, questionOf } from './wire.ts'

const key = (value: string): Record<string, string> => ({ 'idempotency-key': value })

const replayed = 'idempotent-replayed'

const shared = ['x-stele-call-id', 'x-stele-conversation', 'content-type'] as const

/** The same reply again, marked as such. */
function expectSame(second: RawReply, first: RawReply): void {
  expect(second.status).toBe(first.status)
  expect(second.bytes.equals(first.bytes), second.text).toBe(true)
  for (const name of shared) expect([name, second.headers[name]]).toEqual([name, first.headers[name]])
  expect(first.headers[replayed]).toBeUndefined()
  expect(second.headers[replayed]).toBe('true')
}

const odd =
  '{ "id":"chatcmpl-1",  "choices":[{"index":0,"message":{"role":"assistant","content":"caf\\u00e9 \\ud83d\\ude00"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12345678901234567890} }\n'

const crlf = answerEvents(['é', '😀'])
  .map(event => event.replaceAll('\n', '\r\n'))
  .join(': comment\r\n\r\n')

const usageShown = { stream: true, stream_options: { include_usage: true } }

const replies: [name: string, answer: Answer, parameters: Record<string, unknown>][] = [
  ['JSON', whole(odd), {}],
  ['a stream whose usage is hidden', stream(answerEvents(['Hello', ', ', 'Ada.'])), { stream: true }],
  ['a stream whose usage is shown', stream(answerEvents(['Hello', ', ', 'Ada.'])), usageShown],
  ['a stream of CRLF lines with comments', stream([crlf]), { stream: true }],
  [
    'a stream in single bytes',
    stream([...Buffer.from(answerEvents(['é']).join(''))].map(byte => Buffer.of(byte))),
    { stream: true },
  ],
  ['a stream without its [DONE]', stream(answerEvents(['a']).slice(0, -1)), { stream: true }],
  [
    'a stream that goes on after its [DONE]',
    stream([...answerEvents(['a']), chunk({ content: 'late' })]),
    { stream: true },
  ],
  [
    'a stream whose last event lacks its blank line',
    stream([chunk({ content: 'a' }), chunk({}, { finish: 'stop' }).trimEnd()]),
    { stream: true },
  ],
  ['a stream made of a whole reply', whole(odd), { stream: true }],
  ['a stream made of a whole reply without an id', whole(odd.replace('"id":"chatcmpl-1",', '')), usageShown],
]

describeEachDatabase('an idempotency key', bed => {
  test.each(replies)(
    'gives %s again, byte for byte, and no provider is asked',
    async (_, answer, parameters) => {
      const upstream = await startUpstream(answer)
      const running = await startGateway({ upstream, place: await bed.place() })
      const first = await running.post(questionOf('Hi', parameters), key('k-1'))
      expect(first.status).toBe(200)
      for (let round = 0; round < 2; round++)
        expectSame(await running.post(questionOf('Hi', parameters), key('k-1')), first)
      expect(upstream.journal).toHaveLength(1)
      expect(await countOf(running.stele, 'llm_requests')).toBe(1)
      expect((await rowsOf(running.stele, 'usage_daily')).map(row => row.calls)).toEqual([1])
    },
  )

  test('of two requests at once one asks the provider, and both get its reply', async () => {
    const go = Promise.withResolvers<void>()
    const upstream = await startUpstream(async (reply, request) => {
      await go.promise
      await json(completion('once'))(reply, request)
    })
    const running = await startGateway({ upstream, place: await bed.place() })
    const posts = Array.from({ length: 8 }, () => running.post(questionOf('Hi'), key('race')))
    await upstream.received()
    go.resolve()
    const answers = await Promise.all(posts)
    expect(upstream.journal).toHaveLength(1)
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(new Set(answers.map(({ headers }) => headers['x-stele-call-id'])).size).toBe(1)
    expect(answers.filter(({ headers }) => headers[replayed] === 'true')).toHaveLength(7)
    expect(await countOf(running.stele, 'llm_requests')).toBe(1)
  })

  test('holds across two gateways on one database, at once and after both have gone', async () => {
    const upstream = await startUpstream(json(completion('once')))
    const place = await bed.place()
    const gateways = [await startGateway({ upstream, place }), await startGateway({ upstream, place })]
    const [one, two] = gateways.map(running => running.key)
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        gateways[index % 2]?.post(questionOf('Hi'), {
          ...key('shared'),
          authorization: `Bearer ${index % 3 ? one : two}`,
        }),
      ),
    )
    expect(upstream.journal).toHaveLength(1)
    expect([...new Set(answers.map(answer => answer?.text))]).toEqual([JSON.stringify(completion('once'))])
    for (const { stele } of gateways) await stele.close()
    const later = await startGateway({ upstream, place })
    const again = await later.post(questionOf('Hi'), key('shared'))
    expect(again.headers[replayed]).toBe('true')
    expect(again.text).toBe(answers[0]?.text)
    expect(upstream.journal).toHaveLength(1)
  })

  test('with another body, or for another conversation, is refused and changes nothing', async () => {
    const upstream = await startUpstream(json(completion('once')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const first = await running.post(questionOf('Hi'), key('k'))
    const conversation = { 'x-stele-conversation': first.headers['x-stele-conversation'] as string }
    for (const [body, headers] of [
      [questionOf('Hi '), {}],
      [questionOf('Hi', { temperature: 0 }), {}],
      [`${JSON.stringify(questionOf('Hi'))} `, {}],
      [questionOf('Hi'), conversation],
    ] as const) {
      const refused = await running.post(body, { ...key('k'), ...headers })
      expect(refused.status).toBe(409)
      expect(errorOf(refused)).toEqual({
        code: 'idempotency_key_reused',
        message: 'This Idempotency-Key was used with a different request.',
        type: 'invalid_request_error',
        param: 'idempotency-key',
      })
      expect(refused.headers['x-should-retry']).toBe('false')
    }
    expect(upstream.journal).toHaveLength(1)
    expect(await countOf(running.stele, 'llm_requests')).toBe(1)
    expectSame(await running.post(questionOf('Hi'), key('k')), first)
  })

  const failures: [name: string, answer: Answer, stream: boolean, status: number][] = [
    ['a provider that cannot be reached', reset, false, 502],
    ['a refusal', json(openAiError('no'), { status: 400 }), false, 400],
    ['a rate limit', json(openAiError('slow down'), { status: 429 }), false, 429],
    ['an error of the provider', whole('oops', { status: 500 }), false, 500],
    ['a reply that is none', whole('hello'), false, 502],
    ['a stream that breaks off', brokenStream([chunk({ content: 'a' })], Promise.resolve()), true, 200],
  ]
  test.each(failures)('is free again after %s', async (_, answer, isStream, status) => {
    const upstream = await startUpstream(
      answer,
      isStream ? stream(answerEvents(['ok'])) : json(completion('ok')),
    )
    const running = await startGateway({ upstream, place: await bed.place() })
    const body = questionOf('Hi', { stream: isStream })
    const failed = await running.post(body, key('k'))
    expect(failed.status).toBe(status)
    const second = await running.post(body, key('k'))
    expect(second.status).toBe(200)
    expect(second.headers[replayed]).toBeUndefined()
    expect(second.headers['x-stele-call-id']).not.toBe(failed.headers['x-stele-call-id'])
    expect(upstream.journal).toHaveLength(2)
    expectSame(await running.post(body, key('k')), second)
    expect((await running.post(questionOf('other', { stream: isStream }), key('k'))).status).toBe(409)
    expect(upstream.journal).toHaveLength(2)
  })

  test('is free again when its client left', async () => {
    const upstream = await startUpstream(silence, json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const leaving = new AbortController()
    const first = running
      .client()
      .chat.completions.create(questionOf('Hi'), { headers: key('k'), signal: leaving.signal })
    await upstream.received()
    leaving.abort()
    await expect(first).rejects.toThrow()
    expect(await upstream.journal[0]?.over).toBe(true)
    const { data, response } = await running
      .client()
      .chat.completions.create(questionOf('Hi'), { headers: key('k') })
      .withResponse()
    expect(data.choices[0]?.message.content).toBe('ok')
    expect(response.headers.get(replayed)).toBeNull()
    expect((await running.stele.calls.list()).map(({ status }) => status)).toEqual(['completed', 'aborted'])
  })
})

test.each([
  ['a stream, told before its reply found its place', stream(answerEvents(['a'])), { stream: true }, true],
  ['JSON, told after', json(completion('a')), {}, false],
])(
  'a reply whose place another took is given again with the conversation of %s',
  async (_, answer, parameters, isBegun) => {
    const go = Promise.withResolvers<void>()
    const upstream = await startUpstream(
      async (reply, request) => {
        await go.promise
        await answer(reply, request)
      },
      json(completion('elsewhere')),
    )
    const running = await startGateway({ upstream })
    const asking = running.post(questionOf('Hi', parameters), key('k'))
    await upstream.received()
    const [begun] = await running.stele.conversations.list()
    const { messages } = questionOf('Hi')
    const said = { role: 'assistant', content: 'said elsewhere' }
    const on = await running.post({ model: 'gpt-test', messages: [...messages, said, ...messages] })
    expect(on.headers['x-stele-conversation']).toBe(begun?.id)
    go.resolve()
    const first = await asking
    expect(first.headers['x-stele-conversation'] === begun?.id).toBe(isBegun)
    expectSame(await running.post(questionOf('Hi', parameters), key('k')), first)
  },
)

test('the automatic retry of the official client gets the reply that was lost on the way', async () => {
  const upstream = await startUpstream(json(completion('once')))
  const running = await startGateway({ upstream, place: await sqlitePlace() })
  let calls = 0
  const client = new OpenAI({
    apiKey: running.key,
    baseURL: `${running.address}/v1`,
    maxRetries: 2,
    defaultHeaders: key('lost'),
    async fetch(url, init) {
      const response = await fetch(url, init)
      calls++
      if (calls > 1) return response
      await response.arrayBuffer()
      throw new TypeError('terminated')
    },
  })
  const { data, response } = await client.chat.completions.create(questionOf('Hi')).withResponse()
  expect(data.choices[0]?.message.content).toBe('once')
  expect(response.headers.get(replayed)).toBe('true')
  expect(calls).toBe(2)
  expect(upstream.journal).toHaveLength(1)
})

test('the official client rebuilds a replayed stream as it would the first', async () => {
  const upstream = await startUpstream(stream(answerEvents(['Hello', ' Ada'])))
  const running = await startGateway({ upstream })
  const read = async () =>
    running
      .client()
      .chat.completions.stream({ ...questionOf('Hi'), stream: true }, { headers: key('s') })
      .finalChatCompletion()
  expect(await read()).toEqual(await read())
  expect(upstream.journal).toHaveLength(1)
})

test('a repetition that has waited long enough is told when to come back, and the first goes on', async () => {
  const go = Promise.withResolvers<void>()
  const upstream = await startUpstream(async (reply, request) => {
    await go.promise
    await json(completion('late'))(reply, request)
  })
  const running = await startGateway({ upstream, config: { idempotencyWait: 0.1 } })
  const first = running.post(questionOf('Hi'), key('k'))
  await upstream.received()
  const second = await running.post(questionOf('Hi'), key('k'))
  expect(second.status).toBe(409)
  expect(errorOf(second)).toMatchObject({ code: 'idempotency_key_in_use', param: 'idempotency-key' })
  expect(second.headers['retry-after']).toBe('1')
  go.resolve()
  expectSame(await running.post(questionOf('Hi'), key('k')), await first)
})

test('a waiting repetition that leaves, and one that the gateway must end, wait no longer', async () => {
  const upstream = await startUpstream(silence)
  const running = await startGateway({ upstream })
  const { state } = running.gateway
  const first = running.post(questionOf('Hi'), key('k')).catch(() => 'cut')
  await upstream.received()
  const leaving = new AbortController()
  const leaver = running
    .client()
    .chat.completions.create(questionOf('Hi'), { headers: key('k'), signal: leaving.signal })
  await expect.poll(() => state.underWay.size).toBe(2)
  leaving.abort()
  await expect(leaver).rejects.toThrow()
  await expect.poll(() => state.underWay.size).toBe(1)
  const stayer = running.post(questionOf('Hi'), key('k'))
  await expect.poll(() => state.underWay.size).toBe(2)
  for (const abort of state.underWay) abort.abort()
  expect((await stayer).status).toBe(503)
  await first
  expect(state.underWay.size).toBe(0)
  expect(upstream.journal).toHaveLength(1)
})

test('a key belongs to its user: another user may use the same, another key of the same user finds it', async () => {
  const upstream = await startUpstream(json(completion('for one')), json(completion('for the other')))
  const running = await startGateway({ upstream })
  const first = await running.post(questionOf('Hi'), key('k'))
  const bob = { authorization: `Bearer ${await running.newKey('bob')}` }
  const other = await running.post(questionOf('Hi'), { ...key('k'), ...bob })
  expect(other.headers[replayed]).toBeUndefined()
  expect(other.text).toContain('for the other')
  const rotated = { authorization: `Bearer ${await running.newKey('ada')}` }
  expectSame(await running.post(questionOf('Hi'), { ...key('k'), ...rotated }), first)
  const service = {
    authorization: `Bearer ${await running.newKey('app', 'service')}`,
    'x-stele-user': 'bob',
  }
  expectSame(await running.post(questionOf('Hi'), { ...key('k'), ...service }), other)
})

test('a key is forgotten when its time is over', async () => {
  const upstream = await startUpstream(json(completion('first')), json(completion('second')))
  const running = await startGateway({ upstream, config: { idempotencyTtl: 0.2 } })
  expect((await running.post(questionOf('Hi'), key('k'))).text).toContain('first')
  await expect
    .poll(async () => (await running.post(questionOf('Hi'), key('k'))).text, { timeout: 5_000 })
    .toContain('second')
  expect((await running.stele.calls.list()).length).toBeGreaterThan(1)
})

test.each([
  ['empty', ''],
  ['longer than 255 characters', 'k'.repeat(256)],
  ['with a tab', 'a\tb'],
  ['not ASCII', 'clé'],
])('a key that is %s is refused', async (_, value) => {
  const upstream = await startUpstream(json(completion('no')))
  const running = await startGateway({ upstream })
  const reply = await running.post(questionOf('Hi'), key(value))
  expect(reply.status).toBe(400)
  expect(errorOf(reply)).toMatchObject({ code: 'invalid_value', param: 'idempotency-key' })
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test('a key of 255 characters is taken, and is nowhere in the store or the log', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const value = `sekret ~${'k'.repeat(247)}`
  expect((await running.post(questionOf('Hi'), key(value))).status).toBe(200)
  expect((await running.post(questionOf('Hi'), key(value))).headers[replayed]).toBe('true')
  expect((await running.post(questionOf('Ho'), key(value))).status).toBe(409)
  const rows = await rowsOf(running.stele, 'idempotency_keys')
  expect(rows).toHaveLength(1)
  expect(JSON.stringify(rows) + running.log()).not.toContain('sekret')
})

test('requests without a key run no statement about keys', async () => {
  const statements: string[] = []
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream, store: { onSql: text => void statements.push(text) } })
  const about = () => statements.filter(text => text.includes('idempotency_keys'))
  await running.post(questionOf('Ha'))
  // What a first opening asks of every table is not asked again.
  statements.length = 0
  await running.post(questionOf('Hi'))
  expect(about()).toEqual([])
  await running.post(questionOf('Ho'), key('k'))
  expect(about().length).toBeGreaterThan(0)
})

test('a store that cannot be asked about a key refuses rather than asks the provider twice', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream, place: await sqlitePlace() })
  await running.post(questionOf('Hi'), key('k'))
  await running.stele.database.kysely.schema.alterTable('idempotency_keys').renameTo('elsewhere').execute()
  expect((await running.post(questionOf('Hi'), key('k'))).status).toBe(500)
  expect(upstream.journal).toHaveLength(1)
})

test('a key passes from a failed attempt to the next, and stands for the one that answered', async () => {
  const upstream = await startUpstream(
    whole('oops', { status: 500 }),
    reset,
    stream(answerEvents(['at', ' last'])),
  )
  const running = await startGateway({ upstream, provider: { retries: 2 }, timing: new FakeTiming() })
  const body = questionOf('Hi', { stream: true })
  const first = await running.post(body, key('k'))
  expect(first.text).toContain(' last')
  expect((await running.stele.calls.list()).map(({ status }) => status)).toEqual([
    'completed',
    'failed',
    'failed',
  ])
  expectSame(await running.post(body, key('k')), first)
  expect(upstream.journal).toHaveLength(3)
})
