import { expect, test } from 'vitest'
import { errorOf, startGateway } from './running.ts'

const unknown = 'conv_01h455vb4pex5vsknk084sn02q'
const message = '{"role":"user","content":"Hi"}'
const pairs = (count: number): string =>
  JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v'])))

/** `CONV` stands for a conversation that there is. */
const bad: readonly [
  method: string,
  path: string,
  body: string,
  status: number,
  code: string,
  param?: string,
][] = [
  ['POST', '', '[]', 400, 'invalid_json'],
  ['POST', '', '{', 400, 'invalid_json'],
  ['POST', '', '{"metadata":7}', 400, 'invalid_value', 'metadata'],
  ['POST', '', '{"metadata":{"a":7}}', 400, 'invalid_value', 'metadata.a'],
  ['POST', '', `{"metadata":${pairs(17)}}`, 400, 'invalid_value', 'metadata'],
  ['POST', '', `{"metadata":{"${'k'.repeat(65)}":"v"}}`, 400, 'invalid_value', 'metadata'],
  ['POST', '', `{"metadata":{"k":"${'v'.repeat(513)}"}}`, 400, 'invalid_value', 'metadata.k'],
  ['POST', '', '{"items":{}}', 400, 'invalid_value', 'items'],
  ['POST', '', `{"items":[${Array(21).fill(message)}]}`, 400, 'invalid_value', 'items'],
  ['POST', '', '{"items":["Hi"]}', 400, 'invalid_value', 'items[0]'],
  [
    'POST',
    '',
    `{"items":[${message},{"role":"captain","content":"Hi"}]}`,
    400,
    'invalid_value',
    'items[1].role',
  ],
  [
    'POST',
    '',
    '{"items":[{"role":"user","content":[{"type":"what"}]}]}',
    400,
    'invalid_value',
    'items[0].content[0].type',
  ],
  ['POST', '', '{"items":[{"type":"function_call","name":"f"}]}', 400, 'invalid_value', 'items[0].call_id'],
  ['POST', '', '{"items":[{"type":"item_reference","id":"x"}]}', 400, 'invalid_value', 'items[0].type'],
  ['POST', '', '{"items":[{"type":7}]}', 400, 'invalid_value', 'items[0].type'],
  ['POST', '', '{"items":[{"role":"user","content":"Hi","id":7}]}', 400, 'invalid_value', 'items[0].id'],
  ['GET', `/${unknown}`, '', 404, 'conversation_not_found'],
  ['GET', '/latest', '', 404, 'conversation_not_found'],
  ['GET', '/%00', '', 404, 'conversation_not_found'],
  ['POST', '/CONV', '', 400, 'invalid_json'],
  ['POST', '/CONV', '{}', 400, 'missing_required_parameter', 'metadata'],
  ['POST', '/CONV', '{"metadata":[]}', 400, 'invalid_value', 'metadata'],
  ['POST', `/${unknown}`, '{"metadata":{}}', 404, 'conversation_not_found'],
  ['POST', '/%00', '{"metadata":{}}', 404, 'conversation_not_found'],
  ['DELETE', `/${unknown}`, '', 404, 'conversation_not_found'],
  ['DELETE', '/x', '', 404, 'conversation_not_found'],
  ['PATCH', '/CONV', '', 405, 'method_not_allowed'],
  ['POST', '/CONV/items', '{}', 400, 'missing_required_parameter', 'items'],
  ['POST', '/CONV/items', '{"items":[]}', 400, 'invalid_value', 'items'],
  ['POST', '/CONV/items', `{"items":[${Array(21).fill(message)}]}`, 400, 'invalid_value', 'items'],
  ['POST', '/CONV/items?include=everything', `{"items":[${message}]}`, 400, 'invalid_value', 'include'],
  ['POST', `/${unknown}/items`, `{"items":[${message}]}`, 404, 'conversation_not_found'],
  ['POST', '/%00/items', `{"items":[${message}]}`, 404, 'conversation_not_found'],
  ['GET', '/CONV/items?limit=0', '', 400, 'invalid_value', 'limit'],
  ['GET', '/CONV/items?limit=101', '', 400, 'invalid_value', 'limit'],
  ['GET', '/CONV/items?limit=x', '', 400, 'invalid_value', 'limit'],
  ['GET', '/CONV/items?order=up', '', 400, 'invalid_value', 'order'],
  ['GET', '/CONV/items?after=msg_nobody', '', 400, 'invalid_value', 'after'],
  ['GET', '/CONV/items?after=a&after=b', '', 400, 'invalid_value', 'after'],
  ['GET', '/CONV/items?include[]=everything', '', 400, 'invalid_value', 'include'],
  ['GET', `/${unknown}/items`, '', 404, 'conversation_not_found'],
  ['GET', '/x/items', '', 404, 'conversation_not_found'],
  ['GET', '/CONV/items/msg_nobody', '', 404, 'item_not_found'],
  ['GET', `/CONV/items/${unknown.replace('conv', 'msg')}0`, '', 404, 'item_not_found'],
  ['GET', '/CONV/items/%00', '', 404, 'item_not_found'],
  ['GET', `/${unknown}/items/x`, '', 404, 'conversation_not_found'],
  ['DELETE', '/CONV/items/msg_nobody', '', 404, 'item_not_found'],
  ['DELETE', `/${unknown}/items/x`, '', 404, 'conversation_not_found'],
  ['DELETE', '/CONV/items', '', 405, 'method_not_allowed'],
  ['PUT', '/CONV/items/x', '', 405, 'method_not_allowed'],
]

test('what is no such request is refused in words, on every route, and changes nothing', async () => {
  const running = await startGateway()
  const { id } = await running.client().conversations.create()
  for (const [method, path, body, status, code, param] of bad) {
    const reply = await running.send(method, `/v1/conversations${path.replace('CONV', id)}`, {
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      ...(method === 'POST' ? { body } : {}),
    })
    const error = errorOf(reply)
    const told = { status: reply.status, code: error.code, param: param && error.param }
    expect(told, `${method} ${path} ${body}`).toEqual({ status, code, param })
  }
  expect(await running.stele.conversations.list()).toHaveLength(1)
  expect(await running.stele.messages.list({ userId: 'ada', conversationId: id })).toEqual([])
})
