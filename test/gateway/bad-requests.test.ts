import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'
import { json, startUpstream, type Upstream } from './upstream.ts'

const secret = 'sekret-words'
const said = { role: 'user', content: secret }

/** Bodies of `POST /v1/chat/completions` that are the client's mistake, with the error that tells it. */
const mistakes: Record<string, [body: unknown, code: string, param?: string]> = {
  'no body': ['', 'invalid_json'],
  'only spaces': ['  \n', 'invalid_json'],
  'text that is no JSON': [`{"model":"m","messages":[${secret}`, 'invalid_json'],
  'an array': [[secret], 'invalid_json'],
  'a string': [JSON.stringify(secret), 'invalid_json'],
  null: ['null', 'invalid_json'],
  'a byte order mark': [`\ufeff${JSON.stringify({ model: 'm', messages: [said] })}`, 'invalid_json'],
  'bytes that are no UTF-8': [
    Buffer.from(JSON.stringify({ model: 'm', messages: [said] }).replace('sekret', 's\xe9kret'), 'latin1'),
    'invalid_utf8',
  ],
  'a character cut in half': [
    Buffer.from('{"model":"m","messages":[{"role":"user","content":"\xf0\x9f"}]}', 'latin1'),
    'invalid_utf8',
  ],
  'no model': [{ messages: [said] }, 'missing_required_parameter', 'model'],
  'an empty model': [{ model: '', messages: [said] }, 'invalid_value', 'model'],
  'a model that is a number': [{ model: 5, messages: [said] }, 'invalid_value', 'model'],
  'a model that is null': [{ model: null, messages: [said] }, 'invalid_value', 'model'],
  'a model with a NUL': [{ model: 'm\u0000', messages: [said] }, 'invalid_value', 'model'],
  'a model with a lone surrogate': [
    `{"model":"m\\ud800","messages":[{"role":"user","content":"Hi"}]}`,
    'invalid_value',
    'model',
  ],
  'a model that is too long for a name': [
    { model: Array.from({ length: 9_000 }, (_, i) => (i * 7919).toString(36)).join(''), messages: [said] },
    'invalid_value',
    'model',
  ],
  'no messages': [{ model: 'm' }, 'missing_required_parameter', 'messages'],
  'empty messages': [{ model: 'm', messages: [] }, 'invalid_value', 'messages'],
  'messages that are text': [{ model: 'm', messages: secret }, 'invalid_value', 'messages'],
  'messages that are an object': [{ model: 'm', messages: { 0: said } }, 'invalid_value', 'messages'],
  'a message that is text': [{ model: 'm', messages: [said, secret] }, 'invalid_value', 'messages[1]'],
  'a message that is null': [{ model: 'm', messages: [null] }, 'invalid_value', 'messages[0]'],
  'a message without a role': [
    { model: 'm', messages: [{ content: secret }] },
    'missing_required_parameter',
    'messages[0].role',
  ],
  'a role that is a number': [
    { model: 'm', messages: [{ role: 1, content: secret }] },
    'invalid_value',
    'messages[0].role',
  ],
  'an empty role': [
    { model: 'm', messages: [{ role: '', content: secret }] },
    'invalid_value',
    'messages[0].role',
  ],
  'a role with a NUL': [
    { model: 'm', messages: [{ role: 'us\u0000er', content: secret }] },
    'invalid_value',
    'messages[0].role',
  ],
  'stream as text': [{ model: 'm', messages: [said], stream: 'true' }, 'invalid_value', 'stream'],
  'stream options that are text': [
    { model: 'm', messages: [said], stream_options: secret },
    'invalid_value',
    'stream_options',
  ],
  'include_usage as a number': [
    { model: 'm', messages: [said], stream_options: { include_usage: 1 } },
    'invalid_value',
    'stream_options.include_usage',
  ],
  'a user that is a number': [{ model: 'm', messages: [said], user: 7 }, 'invalid_value', 'user'],
  'a body nested 300 deep': [
    `{"model":"m","messages":[{"role":"user","content":${'['.repeat(300)}${']'.repeat(300)}}]}`,
    'json_too_deep',
  ],
  'a body nested 200 000 deep': [
    `{"model":"m","messages":[],"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
    'json_too_deep',
  ],
  'the model twice': [
    `{"model":"m","messages":[{"role":"user","content":"Hi"}],"model":"n"}`,
    'duplicate_member',
  ],
  'the messages twice, once in other letters': [
    `{"model":"m","messages":[{"role":"user","content":"Hi"}],"messag\\u0065s":[]}`,
    'duplicate_member',
  ],
  'the user twice': [
    `{"model":"m","messages":[{"role":"user","content":"Hi"}],"user":"ada","user":"ada"}`,
    'duplicate_member',
  ],
}

const encode = (body: unknown): string | Uint8Array =>
  typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)

/** A refusal that gives nothing away, after which nothing was dispatched or recorded. */
async function expectRefused(
  running: Running,
  upstream: Upstream,
  reply: RawReply,
  status: number,
  name?: string,
): Promise<ReturnType<typeof errorOf>> {
  expect(reply.status, name ?? reply.text).toBe(status)
  const error = errorOf(reply)
  expect(reply.text).not.toContain('sekret')
  expect(error.type).toBe('invalid_request_error')
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
  expect(running.log()).not.toContain('sekret')
  return error
}

describeEachDatabase('chat completions', bed => {
  test("a client's mistake in the body is a 400 that names it; nothing is dispatched or recorded", async () => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    for (const [name, [body, code, param]] of Object.entries(mistakes)) {
      const error = await expectRefused(running, upstream, await running.post(encode(body)), 400, name)
      expect({ name, code: error.code, param: error.param }).toEqual({ name, code, param: param ?? null })
    }
  })

  test('what looks odd but is allowed is served', async () => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    const allowed = [
      { model: 'm'.repeat(200), messages: [{ role: 'critic', content: 'a role of its own' }] },
      { model: 'vendor/m:free@2', messages: [{ role: 'user' }] },
      { model: 'm', messages: [{ role: 'user', content: 'with \u0000 and \ud800 inside' }] },
      { model: 'm', messages: [said], stream: null, stream_options: null, user: null },
      { model: 'm', messages: [said], user: '' },
      { model: 'm', messages: [said], x: JSON.parse('['.repeat(250) + ']'.repeat(250)) as unknown },
      {
        model: 'm',
        messages: Array.from({ length: 500 }, (_, index) => ({ role: 'user', content: `part ${index}` })),
      },
    ]
    for (const body of allowed) {
      const { status, text, headers } = await running.post(body)
      expect(status, text).toBe(200)
      const id = String(headers['x-stele-call-id'])
      expect((await running.stele.calls.exactRequest('ada', id)).toString()).toBe(JSON.stringify(body))
    }
  })
})

test('a body over the limit is refused, announced or not, and one just below it is not', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream, config: { bodyLimit: 2_000 } })
  const sized = (size: number): string => {
    const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: secret }] })
    return body.replace(secret, secret + 'x'.repeat(size - body.length))
  }
  const error = await expectRefused(running, upstream, await running.post(sized(2_001)), 413)
  expect(error).toMatchObject({
    code: 'body_too_large',
    message: 'The request body is larger than 2000 bytes.',
  })
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let piece = 0; piece < 50; piece++) yield Buffer.from(secret.repeat(10))
  }
  const chunked = await running.post(Readable.from(pieces()))
  expect((await expectRefused(running, upstream, chunked, 413)).code).toBe('body_too_large')
  expect((await running.post(sized(2_000))).status).toBe(200)
})

test.each<[string, Record<string, string>]>([
  ['compressed', { 'content-type': 'application/json', 'content-encoding': 'gzip' }],
  ['of another type', { 'content-type': 'text/plain' }],
  ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
  ['of a type that only starts like JSON', { 'content-type': 'application/json5' }],
  ['of a malformed type', { 'content-type': 'json' }],
])('a body that is %s is refused', async (_, headers) => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const plain = Buffer.from(JSON.stringify({ model: 'm', messages: [said] }))
  const body = headers['content-encoding'] === undefined ? plain : gzipSync(plain)
  const error = await expectRefused(running, upstream, await running.post(body, headers), 415)
  expect(error.code).toBe('unsupported_media_type')
})

test('a body without any type is refused, one with a charset is served', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const body = JSON.stringify({ model: 'm', messages: [said] })
  const reply = await running.send('POST', '/v1/chat/completions', {
    headers: { authorization: `Bearer ${running.key}` },
    body,
  })
  expect((await expectRefused(running, upstream, reply, 415)).code).toBe('unsupported_media_type')
  expect((await running.post(body, { 'content-type': 'Application/JSON; charset=UTF-8' })).status).toBe(200)
})
