import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { upstreamBody } from '../../src/model/upstream-body.ts'
import { completion } from '../harness/chat.ts'
import { jsonValue } from '../property/arbitrary-json.ts'
import { recorded, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'

const oddBodies = {
  'numbers too long for a parser':
    '{"model":"m","messages":[{"role":"user","content":"Hi","n":1e400}],"seed":12345678901234567890,"top_p":1.0,"x":-0.0}',
  'odd spacing':
    '\n{ "model"\t:"m" ,\r\n "messages" : [ {"role" :"user", "content":"Hi" }\n,\t{"role":"user","content":"there"} ] , "n":1 }\n ',
  'escapes that need not be':
    '{"\\u006dodel":"\\u006d","messages":[{"role":"user","content":"\\u0048\\u00ef \\/ \\ud83e\\udea8"}]}',
  'a lone surrogate in the content': '{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
  'unknown parameters of any kind':
    '{"reasoning_effort":"high","model":"m","x":{"y":[null,{}]},"messages":[{"role":"user","content":"Hi","cache":{"ttl":5}}],"":0}',
  'members that JavaScript objects have by themselves':
    '{"model":"m","__proto__":{"a":1},"constructor":2,"messages":[{"role":"user","__proto__":null,"content":"Hi"}]}',
}

test.each(Object.entries(oddBodies))(
  'the provider gets the very bytes of a request with %s',
  async (_, body) => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream })
    const { status, headers } = await running.post(body)
    expect(status).toBe(200)
    expect(upstream.journal[0]?.text).toBe(body)
    expect((await recorded(running, headers['x-stele-call-id'])).request).toBe(body)
  },
)

test("of the provider's name in a model, only the prefix is cut", async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const body = (model: string): string =>
    `{ "seed":12345678901234567890, "model" : "${model}" ,"messages":[{"role":"user","content":"test/m"}] }`
  const { headers } = await running.post(body('test/vendor/m:1'))
  expect(upstream.journal[0]?.text).toBe(body('vendor/m:1'))
  const { call, request } = await recorded(running, headers['x-stele-call-id'])
  expect(call.requestModel).toBe('vendor/m:1')
  expect(request).toBe(body('test/vendor/m:1'))
})

test("the provider gets its own key and headers, and nothing of the client's", async () => {
  const upstream = await startUpstream(
    json(completion('ok'), {
      'x-request-id': 'req_1',
      'x-ratelimit-remaining-requests': '9',
      'set-cookie': 'a=b',
    }),
  )
  const running = await startGateway({
    upstream,
    provider: { apiKey: 'sk-upstream', headers: { 'x-extra': 'yes' } },
  })
  const reply = await running.post(
    { model: 'm', messages: [{ role: 'user', content: 'Hi' }] },
    { cookie: 'secret=1', 'x-stele-user': 'ada' },
  )
  const sent = upstream.journal[0]?.headers
  expect(sent).toMatchObject({
    authorization: 'Bearer sk-upstream',
    'x-extra': 'yes',
    'content-type': 'application/json',
    'user-agent': 'stele',
  })
  expect(JSON.stringify(sent)).not.toContain(running.key)
  expect(sent).not.toHaveProperty('cookie')
  expect(sent).not.toHaveProperty('x-stele-user')
  expect(reply.headers).toMatchObject({ 'x-request-id': 'req_1', 'x-ratelimit-remaining-requests': '9' })
  expect(reply.headers).not.toHaveProperty('set-cookie')
})

test('whatever the parameters and their spelling, only model and stream_options are rewritten', () => {
  const extra = fc.dictionary(fc.stringMatching(/^[a-z_]{1,12}$/), jsonValue({ maxDepth: 2 }), {
    maxKeys: 5,
  })
  const options = fc.option(
    fc.record({ include_usage: fc.option(fc.boolean()), other: fc.integer() }, { requiredKeys: [] }),
    { nil: undefined },
  )
  fc.assert(
    fc.property(
      extra,
      options,
      fc.boolean(),
      fc.constantFrom('', ' ', '\n\t '),
      (parameters, streamOptions, stream, space) => {
        const own = {
          model: 'p/model-1',
          stream,
          messages: [{ role: 'user', content: 'Hi' }],
          ...(streamOptions === undefined ? {} : { stream_options: streamOptions }),
        }
        const given = { ...parameters, ...own }
        const text = JSON.stringify(given, null, space)
        const sent = upstreamBody(parseChatRequest(text), 'model-1', true)
        const expected = stream
          ? { ...given, model: 'model-1', stream_options: { ...streamOptions, include_usage: true } }
          : { ...given, model: 'model-1' }
        expect(JSON.parse(sent)).toEqual(JSON.parse(JSON.stringify(expected)))
        const kept = (body: string): string =>
          body.replace(/"(p\/)?model-1"/, '').replace(/,?\s*"stream_options":\s*(null|\{[^}]*\})/, '')
        expect(kept(sent)).toBe(kept(text))
      },
    ),
    { numRuns: 300 },
  )
})
