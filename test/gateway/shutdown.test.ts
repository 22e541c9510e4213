import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { shutDown } from '../../src/gateway/shutdown.ts'
import { completion } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { errorOf, onlyCall, startGateway } from './running.ts'
import { eventStream, json, silence, startUpstream } from './upstream.ts'
import { chunk, done, questionOf } from './wire.ts'

const longTime = 60_000
const start = chunk({ role: 'assistant', content: 'once ' })

test('a running stream ends as if nothing were; the gateway is down when it has', async () => {
  const ending = Promise.withResolvers<void>()
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(start)
    await ending.promise
    reply.end(chunk({ content: 'upon' }, { finish: 'stop' }) + done)
  })
  const running = await startGateway({ upstream, place: await sqlitePlace() })
  const stream = running.client().chat.completions.stream({ ...questionOf('Hi'), stream: true })
  await stream.emitted('chunk')
  let isDown = false
  const down = shutDown(running.gateway, { timeout: longTime }).then(() => (isDown = true))
  await expect(fetch(`${running.address}/healthz`)).rejects.toThrow()
  expect(isDown).toBe(false)
  ending.resolve()
  const final = await stream.finalChatCompletion()
  expect(final.choices[0]?.message.content).toBe('once upon')
  // The client keeps its connection open; that must not hold the gateway up.
  await down
  expect((await onlyCall(running)).call.status).toBe('completed')
})

test('a request that comes while it stops is refused, to be tried elsewhere', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  running.gateway.state.stopping.abort()
  for (const reply of [
    await running.post(questionOf('Hi')),
    await running.send('GET', '/readyz'),
    await running.send('GET', '/v1/models'),
  ]) {
    expect(reply.status).toBe(503)
    expect(errorOf(reply)).toMatchObject({ code: 'shutting_down', type: 'server_error' })
    expect(reply.headers).toMatchObject({ 'retry-after': '1', connection: 'close' })
  }
  expect(upstream.journal).toHaveLength(0)
})

test('what still runs when the time is up is ended, settled and told', async () => {
  const upstream = await startUpstream(silence, async reply => {
    reply.head(200, eventStream)
    await reply.write(start)
  })
  const running = await startGateway({ upstream, place: await sqlitePlace() })
  const whole = running.post(questionOf('JSON'))
  await upstream.received(0)
  const streamed = running.post(questionOf('stream', { stream: true }))
  await upstream.received(1)
  await expect.poll(() => running.gateway.state.underWay.size).toBe(2)
  await shutDown(running.gateway, { timeout: 0 })
  const refused = await whole
  expect(refused.status).toBe(503)
  expect(errorOf(refused).code).toBe('shutting_down')
  expect((await streamed).text).toMatch(/"code":"shutting_down"/)
  expect((await streamed).text).not.toContain('[DONE]')
  const calls = await running.stele.calls.list()
  expect(calls.map(({ status, errorCode }) => [status, errorCode])).toEqual([
    ['aborted', 'shutting_down'],
    ['aborted', 'shutting_down'],
  ])
  for (const { over } of upstream.journal) expect(await over).toBe(true)
})

test('a connection that never asks, one kept alive and one that stops in a request hold nothing up', async () => {
  const running = await startGateway()
  const { hostname, port } = new URL(running.address)
  const open = async (bytes: string): Promise<void> => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    if (bytes !== '') socket.write(bytes)
  }
  await open('')
  await open('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await open('GET /healthz HTTP/1.1\r\nHo')
  await running.send('GET', '/healthz')
  await shutDown(running.gateway, { timeout: longTime })
})

test('a client that does not read cannot hold the gateway up', async () => {
  const piece = chunk({ content: 'x'.repeat(60_000) })
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    while (!reply.raw.destroyed) await reply.write(piece)
  })
  const running = await startGateway({ upstream })
  const { hostname, port } = new URL(running.address)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  const body = JSON.stringify(questionOf('Hi', { stream: true }))
  socket.pause()
  const head = `Authorization: Bearer ${running.key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${head}\r\n\r\n${body}`)
  const request = await upstream.received()
  await shutDown(running.gateway, { timeout: 200 })
  expect(await request.over).toBe(true)
  expect((await onlyCall(running)).call).toMatchObject({ status: 'aborted', errorCode: 'shutting_down' })
  socket.destroy()
})
