import { expect, test } from 'vitest'
import { openConnection } from './bare-connection.ts'
import { errorOf, type RawReply, startGateway } from './running.ts'

test.each([
  ['says nothing', ''],
  ['stops within its first line', 'GET /hea'],
  ['stops within its headers', 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n'],
])('a connection that %s is closed when its time is up', async (_, bytes) => {
  const running = await startGateway({ config: { requestTimeout: 0.3 } })
  const connection = await openConnection(running)
  if (bytes !== '') connection.send(bytes)
  const started = performance.now()
  await connection.closed
  expect(performance.now() - started).toBeLessThan(15_000)
  expect((await running.send('GET', '/healthz')).status).toBe(200)
})

test('headers that trickle do not gain time by each byte', async () => {
  const running = await startGateway({ config: { requestTimeout: 0.3 } })
  const connection = await openConnection(running)
  connection.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n')
  let sent = 0
  const trickle = setInterval(() => connection.send(`X-${sent++}: a\r\n`), 10)
  const [refusal] = await connection.replies(1).finally(() => clearInterval(trickle))
  expect(refusal?.status).toBe(408)
  expect(errorOf(refusal as RawReply).code).toBe('request_timeout')
  await connection.closed
})

test('a connection that nobody uses again is closed', async () => {
  const running = await startGateway({ config: { keepAliveTimeout: 0.2 } })
  const idle = await openConnection(running)
  idle.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [reply] = await idle.replies(1)
  expect(reply?.headers['keep-alive']).toMatch(/^timeout=\d/)
  await idle.closed
  expect(idle.text().match(/HTTP\/1\.1/g)).toHaveLength(1)
})

test('hundreds of connections that say nothing hold up nobody, and end', async () => {
  const running = await startGateway({ config: { requestTimeout: 0.5 } })
  const silent = await Promise.all(Array.from({ length: 200 }, () => openConnection(running)))
  expect((await running.send('GET', '/healthz')).status).toBe(200)
  await Promise.all(silent.map(({ closed }) => closed))
})

test('connections beyond the limit are closed as they come, and there is room again when others leave', async () => {
  const running = await startGateway({ config: { maxConnections: 2 } })
  const ask = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const held = [await openConnection(running), await openConnection(running)]
  for (const connection of held) connection.send(ask)
  for (const connection of held) expect((await connection.replies(1))[0]?.status).toBe(200)
  const third = await openConnection(running)
  await third.closed
  expect(third.text()).toBe('')
  for (const connection of held) connection.socket.destroy()
  await expect
    .poll(async () => {
      const next = await openConnection(running)
      next.send(ask)
      const reply = await next.replies(1).catch(() => [])
      next.socket.destroy()
      return reply[0]?.status
    })
    .toBe(200)
})

test('a stranger is refused before its body, however long, is kept', async () => {
  const running = await startGateway()
  const connection = await openConnection(running)
  connection.send(
    'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{',
  )
  const [reply] = await connection.replies(1)
  expect(reply?.status).toBe(401)
})
