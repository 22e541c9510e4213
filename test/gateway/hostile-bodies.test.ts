import { describe, expect, test } from 'vitest'
import { completion, completionBody } from '../harness/chat.ts'
import { errorOf, onlyCall, type Running, recorded, startGateway } from './running.ts'
import { eventStream, json, startUpstream, whole } from './upstream.ts'
import { questionOf } from './wire.ts'

const said = '{"role":"user","content":"Hi"}'
const chatOf = (...members: string[]): string => `{"model":"m","messages":[${said}],${members.join(',')}}`

/** Asks with every body while another client wants to know whether the gateway lives. */
async function expectRefused(running: Running, bodies: Record<string, [string, string]>): Promise<void> {
  for (const [name, [body, code]] of Object.entries(bodies)) {
    const [reply, alive] = await Promise.all([running.post(body), running.send('GET', '/healthz')])
    expect(reply.status, name).toBe(400)
    expect({ name, code: errorOf(reply).code }).toEqual({ name, code })
    expect(alive.status).toBe(200)
  }
}

test('a body that would cost many times its size is refused before it is parsed', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const many = 1_100_000
  const started = performance.now()
  await expectRefused(running, {
    'two million brackets': [chatOf(`"x":${'['.repeat(1e6)}${']'.repeat(1e6)}`), 'json_too_deep'],
    'two hundred thousand objects, one in the other': [
      chatOf(`"x":${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`),
      'json_too_deep',
    ],
    'brackets without an end': ['['.repeat(5e6), 'json_too_deep'],
    'messages that are numbers': [`{"model":"m","messages":[${'1,'.repeat(many)}1]}`, 'json_too_large'],
    'messages that are empty': [`{"model":"m","messages":[${'{},'.repeat(many)}{}]}`, 'json_too_large'],
    'a name for every value': [
      chatOf(Array.from({ length: many }, (_, index) => `"${index}":0`).join()),
      'json_too_large',
    ],
    'messages that are numbers, as many as are let in': [
      `{"model":"m","messages":[${'1,'.repeat(900_000)}1]}`,
      'invalid_value',
    ],
  })
  // Each takes some hundredths of a second; parsed, they took seconds and gigabytes.
  expect(performance.now() - started).toBeLessThan(20_000)
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test.each(['responses', 'conversations', 'embeddings', 'responses/input_tokens'])(
  'a list of ever so many wrong values is one error of POST /v1/%s',
  async route => {
    const running = await startGateway()
    const list = `[${'1,'.repeat(400_000)}1]`
    const reply = await running.send('POST', `/v1/${route}`, {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      body: `{"model":${route === 'embeddings' ? '{}' : '"echo"'},"input":${list},"items":${list}}`,
    })
    expect(reply.status).toBe(400)
    expect(errorOf(reply).code).toBe('invalid_value')
  },
)

test('a name that stands twice in an object is refused at any depth: what is recorded is what is sent', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const twice = (body: string): [string, string] => [body, 'duplicate_member']
  await expectRefused(running, {
    'two models': twice(chatOf('"model":"n"')),
    'two models, one with escapes': twice(chatOf('"mod\\u0065l":"n"')),
    'two models, alike': twice(chatOf('"model":"m"')),
    'two temperatures': twice(chatOf('"temperature":0,"temperature":1')),
    'two contents of a message': twice(
      '{"model":"m","messages":[{"role":"user","content":"mine","content":"other"}]}',
    ),
    'two roles of a message': twice('{"model":"m","messages":[{"role":"user","role":"system"}]}'),
    'two texts of a part': twice(
      '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}',
    ),
    'two prototypes': twice(chatOf('"x":{"__proto__":1,"__proto__":2}')),
    'two names without letters': twice(chatOf('"x":{"":1,"":2}')),
  })
  expect(upstream.journal).toHaveLength(0)
  const alike = chatOf('"x":{"a":{"a":"a"},"b":["a","a",{"a":1}]}', '"":"model"', '"Model":"n"')
  expect((await running.post(alike)).status).toBe(200)
  expect(upstream.journal[0]?.text).toBe(alike)
})

test('names of prototypes are names like others: kept, passed on, and of no effect', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const own =
    '"__proto__":{"stream":true,"isAdmin":true,"user":"eve"},"constructor":{"prototype":{"polluted":1}}'
  const body = `{${own},"model":"m","messages":[{"role":"user","content":"Hi",${own}}],"x":{${own}}}`
  const reply = await running.post(body)
  expect(reply.status, reply.text).toBe(200)
  expect(reply.headers['content-type']).toMatch(/^application\/json/)
  expect(upstream.journal[0]?.text).toBe(body)
  const { call, request } = await recorded(running, reply.headers['x-stele-call-id'])
  expect(call.userId).toBe('ada')
  expect(request).toBe(body)
  for (const name of ['isAdmin', 'polluted', 'stream', 'user']) expect(name in {}, name).toBe(false)
  const headers = { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' }
  for (const [route, more] of [
    ['responses', '"model":"m","input":"Hi"'],
    ['conversations', '"items":[]'],
    ['embeddings', '"model":"m","input":"Hi"'],
  ]) {
    await running.send('POST', `/v1/${route}`, { headers, body: `{${own},${more}}` })
    for (const name of ['isAdmin', 'polluted']) expect(name in {}, route).toBe(false)
  }
})

