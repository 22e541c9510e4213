import { expect, test } from 'vitest'
import type { ErrorCode } from '../../src/errors.ts'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { failure } from '../harness/errors.ts'

const messages = '[{"role":"user","content":"q"}]'

test.for<[code: ErrorCode, param: string | null, body: string]>([
  ['invalid_json', null, ''],
  ['invalid_json', null, ' \n'],
  ['invalid_json', null, '{"model":'],
  ['invalid_json', null, '[]'],
  ['invalid_json', null, 'null'],
  ['invalid_json', null, '"text"'],
  ['invalid_json', null, `\ufeff{"model":"m","messages":${messages}}`],
  ['missing_required_parameter', 'model', `{"messages":${messages}}`],
  ['missing_required_parameter', 'messages', '{"model":"m"}'],
  ['missing_required_parameter', 'messages[0].role', '{"model":"m","messages":[{"content":"q"}]}'],
  ['invalid_value', 'model', `{"model":"","messages":${messages}}`],
  ['invalid_value', 'model', `{"model":7,"messages":${messages}}`],
  ['invalid_value', 'model', `{"model":"a\\u0000b","messages":${messages}}`],
  ['invalid_value', 'messages', '{"model":"m","messages":[]}'],
  ['invalid_value', 'messages', '{"model":"m","messages":{}}'],
  ['invalid_value', 'messages[1]', '{"model":"m","messages":[{"role":"user"},7]}'],
  ['invalid_value', 'messages[0].role', '{"model":"m","messages":[{"role":""}]}'],
  ['invalid_value', 'messages[0].role', '{"model":"m","messages":[{"role":"us\\u0000er"}]}'],
  ['invalid_value', 'stream', `{"model":"m","messages":${messages},"stream":"yes"}`],
  [
    'invalid_value',
    'stream_options.include_usage',
    `{"model":"m","messages":${messages},"stream_options":{"include_usage":1}}`,
  ],
  ['invalid_value', 'user', `{"model":"m","messages":${messages},"user":{}}`],
  ['duplicate_member', null, `{"model":"m","model":"n","messages":${messages}}`],
  ['duplicate_member', null, `{"model":"m","messages":${messages},"messag\\u0065s":[{"role":"user"}]}`],
  ['json_too_deep', null, `{"model":"m","messages":${messages},"x":${'['.repeat(300)}${']'.repeat(300)}}`],
])('%s (%s): %s', async ([code, param, body]) => {
  const error = await failure(code, () => parseChatRequest(body, { isStrict: true }))
  expect(error.param).toBe(param)
  expect(error.status).toBe(400)
})

test('what is on record already is read as it is', () => {
  expect(parseChatRequest(`{"model":"m","model":"n","messages":${messages}}`).model).toBe('n')
})

test('bytes that are no UTF-8 are refused, and so is text that has no UTF-8', async () => {
  const body = Buffer.from(`{"model":"m","messages":[{"role":"user","content":"\xff"}]}`, 'latin1')
  await failure('invalid_utf8', () => parseChatRequest(body))
  await failure('invalid_utf8', () =>
    parseChatRequest('{"model":"m","messages":[{"role":"user","content":"\ud800"}]}'),
  )
})

test('an error never quotes the body', async () => {
  const error = await failure('invalid_json', () =>
    parseChatRequest('{"model":"m","messages":[{"content":"my secret"'),
  )
  expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toContain('my secret')
})

test('a body is read with its text beside its meaning', () => {
  const text = `{ "model": "m", "stream": true, "stream_options": {"include_usage": true}, "user": "ada",
    "messages": [ {"role":"system","content":"s"} , {"role" : "user", "content": "q"} ], "x": 12345678901234567890 }`
  const request = parseChatRequest(Buffer.from(text))
  expect(request).toMatchObject({ text, model: 'm', stream: true, includeUsage: true, user: 'ada' })
  expect(request.messages.map(({ role, raw }) => [role, raw])).toEqual([
    ['system', '{"role":"system","content":"s"}'],
    ['user', '{"role" : "user", "content": "q"}'],
  ])
})

test('null counts as absent where OpenAI lets it', () => {
  const request = parseChatRequest(
    `{"model":"m","messages":${messages},"stream":null,"stream_options":null,"user":null}`,
  )
  expect(request).toMatchObject({ stream: false, includeUsage: false, user: undefined })
})

test('nesting up to the limit is read', () => {
  const request = parseChatRequest(
    `{"model":"m","messages":${messages},"x":${'['.repeat(255)}${']'.repeat(255)}}`,
  )
  expect(request.messages).toHaveLength(1)
})
