import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { describeEachDatabase, sqlitePlace } from '../harness/databases.ts'
import { holdWriters } from './held-store.ts'
import { onlyCall, type RecordedCall, type Running, startGateway } from './running.ts'
import { type Answer, eventStream, headThenSilence, silence, startUpstream } from './upstream.ts'
import { chunk, done, questionOf } from './wire.ts'

/** Sends a question over a connection of its own, which the test can cut or leave unread. */
async function askOver({ address, key }: Running, body: object): Promise<Socket> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  const text = JSON.stringify(body)
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    'Host: x',
    `Authorization: Bearer ${key}`,
    'Content-Type: application/json',
  ]
  socket.write(`${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
  return socket
}

async function aborted(running: Running): Promise<RecordedCall> {
  await expect
    .poll(async () => (await running.stele.calls.list())[0]?.status, { timeout: 10_000 })
    .toBe('aborted')
  await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
  const call = await onlyCall(running)
  expect(call.call.errorCode).toBe('client_closed_request')
  return call
}

const quiet: [name: string, answer: Answer, stream: boolean, httpStatus: number | undefined][] = [
  ['JSON, before the provider answers', silence, false, undefined],
  ['a stream, before the provider answers', silence, true, undefined],
  ['JSON, before its first byte', headThenSilence({ 'content-type': 'application/json' }), false, 200],
  ['a stream, before its first byte', headThenSilence(eventStream), true, 200],
]

describeEachDatabase('a client that leaves', bed => {
  test.each(quiet)(
    'waiting for %s: the provider is let go and the call recorded',
    async (_, answer, stream, httpStatus) => {
      const upstream = await startUpstream(answer)
      const running = await startGateway({ upstream, place: await bed.place() })
      const socket = await askOver(running, questionOf('Hi', { stream }))
      const request = await upstream.received()
      if (httpStatus !== undefined && stream) await once(socket, 'data')
      socket.destroy()
      expect(await request.over).toBe(true)
      const { call, response } = await aborted(running)
      expect(call).toMatchObject({ httpStatus, finishReasons: [] })
      expect(response ?? '').toBe('')
    },
  )

  test('in the middle of a stream: the provider is let go, and what came is kept', async () => {
    const upstream = await startUpstream(async reply => {
      reply.head(200, eventStream)
      await reply.write(chunk({ role: 'assistant', content: 'once upon' }))
    })
    const running = await startGateway({ upstream, place: await bed.place() })
    for await (const { choices } of await running
      .client()
      .chat.completions.create({ ...questionOf('Hi'), stream: true })) {
      expect(choices[0]?.delta.content).toBe('once upon')
      break
    }
    expect(await upstream.journal[0]?.over).toBe(true)
    const { call, response } = await aborted(running)
    expect(call).toMatchObject({
      httpStatus: 200,
      providerResponseId: 'chatcmpl-s',
      responseModel: 'gpt-test-2026',
    })
    expect(response).toBe(chunk({ role: 'assistant', content: 'once upon' }))
    const [, reply] = await running.stele.messages.list({
      userId: 'ada',
      conversationId: call.conversationId,
    })
    expect(JSON.parse(reply?.raw ?? '')).toEqual({ role: 'assistant', content: 'once upon' })
  })

  test('while its call is being begun: the provider is never asked', async () => {
    const upstream = await startUpstream(silence)
    const running = await startGateway({ upstream, place: await bed.place() })
    await running.stele.recorder.start()
    const held = await holdWriters(running.place)
    const socket = await askOver(running, questionOf('Hi'))
    await expect.poll(() => running.gateway.state.unanswered.size).toBe(1)
    // Its key is checked and its call waits for the writer by now.
    for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
    socket.destroy()
    await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
    await held.release()
    await aborted(running)
    expect(upstream.journal).toHaveLength(0)
  })
})

test('a client that leaves after the last event leaves a whole reply behind', async () => {
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    reply.end(chunk({ content: 'all' }, { finish: 'stop' }) + done)
  })
  const running = await startGateway({ upstream, place: await sqlitePlace() })
  await running.stele.recorder.start()
  const socket = await askOver(running, questionOf('Hi', { stream: true }))
  await once(socket, 'data')
  socket.destroy()
  await expect.poll(async () => (await running.stele.calls.list())[0]?.status).toMatch(/completed|aborted/)
  const { response } = await onlyCall(running)
  expect(response).toContain('"all"')
})

test('a client that reads slowly slows the provider down, and holds nothing up for others', async () => {
  const piece = chunk({ content: 'x'.repeat(60_000) })
  const pieces = 700
  let written = 0
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    for (; written < pieces && !reply.raw.destroyed; written++) await reply.write(piece)
  })
  const running = await startGateway({ upstream })
  const socket = await askOver(running, questionOf('Hi', { stream: true }))
  socket.pause()
  const isStuck = async (): Promise<boolean> => {
    const before = written
    for (let round = 0; round < 40; round++) await running.send('GET', '/healthz')
    return written === before
  }
  await expect.poll(isStuck, { timeout: 10_000 }).toBe(true)
  expect(written).toBeGreaterThan(0)
  expect(written).toBeLessThan(pieces * 0.75)
  socket.destroy()
  const { response } = await aborted(running)
  expect(response?.startsWith(piece)).toBe(true)
})
