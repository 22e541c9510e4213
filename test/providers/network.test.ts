import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { errorOf, recorded, startGateway } from '../gateway/running.ts'
import {
  brokenStream,
  eventStream,
  headThenSilence,
  reset,
  silence,
  startUpstream,
} from '../gateway/upstream.ts'
import { chunk, questionOf } from '../gateway/wire.ts'

const timeouts = { connectTimeout: 0.25, firstByteTimeout: 0.25, idleTimeout: 0.25 }

/** A port that does with a connection what `onConnection` does. */
async function listen(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    onConnection(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { server, port: (server.address() as AddressInfo).port }
}

async function freePort(): Promise<number> {
  const { server, port } = await listen(() => undefined)
  server.close()
  await once(server, 'close')
  return port
}

/** How one question ends when the provider is at this address. */
async function ask(provider: Record<string, unknown>, body = questionOf('Hi')) {
  const running = await startGateway({ provider: { ...timeouts, apiKey: 'sk-upstream', ...provider } })
  const reply = await running.post(body)
  const error = errorOf(reply)
  expect(error.type).toBe('provider_error')
  expect(reply.text + running.log()).not.toContain('sk-upstream')
  const { call, response } = await recorded(running, reply.headers['x-stele-call-id'])
  expect(call).toMatchObject({ status: 'failed', errorCode: error.code, errorMessage: error.message })
  return { status: reply.status, error, call, response }
}

for (const body of [questionOf('Hi'), questionOf('Hi', { stream: true })]) {
  const mode = 'stream' in body ? 'a stream' : 'JSON'

  test(`asked for ${mode}: a refused connection is told and recorded`, async () => {
    const { status, error, call } = await ask({ baseUrl: `http://127.0.0.1:${await freePort()}/v1` }, body)
    expect(status).toBe(502)
    expect(error.message).toBe("The provider 'test' could not be reached: ECONNREFUSED")
    expect(call).toMatchObject({ httpStatus: undefined, errorCode: 'provider_unreachable' })
  })

  test(`asked for ${mode}: a name that does not resolve is told and recorded`, async () => {
    const { status, error } = await ask(
      { baseUrl: 'http://no-such-host.invalid/v1', connectTimeout: 10 },
      body,
    )
    expect(status).toBe(502)
    expect(error.message).toMatch(/^The provider 'test' could not be reached: (ENOTFOUND|EAI_AGAIN)$/)
  })

  test(`asked for ${mode}: a connection that is not made in time is told and recorded`, async () => {
    // A TLS handshake that nobody answers: connecting includes it.
    const { port } = await listen(() => undefined)
    const { status, error } = await ask({ baseUrl: `https://127.0.0.1:${port}/v1` }, body)
    expect(status).toBe(504)
    expect(error).toMatchObject({
      code: 'provider_timeout',
      message: "The provider 'test' did not answer in time: no connection within 0.25 s",
    })
  })

  test(`asked for ${mode}: a reply that does not begin in time is told and recorded, its connection given up`, async () => {
    const upstream = await startUpstream(silence)
    const { status, error } = await ask({ baseUrl: upstream.baseUrl }, body)
    expect(status).toBe(504)
    expect(error.message).toBe("The provider 'test' did not answer in time: no first byte within 0.25 s")
    expect(await upstream.journal[0]?.over).toBe(true)
    expect(upstream.journal).toHaveLength(1)
  })

  test(`asked for ${mode}: a connection cut instead of an answer is told and recorded, and not tried again`, async () => {
    const upstream = await startUpstream(reset)
    const { status, call } = await ask({ baseUrl: upstream.baseUrl }, body)
    expect(status).toBe(502)
    expect(call.errorCode).toBe('provider_unreachable')
    expect(upstream.journal).toHaveLength(1)
  })

  test(`asked for ${mode}: a provider that does not speak HTTP is told and recorded`, async () => {
    const { port } = await listen(socket => socket.end('220 mail.example.org ESMTP sekret\r\n'))
    const { status, error } = await ask({ baseUrl: `http://127.0.0.1:${port}/v1` }, body)
    expect(status).toBe(502)
    expect(error.code).toBe('provider_unreachable')
    expect(error.message).not.toContain('sekret')
  })
}

test('JSON that stops coming is told and recorded', async () => {
  const upstream = await startUpstream(headThenSilence({ 'content-type': 'application/json' }))
  const { status, error, call } = await ask({ baseUrl: upstream.baseUrl })
  expect(status).toBe(504)
  expect(error.message).toBe("The provider 'test' did not answer in time: silent for 0.25 s")
  expect(call.httpStatus).toBe(200)
  expect(await upstream.journal[0]?.over).toBe(true)
})

test('JSON that is cut off is told and recorded', async () => {
  const upstream = await startUpstream(async reply => {
    reply.head(200, { 'content-type': 'application/json' })
    await reply.write('{"choices":[')
    reply.reset()
  })
  const { status, call } = await ask({ baseUrl: upstream.baseUrl })
  expect(status).toBe(502)
  expect(call).toMatchObject({ httpStatus: 200, errorCode: 'provider_unreachable' })
})

test('a stream that goes silent ends with an error event, not with [DONE], and what came is recorded', async () => {
  const part = chunk({ role: 'assistant', content: 'half of ' })
  const upstream = await startUpstream(brokenStream([part], new Promise(() => undefined)))
  const running = await startGateway({ upstream, provider: timeouts })
  const { text, headers } = await running.post(questionOf('Hi', { stream: true }))
  expect(text.startsWith(part)).toBe(true)
  expect(text).toContain('"code":"provider_timeout"')
  expect(text).not.toContain('[DONE]')
  expect(await recorded(running, headers['x-stele-call-id'])).toMatchObject({
    call: {
      status: 'failed',
      httpStatus: 200,
      errorCode: 'provider_timeout',
      contentType: eventStream['content-type'],
    },
    response: part,
  })
  expect(await upstream.journal[0]?.over).toBe(true)
})

test('a provider that comes back is asked again', async () => {
  const upstream = await startUpstream(reset)
  const running = await startGateway({ upstream, provider: timeouts })
  expect((await running.post(questionOf('Hi'))).status).toBe(502)
  upstream.answer(async reply => {
    reply.head(200, { 'content-type': 'application/json' })
    reply.end('{"choices":[]}')
  })
  expect((await running.post(questionOf('Hi'))).status).toBe(200)
})
