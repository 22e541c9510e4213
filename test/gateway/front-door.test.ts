import { describe, expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { openConnection, requestText } from './bare-connection.ts'
import { errorOf, type RawReply, type RunningOptions, startGateway } from './running.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { answerEvents, questionOf } from './wire.ts'

const expected = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
}

function expectGuarded({ headers }: RawReply, name: string): void {
  expect(headers, name).toMatchObject(expected)
  for (const header of ['server', 'x-powered-by', 'strict-transport-security', 'access-control-allow-origin'])
    expect(headers[header], `${name}: ${header}`).toBeUndefined()
}

test('every reply tells browsers to make nothing of it, and none tells what serves it', async () => {
  const upstream = await startUpstream(json(completion('ok')), stream(answerEvents(['Hi'])))
  const running = await startGateway({ upstream, config: { bodyLimit: 2_000 } })
  const key = { authorization: `Bearer ${running.key}` }
  const replies: Record<string, RawReply> = {
    'a completion': await running.post(questionOf('Hi')),
    'a stream': await running.post(questionOf('Hi', { stream: true })),
    'a wrong body': await running.post('{'),
    'a body too large': await running.post(questionOf('x'.repeat(3_000))),
    'no key': await running.send('GET', '/v1/models'),
    'no route': await running.send('GET', '/nowhere'),
    'another method': await running.send('PUT', '/v1/models', { headers: key }),
    'a malformed path': await running.send('GET', '/v1/models/%zz', { headers: key }),
    health: await running.send('GET', '/healthz'),
    metrics: await running.send('GET', '/metrics'),
    'a conversation': await running.send('POST', '/v1/conversations', {
      headers: { ...key, 'content-type': 'application/json' },
      body: '{}',
    }),
  }
  const broken = await openConnection(running)
  broken.send('no request\r\n\r\n')
  replies['no HTTP'] = (await broken.replies(1))[0] as RawReply
  expect(replies['a stream']?.text).toContain('[DONE]')
  for (const [name, reply] of Object.entries(replies)) expectGuarded(reply, name)
})

