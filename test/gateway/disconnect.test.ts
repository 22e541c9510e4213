import { once } from 'node:events'
import { expect, test } from 'vitest'
import { completionBody } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { askText, openConnection, requestText } from './bare-connection.ts'
import { holdWriters } from './held-store.ts'
import { onlyCall, type RecordedCall, type Running, startGateway } from './running.ts'
import {
  type Answer,
  eventStream,
  headThenSilence,
  silence,
  startUpstream,
  stream,
  whole,
} from './upstream.ts'
import { chunk, done, questionOf, usageChunk } from './wire.ts'

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
      const { socket, send } = await openConnection(running)
      send(askText(running, questionOf('Hi', { stream })))
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
    const { socket, send } = await openConnection(running)
    send(askText(running, questionOf('Hi')))
    await expect.poll(() => running.gateway.state.unanswered.size).toBe(1)
    // Its key is checked and its call waits for the writer by now.
    for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
    socket.destroy()
    await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
    await held.release()
    await aborted(running)
    expect(upstream.journal).toHaveLength(0)
  })

  test('in the middle of a reply in one piece: the provider is let go, and what came is kept', async () => {
    const part = '{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"once up'
    const upstream = await startUpstream(async reply => {
      reply.head(200, { 'content-type': 'application/json' })
      await reply.write(part)
    })
    const running = await startGateway({ upstream, place: await bed.place() })
    const { socket, send } = await openConnection(running)
    send(askText(running, questionOf('Hi')))
    const request = await upstream.received()
    // The part has reached the gateway when it has answered others since.
    for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
    socket.destroy()
    expect(await request.over).toBe(true)
    const { call, response } = await aborted(running)
    expect(call).toMatchObject({ httpStatus: 200, finishReasons: [] })
    expect(response).toBe(part)
    const messages = await running.stele.messages.list({
      userId: 'ada',
      conversationId: call.conversationId,
    })
    expect(messages).toHaveLength(1)
  })

  test.each([
    ['a stream', true],
    ['JSON', false],
  ])('between the last of %s and its settling: the reply is recorded whole', async (_, isStream) => {
    const content = isStream
      ? chunk({ content: 'all' }, { finish: 'stop' }) + usageChunk(3, 1) + done
      : completionBody('all')
    const upstream = await startUpstream(
      isStream ? stream([chunk({ role: 'assistant' }), content]) : whole(content),
    )
    const place = await bed.place()
    const running = await startGateway({ upstream, place })
    const held = Promise.withResolvers<Awaited<ReturnType<typeof holdWriters>>>()
    upstream.whenReceived(async () => held.resolve(await holdWriters(place)))
    const { socket, send } = await openConnection(running)
    send(askText(running, questionOf('Hi', { stream: isStream })))
    const { release } = await held.promise
    if (isStream) await once(socket, 'data')
    await upstream.journal[0]?.over
    for (let round = 0; round < 10; round++) await running.send('GET', '/healthz')
    socket.destroy()
    await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
    await release()
    await expect.poll(() => running.gateway.state.underWay.size, { timeout: 10_000 }).toBe(0)
    const { call, response } = await onlyCall(running)
    expect(call).toMatchObject({ status: 'completed', finishReasons: ['stop'], errorCode: undefined })
    expect(call.outputTokens).toBeGreaterThan(0)
    expect(response?.endsWith(content)).toBe(true)
  })
})

test('a client that leaves between the last event and the end of the stream leaves a whole reply behind', async () => {
  const events = chunk({ content: 'all' }, { finish: 'stop' }) + done
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(events)
  })
  const running = await startGateway({ upstream })
  const { socket, send } = await openConnection(running)
  send(askText(running, questionOf('Hi', { stream: true })))
  await once(socket, 'data')
  await expect.poll(() => socket.bytesRead).toBeGreaterThan(events.length)
  socket.destroy()
  expect(await upstream.journal[0]?.over).toBe(true)
  await expect.poll(() => running.gateway.state.underWay.size).toBe(0)
  const { call, response } = await onlyCall(running)
  expect(call).toMatchObject({ status: 'completed', finishReasons: ['stop'], errorCode: undefined })
  expect(response).toBe(events)
})

test.each([
  ['its head', (text: string) => text.slice(0, 30)],
  ['its body', (text: string) => text.slice(0, -3)],
])('a client that leaves before %s has arrived leaves nothing behind', async (_, cut) => {
  const upstream = await startUpstream(silence)
  const running = await startGateway({ upstream })
  const { socket, send } = await openConnection(running)
  const text = cut(askText(running, questionOf('Hi')))
  send(text)
  const isBegun = text.includes('\r\n\r\n')
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(isBegun ? 1 : 0)
  socket.resetAndDestroy()
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
  await expect.poll(() => connectionsOf(running)).toBe(0)
  expect(running.gateway.state.underWay.size).toBe(0)
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test('a client that leaves while its reply is written has its call on record, and nothing is kept for it', async () => {
  const body = completionBody('x'.repeat(30_000_000))
  const running = await startGateway({ upstream: await startUpstream(whole(body)) })
  const { socket, send } = await openConnection(running)
  socket.pause()
  send(askText(running, questionOf('Hi')))
  await expect
    .poll(async () => (await running.stele.calls.list())[0]?.status, { timeout: 10_000 })
    .toBe('completed')
  expect(running.gateway.state.unanswered.size).toBe(1)
  socket.destroy()
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
  await expect.poll(() => connectionsOf(running)).toBe(0)
  expect((await onlyCall(running)).response).toBe(body)
})

test.each([
  ['a stream', true],
  ['JSON', false],
])(
  'a client that leaves while %s waits for its turn on the connection: the provider is let go',
  async (_, isStream) => {
    const piece = chunk({ content: 'x'.repeat(60_000) })
    const upstream = await startUpstream(silence, async reply => {
      reply.head(200, isStream ? eventStream : { 'content-type': 'application/json' })
      while (!reply.raw.destroyed && (await reply.write(piece)));
    })
    const running = await startGateway({ upstream })
    const { socket, send } = await openConnection(running)
    send(requestText(running, 'POST /v1/chat/completions', JSON.stringify(questionOf('one'))))
    await upstream.received(0)
    send(askText(running, questionOf('two', { stream: isStream })))
    await upstream.received(1)
    socket.destroy()
    for (const { over } of upstream.journal) expect(await over).toBe(true)
    await expect
      .poll(async () => (await running.stele.calls.list()).map(({ status }) => status), { timeout: 10_000 })
      .toEqual(['aborted', 'aborted'])
    expect(running.gateway.state.underWay.size).toBe(0)
    expect(running.gateway.state.unanswered.size).toBe(0)
  },
)

function connectionsOf({ gateway }: Running): Promise<number> {
  return new Promise((resolve, reject) =>
    gateway.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  )
}