test('what names things on record is of a bounded length, and what is no text is no name', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const service = await running.newKey('app', 'service')
  const long = 'x'.repeat(100_000)
  const question = questionOf('Hi')
  const refused: [object, Record<string, string>?][] = [
    [{ ...question, model: long }],
    [{ ...question, model: 'a\0b' }],
    [{ ...question, messages: [{ role: long }] }],
    [{ ...question, user: long }, { authorization: `Bearer ${service}` }],
    [{ ...question, user: 'a\0b' }, { authorization: `Bearer ${service}` }],
    [{ ...question, store: true, metadata: { k: long } }],
    [{ ...question, store: true, metadata: { [long]: 'v' } }],
    [
      {
        ...question,
        store: true,
        metadata: Object.fromEntries(Array.from({ length: 17 }, (_, k) => [k, 'v'])),
      },
    ],
    [question, { 'idempotency-key': 'k'.repeat(256) }],
  ]
  for (const [body, headers] of refused) {
    const reply = await running.post(body, headers)
    expect(reply.status, JSON.stringify(body).slice(0, 100)).toBe(400)
    expect(reply.text.length).toBeLessThan(1_000)
    errorOf(reply)
  }
  const named = await running.post(question, { 'x-stele-conversation': `conv_${'x'.repeat(5_000)}` })
  expect(named.status).toBe(404)
  expect(upstream.journal).toHaveLength(0)
})

test.each([
  ['a byte order mark', Buffer.from(`\ufeff${chatOf('"n":1')}`), 'invalid_json'],
  ['UTF-16', Buffer.from(chatOf('"n":1'), 'utf16le'), 'invalid_json'],
  ['Latin-1', Buffer.from(chatOf('"x":"caf\u00e9"'), 'latin1'), 'invalid_utf8'],
  ['an overlong slash', Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]), 'invalid_utf8'],
  ['half a surrogate pair', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'invalid_utf8'],
])('a body that is %s is refused by its own name', async (_, body, code) => {
  const running = await startGateway()
  const reply = await running.post(body)
  expect(reply.status).toBe(400)
  expect(errorOf(reply)).toMatchObject({ code, param: null })
})

const depth = 200_000
const nested = '['.repeat(depth) + ']'.repeat(depth)

test.each([
  ['in its content', completionBody('x').replace('"x"', nested)],
  [
    'in a tool call',
    completionBody('x').replace(
      '"content":"x"',
      `"content":null,"tool_calls":[{"id":"t","function":${nested}}]`,
    ),
  ],
  ['in a member that nobody knows', completionBody('x').replace('{', `{"deep":${nested},`)],
])("a provider's reply that nests without measure %s ends in a reply, not in a crash", async (_, body) => {
  const upstream = await startUpstream(whole(body))
  const running = await startGateway({ upstream })
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(502)
  expect(errorOf(reply).code).toBe('provider_invalid_response')
  expect((await running.send('GET', '/readyz')).status).toBe(200)
  const { call, response } = await onlyCall(running)
  expect(call.status).toBe('failed')
  expect(response).toBe(body)
})

test("a provider's stream that nests without measure ends in a reply, not in a crash", async () => {
  const deep = `data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a","tool_calls":[{"index":0,"id":"t","function":${nested}}]}}]}\n\n`
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(deep)
    reply.end('data: [DONE]\n\n')
  })
  const running = await startGateway({ upstream })
  const reply = await running.post(questionOf('Hi', { stream: true }))
  expect(reply.status).toBe(502)
  expect((await running.send('GET', '/readyz')).status).toBe(200)
  const { call, response } = await onlyCall(running)
  expect(call).toMatchObject({ status: 'failed', errorCode: 'provider_stream_truncated' })
  expect(response?.startsWith(deep)).toBe(true)
})

describe('with masking', () => {
  const config = { maskPiiBeforeLlm: true, maskPiiInLogs: true }

  test('bodies are measured all the same', async () => {
    const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))), config })
    await expectRefused(running, {
      'too deep': [chatOf(`"x":${nested}`), 'json_too_deep'],
      'too many values': [`{"model":"m","messages":[${'1,'.repeat(1_100_000)}1]}`, 'json_too_large'],
      'two contents of a message': [
        '{"model":"m","messages":[{"role":"user","content":"a@example.com","content":"b@example.com"}]}',
        'duplicate_member',
      ],
    })
    const headers = { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' }
    for (const path of ['responses', 'conversations', 'embeddings']) {
      const body = `{"model":"m","input":"a@example.com","items":[],"x":${nested}}`
      const reply = await running.send('POST', `/v1/${path}`, { headers, body })
      expect(errorOf(reply).code, path).toBe('json_too_deep')
    }
  })

  test.each([false, true])(
    "a provider's reply that nests without measure is no crash (stream: %s)",
    async isStream => {
      const call = `{"role":"assistant","content":"a@example.com","tool_calls":[{"index":0,"id":"t","function":${nested}}]}`
      const upstream = await startUpstream(
        isStream
          ? async reply => {
              reply.head(200, eventStream)
              await reply.write(`data: {"id":"x","choices":[{"index":0,"delta":${call}}]}\n\n`)
              reply.end('data: [DONE]\n\n')
            }
          : whole(completionBody('x').replace(/"message":\{[^}]*\}/, `"message":${call}`)),
      )
      const running = await startGateway({ upstream, config })
      const reply = await running.post(questionOf('write to a@example.com', { stream: isStream }))
      expect(reply.status, reply.text.slice(0, 200)).toBe(502)
      expect((await running.send('GET', '/healthz')).status).toBe(200)
      expect((await onlyCall(running)).call.status).toBe('failed')
    },
  )
})
