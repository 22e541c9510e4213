import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'

/**
 * Sends bytes over a bare connection and reads what comes back until it is closed. Whoever breaks off says no more: Node then
 * closes the connection without the reply, unless that was sent already.
 */
async function sendBytes({ address }: Running, bytes: string, { breaksOff = false } = {}): Promise<RawReply> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  if (breaksOff) socket.end(bytes)
  else socket.write(bytes)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const [head = '', text = ''] = Buffer.concat(chunks).toString('utf8').split('\r\n\r\n')
  const [start = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(lines.map(line => line.toLowerCase().split(/:\s*/, 2)))
  return { status: Number(start.split(' ')[1]), headers, text, bytes: Buffer.from(text) }
}

const head = (running: Running, start: string, ...lines: string[]): string =>
  [
    `${start} HTTP/1.1`,
    'Host: localhost',
    'Connection: close',
    `Authorization: Bearer ${running.key}`,
    ...lines,
    '',
    '',
  ].join('\r\n')

test.each([
  ['GET', '/', 404, 'route_not_found'],
  ['GET', '/v1', 404, 'route_not_found'],
  ['GET', '/v1/', 404, 'route_not_found'],
  ['POST', '/v1/audio/speech', 404, 'route_not_found'],
  ['GET', '/v1/chat/completions/', 404, 'route_not_found'],
  ['POST', '/v1/chat/completions/', 404, 'route_not_found'],
  ['GET', '/v1/chat/completions//messages', 404, 'route_not_found'],
  ['GET', '/V1/models', 404, 'route_not_found'],
  ['GET', '/v1/../healthz', 404, 'route_not_found'],
  ['PUT', '/v1/chat/completions', 405, 'method_not_allowed'],
  ['DELETE', '/v1/chat/completions', 405, 'method_not_allowed'],
  ['POST', '/v1/models', 405, 'method_not_allowed'],
  ['PUT', '/v1/models?x=1', 405, 'method_not_allowed'],
  ['DELETE', '/v1/models/gpt-test', 405, 'method_not_allowed'],
  ['POST', '/healthz', 405, 'method_not_allowed'],
  ['PATCH', '/readyz', 405, 'method_not_allowed'],
])('%s %s is answered with %i %s', async (method, path, status, code) => {
  const running = await startGateway()
  const reply = await sendBytes(running, head(running, `${method} ${path}`))
  expect(reply.status).toBe(status)
  expect(errorOf(reply)).toMatchObject({ code, type: 'invalid_request_error' })
  if (status === 405) expect(reply.headers['allow']).toBeTruthy()
})

test('a path is told without what was asked with it', async () => {
  const running = await startGateway()
  const { text } = await running.send('GET', '/nowhere?token=sekret')
  expect(text).toContain('GET /nowhere')
  expect(text + running.log()).not.toContain('sekret')
})

test.each([
  ['a percent sign that stands for nothing', '/v1/models/%zz'],
  ['bytes that are no UTF-8', '/v1/models/%ff%fe'],
  ['a malformed path outside the API', '/%'],
])('%s in a URL is no 500', async (_, path) => {
  const running = await startGateway()
  const reply = await sendBytes(running, head(running, `GET ${path}`))
  expect([400, 404]).toContain(reply.status)
  errorOf(reply)
})

test('a model name of any length is looked up', async () => {
  const running = await startGateway()
  for (const length of [101, 5_000]) {
    const reply = await running.send('GET', `/v1/models/${'m'.repeat(length)}`, {
      headers: { authorization: `Bearer ${running.key}` },
    })
    expect(reply.status).toBe(404)
    expect(errorOf(reply).code).toBe('model_not_found')
  }
})

test.each([
  ['words', 'hello there\r\n\r\n', 400],
  ['an unknown method', 'BREW /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ['an unknown version', 'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n', 400],
  ['a header without a colon', 'GET / HTTP/1.1\r\nHost: localhost\r\nsekret\r\n\r\n', 400],
  [
    'two lengths',
    'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
    400,
  ],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['a broken chunk', 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
  [
    'headers beyond all measure',
    `GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'sekret'.repeat(4_000)}\r\n\r\n`,
    431,
  ],
  ['a URL beyond all measure', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431],
])('on a bare connection %s is answered in the same shape', async (_, bytes, status) => {
  const running = await startGateway()
  const reply = await sendBytes(running, bytes)
  expect(reply.status).toBe(status)
  expect(errorOf(reply)).toMatchObject({ type: 'invalid_request_error' })
  expect(reply.text + running.log()).not.toContain('sekret')
  expect((await running.send('GET', '/healthz')).status).toBe(200)
})

test('a connection that breaks off in the middle of a request leaves the gateway well', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const request = head(
    running,
    'POST /v1/chat/completions',
    'Content-Type: application/json',
    'Content-Length: 500',
  )
  await sendBytes(running, `${request}{"model":"m","messages":[`, { breaksOff: true })
  const { hostname, port } = new URL(running.address)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write(request)
  socket.resetAndDestroy()
  await once(socket, 'close')
  expect((await running.send('GET', '/readyz')).status).toBe(200)
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test('requests on one connection are answered in turn, each with an id of its own', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  const ids = new Set<unknown>()
  for (let round = 0; round < 3; round++) {
    ids.add(
      (await running.post({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] })).headers[
        'x-stele-call-id'
      ],
    )
    ids.add((await running.post('not JSON')).headers['x-stele-call-id'])
    ids.add((await running.send('GET', '/healthz')).headers['x-stele-call-id'])
  }
  expect(ids.size).toBe(9)
  expect(ids).not.toContain(undefined)
})
