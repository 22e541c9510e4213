import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { openConnection } from './bare-connection.ts'
import { errorOf, type RawReply, type Running, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

/** A server that nobody may call, and what called it all the same. */
async function startTrap(): Promise<{ url: string; host: string; hits: string[] }> {
  const hits: string[] = []
  const server = createServer((request, response) => {
    hits.push(`${request.method} ${request.url}`)
    response.end('{}')
  })
  server.on('connect', ({ url }, socket) => {
    hits.push(`CONNECT ${url}`)
    socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, host: `127.0.0.1:${port}`, hits }
}

const post = (
  running: Running,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<RawReply> =>
  running.send('POST', path, {
    headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })

test('no header and no model name says where a request goes', async () => {
  const trap = await startTrap()
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const headers: Record<string, string>[] = [
    { 'x-forwarded-host': trap.host, 'x-forwarded-proto': 'http', forwarded: `host=${trap.host}` },
    { 'x-stele-upstream': trap.url, 'x-base-url': trap.url, 'x-upstream-url': trap.url },
    { 'openai-base-url': trap.url, 'x-original-url': trap.url, 'x-rewrite-url': trap.url },
    { host: trap.host },
    { 'proxy-authorization': 'Basic eDp5', 'proxy-connection': 'keep-alive' },
  ]
  const members = { base_url: trap.url, baseUrl: trap.url, api_base: trap.url, provider: trap.url }
  for (const each of headers) expect((await running.post(questionOf('Hi'), each)).status).toBe(200)
  expect((await running.post(questionOf('Hi', members))).status).toBe(200)
  const models = [
    trap.url,
    `${trap.url}/v1`,
    `//${trap.host}/m`,
    `test/${trap.url}`,
    '../../admin',
    '@evil/m',
    'm?x=#y',
    '%2e%2e/m',
  ]
  for (const model of models) await running.post({ ...questionOf('Hi'), model })
  for (const { path, headers: sent } of upstream.journal) {
    expect(path).toBe('/v1/chat/completions')
    expect(upstream.baseUrl).toContain(sent.host ?? 'none')
    // What a client says of itself and of its way here is not its provider's business.
    expect(Object.keys(sent).filter(name => /^(x-|forwarded|proxy-|openai-|cookie)/.test(name))).toEqual([])
  }
  expect(upstream.journal.length).toBe(headers.length + 1 + models.length)
  expect(trap.hits).toEqual([])
})

test('the key of Stele is not passed on to a provider', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream, provider: { apiKey: 'sk-of-the-provider' } })
  await running.post(questionOf('Hi'), { cookie: 'session=mine' })
  const sent = JSON.stringify(upstream.journal[0]?.headers)
  expect(sent).toContain('Bearer sk-of-the-provider')
  expect(sent).not.toContain(running.key)
  expect(sent).not.toContain('session=mine')
})

test('URLs in what is said are passed on and never fetched', async () => {
  const trap = await startTrap()
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const url = `${trap.url}/picture.png`
  const image = { type: 'image_url', image_url: { url } }
  expect((await running.post(questionOf([{ type: 'text', text: `See ${url}` }, image]))).status).toBe(200)
  expect(upstream.journal[0]?.text).toContain(url)
  const parts = [
    { type: 'input_text', text: `See ${url}` },
    { type: 'input_image', image_url: url, detail: 'auto' },
    { type: 'input_file', file_url: url },
  ]
  for (const content of [parts.slice(0, 2), parts])
    await post(running, '/v1/responses', { model: 'm', input: [{ role: 'user', content }] })
  await post(running, '/v1/responses', {
    model: 'm',
    input: 'Hi',
    tools: [{ type: 'mcp', server_label: 'x', server_url: trap.url }],
  })
  await post(running, '/v1/responses', { model: 'm', input: 'Hi', background: true, webhook_url: trap.url })
  await post(running, '/v1/conversations', { items: [{ type: 'message', role: 'user', content: parts }] })
  expect(trap.hits).toEqual([])
})

test("a provider's redirect is not followed: it would take the key and the prompt elsewhere", async () => {
  const trap = await startTrap()
  const upstream = await startUpstream(reply => {
    reply.head(307, { location: `${trap.url}/v1/chat/completions` })
    reply.end()
  })
  const running = await startGateway({ upstream })
  const reply = await running.post(questionOf('Hi'))
  expect(reply.status).toBe(502)
  expect(reply.headers['location']).toBeUndefined()
  expect(upstream.journal).toHaveLength(1)
  expect(trap.hits).toEqual([])
})

test('it is no proxy: neither for a whole URL, nor for a tunnel, nor for another protocol', async () => {
  const trap = await startTrap()
  const running = await startGateway()
  const whole = await openConnection(running)
  whole.send(`GET ${trap.url}/secret HTTP/1.1\r\nHost: ${trap.host}\r\n\r\n`)
  const [reply] = await whole.replies(1)
  expect(reply?.status).toBe(404)
  expect(errorOf(reply as RawReply).code).toBe('route_not_found')
  const tunnel = await openConnection(running)
  tunnel.send(`CONNECT ${trap.host} HTTP/1.1\r\nHost: ${trap.host}\r\n\r\n`)
  await tunnel.closed
  expect(tunnel.text()).not.toContain('200')
  const upgrade = await openConnection(running)
  upgrade.send(
    'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  )
  expect((await upgrade.replies(1))[0]?.status).toBe(200)
  expect(trap.hits).toEqual([])
})

test('what anybody may ask tells nothing of users, words, keys or places', async () => {
  const upstream = await startUpstream(json(completion('a sekret answer')))
  const running = await startGateway({ upstream, provider: { apiKey: 'sk-provider-sekret' } })
  await running.newKey('sekret-user')
  await running.post({ ...questionOf('a sekret question'), model: 'sekret-model' })
  for (const path of ['/healthz', '/readyz', '/metrics', '/v1/models', '/nowhere', '/v1/chat/completions']) {
    const { text, headers } = await running.send('GET', path)
    const all = text + JSON.stringify(headers)
    expect(all, path).not.toMatch(/sekret|ada|sqlite|postgres|\/tmp|node_modules/)
    expect(all, path).not.toContain(new URL(upstream.baseUrl).host)
  }
})
