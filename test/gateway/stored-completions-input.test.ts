import { describe, expect, test } from 'vitest'
import { rowsOf } from '../harness/rows.ts'
import { errorOf, startGateway } from './running.ts'
import { get, idsOf, path, withStored } from './stored.ts'
import { questionOf } from './wire.ts'

test('nobody sees, changes or deletes what is another user’s', async () => {
  const { running } = await withStored(['chatcmpl-a'])
  const other = await running.newKey('bob')
  const service = await running.newKey('svc', 'service')
  expect(idsOf((await get(running, path, other)).text)).toEqual([])
  for (const [method, at] of [
    ['GET', ''],
    ['POST', ''],
    ['DELETE', ''],
    ['GET', '/messages'],
  ] as const) {
    const reply = await running.send(method, `${path}/chatcmpl-a${at}`, {
      headers: {
        authorization: `Bearer ${other}`,
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      },
      ...(method === 'POST' ? { body: '{"metadata":{"a":"b"}}' } : {}),
    })
    expect(reply.status).toBe(404)
    expect(errorOf(reply).code).toBe('completion_not_found')
  }
  expect((await get(running, `${path}?after=chatcmpl-a`, other)).status).toBe(400)
  expect((await get(running, path, other, { 'x-stele-user': 'ada' })).status).toBe(403)
  expect(idsOf((await get(running, path, service)).text)).toEqual([])
  expect(idsOf((await get(running, path, service, { 'x-stele-user': 'ada' })).text)).toEqual(['chatcmpl-a'])
  expect(await rowsOf(running.stele, 'stored_completions')).toMatchObject([
    { metadata: '{}', deleted_at: null },
  ])
})

describe('bad input', () => {
  const queries: [string, string][] = [
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=99999999999999999999', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['order=newest', 'order'],
    ['after=nobody', 'after'],
    ['after=%00', 'after'],
    ['after=%F0%28', 'after'],
  ]
  test.each<[string, string]>([
    ...queries.flatMap(([query, param]): [string, string][] => [
      [`${path}?${query}`, param],
      [`${path}/chatcmpl-a/messages?${query}`, param],
    ]),
    [`${path}?model=a&model=b`, 'model'],
    [`${path}?metadata=x`, 'metadata'],
    [`${path}?metadata[a]=x&metadata[a]=y`, 'metadata[a]'],
    [`${path}?${Array.from({ length: 17 }, (_, at) => `metadata[${at}]=x`).join('&')}`, 'metadata'],
  ])('GET %s', async (at, param) => {
    const { running } = await withStored(['chatcmpl-a'])
    const reply = await get(running, at)
    expect(reply.status).toBe(400)
    expect(errorOf(reply)).toMatchObject({ code: 'invalid_value', param })
  })

  test.each([
    ['', 'invalid_json', null],
    ['null', 'invalid_json', null],
    ['{}', 'missing_required_parameter', 'metadata'],
    ['{"metadata":{},"metadata":{}}', 'duplicate_member', null],
    ['{"metadata":"x"}', 'invalid_value', 'metadata'],
    ['{"metadata":{"a":1}}', 'invalid_value', 'metadata.a'],
    ['{"metadata":{"__proto__":"x"}}', 'invalid_value', 'metadata'],
    [JSON.stringify({ metadata: { a: 'x'.repeat(513) } }), 'invalid_value', 'metadata.a'],
    [JSON.stringify({ metadata: { ['k'.repeat(65)]: 'x' } }), 'invalid_value', 'metadata'],
    [
      JSON.stringify({ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [at, 'x'])) }),
      'invalid_value',
      'metadata',
    ],
  ])('metadata %s is refused, wherever it is given', async (body, code, param) => {
    const { running } = await withStored(['chatcmpl-a'])
    const headers = { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' }
    const reply = await running.send('POST', `${path}/chatcmpl-a`, { headers, body })
    expect(reply.status).toBe(400)
    expect(errorOf(reply)).toMatchObject({ code, param })
    if (code !== 'invalid_value') return
    const { metadata } = JSON.parse(body) as { metadata: unknown }
    const asked = await running.post(questionOf('Hi', { store: true, metadata }))
    expect(asked.status).toBe(400)
    expect(errorOf(asked)).toMatchObject({ code, param })
    // Without store it is the provider's business.
    expect((await running.post(questionOf('Hi', { metadata }))).status).toBe(200)
  })

  test('the largest metadata is taken', async () => {
    const largest = Object.fromEntries(
      Array.from({ length: 16 }, (_, at) => [String(at).padEnd(64, 'k'), '🪨'.repeat(512)]),
    )
    const { client } = await withStored(['chatcmpl-a'], () => largest)
    expect((await client.chat.completions.retrieve('chatcmpl-a')).metadata).toEqual(largest)
  })

  test.each([
    ['GET', '/nobody'],
    ['GET', `/${'x'.repeat(900)}`],
    ['GET', '/a%00b'],
    ['GET', '/%ED%A0%80'],
    ['DELETE', '/nobody'],
    ['GET', '/nobody/messages'],
  ])('%s of an unknown id %s', async (method, at) => {
    const running = await startGateway()
    const reply = await running.send(method, path + at, {
      headers: { authorization: `Bearer ${running.key}` },
    })
    expect(reply.status).toBe(404)
    errorOf(reply)
  })

  test.each([
    ['PUT', '/chatcmpl-a', 'GET, HEAD, POST, DELETE'],
    ['POST', '/chatcmpl-a/messages', 'GET, HEAD'],
    ['DELETE', '', 'POST, GET, HEAD'],
  ])('%s is no method at %s', async (method, at, allowed) => {
    const running = await startGateway()
    const reply = await running.send(method, path + at, {
      headers: { authorization: `Bearer ${running.key}` },
    })
    expect(reply.status).toBe(405)
    expect(String(reply.headers['allow']).split(', ').sort()).toEqual(allowed.split(', ').sort())
  })

  test.each(['', '/chatcmpl-a', '/chatcmpl-a/messages'])('no key at %s', async at => {
    const { running } = await withStored(['chatcmpl-a'])
    const reply = await running.send('GET', path + at)
    expect(reply.status).toBe(401)
    expect(reply.text).not.toContain('I am')
  })

  test('store that is no yes or no is refused', async () => {
    const running = await startGateway()
    const reply = await running.post(questionOf('Hi', { model: 'echo', store: 'false' }))
    expect(errorOf(reply)).toMatchObject({ code: 'invalid_value', param: 'store' })
    const twice = await running.post(
      '{"model":"echo","store":true,"store":false,"messages":[{"role":"user","content":"x"}]}',
    )
    expect(errorOf(twice).code).toBe('duplicate_member')
  })
})