describe('names of the gateway', () => {
  const statusFor = async (config: RunningOptions['config'], hosts: readonly string[]) => {
    const running = await startGateway({ config: config ?? {} })
    const statuses: Record<string, number> = {}
    for (const host of hosts) {
      const connection = await openConnection(running)
      connection.send(`GET /metrics HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      const [reply] = await connection.replies(1)
      statuses[host] = reply?.status ?? 0
      if (reply?.status === 403) expect(errorOf(reply)).toMatchObject({ code: 'host_not_allowed' })
    }
    return statuses
  }

  const own = [
    'localhost',
    'LOCALHOST:4100',
    'stele.localhost',
    '127.0.0.1:4100',
    '[::1]:4100',
    '10.0.0.7',
    'localhost.',
  ]
  const foreign = [
    'evil.example',
    'localhost.evil.example',
    'evil.example:4100',
    '127.0.0.1.evil.example',
    'x@localhost',
  ]

  test('on loopback names of loopback are its own, and those that somebody can have resolved to it are not', async () => {
    expect(await statusFor({}, [...own, 'host.docker.internal', ...foreign])).toEqual({
      ...Object.fromEntries([...own, 'host.docker.internal'].map(host => [host, 200])),
      ...Object.fromEntries(foreign.map(host => [host, 403])),
    })
  })

  test('elsewhere every name is, unless some are set', async () => {
    expect(await statusFor({ host: '0.0.0.0' }, ['any.example'])).toEqual({ 'any.example': 200 })
    const set = { host: '0.0.0.0', allowedHosts: ['Stele.example.com', '*.internal'] }
    expect(
      await statusFor(set, [
        'stele.example.com:443',
        'a.internal',
        '.internal',
        'any.example',
        'localhost',
        '10.0.0.7',
      ]),
    ).toEqual({
      'stele.example.com:443': 200,
      'a.internal': 200,
      '.internal': 403,
      'any.example': 403,
      localhost: 200,
      '10.0.0.7': 200,
    })
    expect(await statusFor({ allowedHosts: ['*'] }, ['any.example'])).toEqual({ 'any.example': 200 })
  })

  test('a foreign name is refused before its key is looked at, and nothing is asked or recorded', async () => {
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({ upstream })
    const reply = await running.post(questionOf('Hi'), { host: 'evil.example' })
    expect(reply.status).toBe(403)
    expectGuarded(reply, 'foreign')
    expect(upstream.journal).toHaveLength(0)
    expect(await running.stele.calls.list()).toEqual([])
  })
})

test.each([
  ['two hosts', 'Host: 127.0.0.1', 'Host: evil.example'],
  ['two keys', 'Authorization: Bearer a', 'AUTHORIZATION: Bearer b'],
  ['two types of a body', 'Content-Type: text/plain', 'content-type: application/json'],
  ['chunks of something encoded', 'Host: localhost', 'Transfer-Encoding: gzip, chunked'],
])('a request with %s could be taken for another, and is refused', async (_, ...headers) => {
  const running = await startGateway()
  const connection = await openConnection(running)
  const start = ['GET /healthz HTTP/1.1', ...(headers[0]?.startsWith('Host') ? [] : ['Host: localhost'])]
  connection.send(`${[...start, ...headers].join('\r\n')}\r\n\r\n`)
  const [reply] = await connection.replies(1)
  expect(reply?.status).toBe(400)
  expect(errorOf(reply as RawReply).code).toBe('invalid_http')
})

test('a request that names no host is refused, as HTTP/1.1 has it', async () => {
  const running = await startGateway()
  const connection = await openConnection(running)
  connection.send('GET /healthz HTTP/1.1\r\n\r\n')
  const [reply] = await connection.replies(1)
  expect(reply?.status).toBe(400)
  expect(errorOf(reply as RawReply).code).toBe('invalid_http')
  const old = await openConnection(running)
  old.send('GET /healthz HTTP/1.0\r\n\r\n')
  expect((await old.replies(1))[0]?.status).toBe(200)
})

const smuggled = 'GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n'

test.each([
  ['a length and chunks', ['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`],
  ['chunks and a length', ['Transfer-Encoding: chunked', 'Content-Length: 6'], `0\r\n\r\n${smuggled}`],
  ['chunks under another name', ['Transfer-Encoding: xchunked'], `0\r\n\r\n${smuggled}`],
  ['chunks twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], `0\r\n\r\n${smuggled}`],
  ['a space before the colon', ['Content-Length : 2'], `{}${smuggled}`],
  ['lengths with a comma', ['Content-Length: 2, 2'], `{}${smuggled}`],
  ['a length with a sign', ['Content-Length: +2'], `{}${smuggled}`],
  ['a header that goes on in the next line', ['X: a', ' b', 'Content-Length: 0'], ''],
  ['a line that ends without a return', ['X: a\nTransfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`],
])('what another server might cut elsewhere is refused as a whole: %s', async (_, headers, body) => {
  const running = await startGateway()
  const connection = await openConnection(running)
  const text = requestText(
    running,
    'POST /v1/chat/completions',
    undefined,
    'Content-Type: application/json',
    ...headers,
  )
  connection.send(text + body)
  await connection.closed
  expect(connection.text().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400'])
  expect(await running.stele.calls.list()).toEqual([])
})

describe('pages of other origins', () => {
  const page = 'https://app.example.com'
  const preflight = (origin: string, headers = 'authorization,x-stainless-os') => ({
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': headers,
    },
  })

  test('may not use the gateway unless theirs is named', async () => {
    for (const config of [{}, { corsOrigins: 'https://other.example.com' }]) {
      const running = await startGateway({ config })
      const asked = await running.send('OPTIONS', '/v1/chat/completions', preflight(page))
      expect(asked.status).toBe(401)
      for (const reply of [asked, await running.send('GET', '/healthz', { headers: { origin: page } })])
        expect(Object.keys(reply.headers).filter(name => name.startsWith('access-control'))).toEqual([])
    }
  })

  test('of a named origin are told so before a key is asked for, and read replies, errors and streams', async () => {
    const upstream = await startUpstream(json(completion('ok')), stream(answerEvents(['Hi'])))
    const running = await startGateway({ upstream, config: { corsOrigins: `${page},http://localhost:3000` } })
    const asked = await running.send('OPTIONS', '/v1/chat/completions', preflight(page))
    expect(asked).toMatchObject({ status: 204, text: '' })
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': page,
      'access-control-allow-headers': 'authorization,x-stainless-os',
      'access-control-allow-methods': expect.stringContaining('POST'),
      vary: 'origin',
    })
    expect(asked.headers['access-control-allow-credentials']).toBeUndefined()
    const odd = await running.send('OPTIONS', '/v1/models', preflight(page, 'a b:"'))
    expect(odd.headers['access-control-allow-headers']).toBeUndefined()
    const origin = { origin: page }
    for (const reply of [
      await running.post(questionOf('Hi'), origin),
      await running.post(questionOf('Hi', { stream: true }), origin),
      await running.post('{', origin),
      await running.send('GET', '/v1/models', { headers: origin }),
    ]) {
      expect(reply.headers).toMatchObject({
        'access-control-allow-origin': page,
        'access-control-expose-headers': expect.stringContaining('x-stele-call-id'),
        vary: 'origin',
      })
    }
    const plain = await running.send('OPTIONS', '/v1/models', { headers: origin })
    expect(plain.status).toBe(401)
    for (const other of [
      `${page}.evil.example`,
      'null',
      'https://app.example.com:8443',
      'http://app.example.com',
    ]) {
      const reply = await running.send('OPTIONS', '/v1/models', preflight(other))
      expect(reply.headers['access-control-allow-origin'], other).toBeUndefined()
    }
  })

  test('of any origin may where that is said, but not with cookies', async () => {
    const running = await startGateway({ config: { corsOrigins: '*' } })
    const { headers } = await running.send('OPTIONS', '/v1/models', preflight(page))
    expect(headers).toMatchObject({ 'access-control-allow-origin': '*' })
    await expect(startGateway({ config: { corsOrigins: '*', corsCredentials: true } })).rejects.toThrow(
      /corsCredentials/,
    )
    const named = await startGateway({ config: { corsOrigins: [page], corsCredentials: true } })
    expect((await named.send('OPTIONS', '/v1/models', preflight(page))).headers).toMatchObject({
      'access-control-allow-origin': page,
      'access-control-allow-credentials': 'true',
    })
  })
})
