import { expect, test } from 'vitest'
import { completionBody } from '../harness/chat.ts'
import { askText, type BareConnection, openConnection } from './bare-connection.ts'
import { errorOf, onlyCall, type RecordedCall, type Running, startGateway } from './running.ts'
import { type Answer, eventStream, startUpstream, stream, whole } from './upstream.ts'
import { chunk, done, questionOf } from './wire.ts'

const piece = chunk({ content: 'x'.repeat(60_000) })

/** Sends until the other side reads no more, or for ever. */
const flood: Answer = async reply => {
  reply.head(200, eventStream)
  while (!reply.raw.destroyed) await reply.write(piece)
}

/** A client that asks and does not read the answer. */
async function unread(running: Running, body: object): Promise<BareConnection> {
  const connection = await openConnection(running)
  connection.socket.pause()
  connection.send(askText(running, body))
  return connection
}

async function settled(running: Running): Promise<RecordedCall> {
  await expect
    .poll(async () => (await running.stele.calls.list())[0]?.status ?? 'pending', { timeout: 10_000 })
    .not.toBe('pending')
  await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
  return onlyCall(running)
}

test('a client that reads slowly slows the provider down, and holds nothing up for others', async () => {
  let written = 0
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    for (; !reply.raw.destroyed; written++) await reply.write(piece)
  })
  const running = await startGateway({ upstream })
  const { socket } = await unread(running, questionOf('Hi', { stream: true }))
  const isStuck = async (): Promise<boolean> => {
    const before = written
    for (let round = 0; round < 40; round++) await running.send('GET', '/healthz')
    return written === before && written > 0
  }
  await expect.poll(isStuck, { timeout: 10_000 }).toBe(true)
  // What the system's own buffers on two connections hold, and little more: far less than would come.
  expect(written * piece.length).toBeLessThan(32 * 1024 * 1024)
  socket.destroy()
  const { call, response } = await settled(running)
  expect(call).toMatchObject({ status: 'aborted', errorCode: 'client_closed_request' })
  expect(response?.startsWith(piece)).toBe(true)
})

test.each([
  ['from the first event on', 0],
  ['after a silence of the provider', 500],
])('a client that stops reading a stream, %s, is ended and its call aborted', async (_, silence) => {
  const upstream = await startUpstream(async (reply, request) => {
    await new Promise(resolve => setTimeout(resolve, silence))
    await flood(reply, request)
  })
  const running = await startGateway({ upstream, config: { clientTimeout: 0.2 } })
  await unread(running, questionOf('Hi', { stream: true }))
  expect(await (await upstream.received()).over).toBe(true)
  const { call, response } = await settled(running)
  expect(call).toMatchObject({
    status: 'aborted',
    errorCode: 'client_stalled',
    errorMessage: 'The client took nothing of its reply for 0.2 seconds.',
  })
  expect(response?.startsWith(piece)).toBe(true)
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
})

test('a client that stops reading a reply in one piece is ended; its call was on record before', async () => {
  const body = completionBody('x'.repeat(30_000_000))
  const running = await startGateway({
    upstream: await startUpstream(whole(body)),
    config: { clientTimeout: 0.3 },
  })
  await unread(running, questionOf('Hi'))
  const { call, response } = await settled(running)
  expect(call.status).toBe('completed')
  expect(response).toBe(body)
  await expect.poll(() => running.gateway.state.unanswered.size, { timeout: 10_000 }).toBe(0)
})

test('a client that reads little at a time is left to read on', { timeout: 60_000 }, async () => {
  const pieces = 600
  const upstream = await startUpstream(
    stream([...Array.from({ length: pieces }, () => piece), chunk({}, { finish: 'stop' }), done]),
  )
  const running = await startGateway({ upstream, config: { clientTimeout: 1.5 } })
  const { socket, closed } = await unread(running, questionOf('Hi', { stream: true }))
  const started = performance.now()
  const ending = `${done}\r\n0\r\n\r\n`
  let last = ''
  const readToTheEnd = new Promise<void>(resolve => {
    socket.on('data', bytes => {
      socket.pause()
      setTimeout(() => socket.resume(), 5)
      // All of it, looked at again and again, would keep the event loop from everything else.
      last = (last + bytes.toString('latin1', Math.max(0, bytes.length - 100))).slice(-ending.length)
      if (last === ending) resolve()
    })
  })
  socket.resume()
  await Promise.race([readToTheEnd, closed])
  expect(last).toBe(ending)
  expect(performance.now() - started).toBeGreaterThan(1_500)
  expect((await settled(running)).call.status).toBe('completed')
})

test('a stream beyond the limit is ended, told, and recorded as far as it came', async () => {
  const limit = 1_000_000
  const upstream = await startUpstream(flood)
  const running = await startGateway({ upstream, config: { replyLimit: limit } })
  const reply = await running.post(questionOf('Hi', { stream: true }))
  expect(await upstream.journal[0]?.over).toBe(true)
  const { call, response } = await settled(running)
  expect(call).toMatchObject({
    status: 'failed',
    errorCode: 'provider_reply_too_large',
    errorMessage: "The provider 'test' sent a reply larger than 1000000 bytes.",
  })
  expect(response?.length).toBeLessThanOrEqual(limit)
  expect(response?.length).toBeGreaterThan(limit / 2)
  const [told] = reply.text.split('\n\n').slice(-2)
  expect(JSON.parse(told?.replace('data: ', '') ?? '')).toMatchObject({
    error: { code: 'provider_reply_too_large', type: 'provider_error' },
  })
  expect(reply.text).not.toContain('[DONE]')
  expect(response?.startsWith(reply.text.slice(0, -(told?.length ?? 0) - 2))).toBe(true)
})

test('a reply in one piece beyond the limit is a clear error, and recorded as far as it came', async () => {
  const upstream = await startUpstream(async reply => {
    reply.head(200, { 'content-type': 'application/json' })
    while (!reply.raw.destroyed) await reply.write(' '.repeat(50_000))
  })
  const running = await startGateway({ upstream, config: { replyLimit: 200_000 } })
  const reply = await running.post(questionOf('Hi'))
  expect(await upstream.journal[0]?.over).toBe(true)
  expect(reply.status).toBe(502)
  expect(errorOf(reply)).toMatchObject({ code: 'provider_reply_too_large', type: 'provider_error' })
  const { call, response } = await settled(running)
  expect(call).toMatchObject({ status: 'failed', httpStatus: 200, errorCode: 'provider_reply_too_large' })
  expect(response?.length).toBeGreaterThan(50_000)
})

test('a reply of exactly the limit is passed on', async () => {
  const body = completionBody('just right')
  const upstream = await startUpstream(whole(body))
  const running = await startGateway({ upstream, config: { replyLimit: Buffer.byteLength(body) } })
  expect((await running.post(questionOf('Hi'))).text).toBe(body)
})
