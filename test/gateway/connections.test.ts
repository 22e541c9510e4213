import { once } from 'node:events'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { askText, openConnection, requestText } from './bare-connection.ts'
import { errorOf, onlyCall, type RawReply, startGateway } from './running.ts'
import { eventStream, json, startUpstream, stream, type UpstreamRequest } from './upstream.ts'
import { answerEvents, chunk, done, questionOf } from './wire.ts'

/** Answers each question with its own words, so that a mixed-up reply shows. */
function said(request: UpstreamRequest): string {
  return (JSON.parse(request.text) as { messages: { content: string }[] }).messages[0]?.content ?? ''
}

function wordsOf(reply: RawReply | undefined): unknown {
  const body = JSON.parse(reply?.text ?? '{}') as { choices?: { message: { content: string } }[] }
  return body.choices?.[0]?.message.content
}

test('pipelined requests are answered in their order, whoever is ready first', async () => {
  const slow = Promise.withResolvers<void>()
  const upstream = await startUpstream(async (reply, request) => {
    if (said(request) === 'one') await slow.promise
    await json(completion(said(request)))(reply, request)
  })
  const running = await startGateway({ upstream })
  const connection = await openConnection(running)
  connection.send(['one', 'two', 'three'].map(word => askText(running, questionOf(word))).join(''))
  await upstream.received(2)
  // The later ones are answered and recorded while the first still waits.
  await expect
    .poll(
      async () => (await running.stele.calls.list()).filter(({ status }) => status === 'completed').length,
    )
    .toBe(2)
  expect(connection.text()).toBe('')
  slow.resolve()
  const replies = await connection.replies(3)
  expect(replies.map(wordsOf)).toEqual(['one', 'two', 'three'])
  expect(new Set(replies.map(({ headers }) => headers['x-stele-call-id'])).size).toBe(3)
})

test('pipelined streams are relayed one after the other, none into the other', async () => {
  const slow = Promise.withResolvers<void>()
  const upstream = await startUpstream(async (reply, request) => {
    reply.head(200, eventStream)
    await reply.write(chunk({ content: said(request) }))
    if (said(request) === 'one') await slow.promise
    await reply.write(chunk({ content: '.' }, { finish: 'stop' }))
    reply.end(done)
  })
  const running = await startGateway({ upstream })
  const connection = await openConnection(running)
  const ask = (word: string) => askText(running, questionOf(word, { stream: true }))
  connection.send(ask('one') + ask('two'))
  await upstream.received(1)
  await expect
    .poll(async () => (await running.stele.calls.list()).some(call => call.status === 'completed'))
    .toBe(true)
  slow.resolve()
  const replies = await connection.replies(2)
  for (const [index, word] of ['one', 'two'].entries())
    expect(replies[index]?.text).toBe(
      chunk({ content: word }) + chunk({ content: '.' }, { finish: 'stop' }) + done,
    )
})

test('what is no HTTP is refused after the reply to the request before it', async () => {
  const slow = Promise.withResolvers<void>()
  const upstream = await startUpstream(async (reply, request) => {
    await slow.promise
    await json(completion('mine'))(reply, request)
  })
  const running = await startGateway({ upstream })
  const connection = await openConnection(running)
  connection.send(`${askText(running, questionOf('Hi'))}this is no request\r\n\r\n`)
  await upstream.received()
  expect(connection.text()).toBe('')
  connection.send('nor is this\r\n\r\n')
  slow.resolve()
  const [reply, refusal] = await connection.replies(2)
  expect(wordsOf(reply)).toBe('mine')
  expect(refusal?.status).toBe(400)
  expect(errorOf(refusal as RawReply).code).toBe('invalid_http')
  await connection.closed
  expect(connection.text().match(/HTTP\/1\.1/g)).toHaveLength(2)
  expect((await onlyCall(running)).call.status).toBe('completed')
})

test('a client that goes on sending what is no HTTP is not cut off before it can read why it was refused', async () => {
  const running = await startGateway()
  const accepted = once(running.gateway.app.server, 'connection')
  const connection = await openConnection(running)
  connection.socket.pause()
  const [socket] = (await accepted) as [Socket]
  for (let round = 1; round < 4; round++) {
    connection.send('no request\r\n\r\n')
    await expect.poll(() => socket.bytesRead).toBe(round * 14)
    expect(socket.destroyed).toBe(false)
  }
  connection.socket.resume()
  expect((await connection.replies(1))[0]?.status).toBe(400)
  await connection.closed
})

test('what is no HTTP does not break into a stream', async () => {
  const more = Promise.withResolvers<void>()
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ content: 'first' }))
    await more.promise
    reply.end(chunk({ content: 'last' }, { finish: 'stop' }) + done)
  })
  const running = await startGateway({ upstream })
  const connection = await openConnection(running)
  connection.send(askText(running, questionOf('Hi', { stream: true })))
  await expect.poll(connection.text).toContain('first')
  connection.send('no request\r\n\r\n')
  for (let round = 0; round < 5; round++) await running.send('GET', '/healthz')
  more.resolve()
  const [reply, refusal] = await connection.replies(2)
  expect(reply?.text).toBe(
    chunk({ content: 'first' }) + chunk({ content: 'last' }, { finish: 'stop' }) + done,
  )
  expect(refusal?.status).toBe(400)
  await connection.closed
})

test('a connection serves on after every kind of refusal', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream, config: { bodyLimit: 1_000 } })
  const connection = await openConnection(running)
  const post = 'POST /v1/chat/completions'
  const stranger = { key: 'sk-stele-nobody' }
  connection.send(
    [
      requestText(running, post, 'not JSON'),
      requestText(running, post, '{"model":"m"}'),
      // Refused before its body was read: that must not be taken for the next request.
      requestText(stranger, post, `GET / HTTP/1.1\r\n\r\n${' '.repeat(900)}`),
      requestText(running, 'GET /nowhere', undefined),
      requestText(running, 'DELETE /v1/models', undefined),
      askText(running, questionOf('Hi'), 'Idempotency-Key: k'),
      askText(running, questionOf('Ho'), 'Idempotency-Key: k'),
      askText(running, questionOf('Hi'), 'Idempotency-Key: k'),
      askText(running, questionOf('last')),
    ].join(''),
  )
  const replies = await connection.replies(9)
  // Pipelined requests run at once: of the two that share a key either may be first.
  const [, , , , , hi, ho] = replies
  expect([hi?.status, ho?.status].sort()).toEqual([200, 409])
  expect(replies.map(({ status }) => status).filter((_, index) => index < 5)).toEqual([
    400, 400, 401, 404, 405,
  ])
  expect(replies[8]?.status).toBe(200)
  expect(new Set(replies.map(({ headers }) => headers['x-stele-call-id'])).size).toBeGreaterThan(7)
})

test('a client that waits to be told to send its body is told', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  const connection = await openConnection(running)
  const text = askText(running, questionOf('Hi'), 'Expect: 100-continue')
  const body = text.indexOf('\r\n\r\n') + 4
  connection.send(text.slice(0, body))
  await connection.replies(1)
  connection.send(text.slice(body))
  const [go, reply] = await connection.replies(2)
  expect(go?.status).toBe(100)
  expect(wordsOf(reply)).toBe('ok')
  expect((await onlyCall(running)).request).toBe(JSON.stringify(questionOf('Hi')))
})

test('an expectation that nobody knows is passed over', async () => {
  const running = await startGateway({ upstream: await startUpstream(json(completion('ok'))) })
  const connection = await openConnection(running)
  connection.send(askText(running, questionOf('Hi'), 'Expect: the-moon'))
  expect(wordsOf((await connection.replies(1))[0])).toBe('ok')
})

test('HEAD is answered with a head alone, and the next reply is where it belongs', async () => {
  const running = await startGateway()
  for (const [path, status] of [
    ['/v1/models', 200],
    ['/healthz', 200],
    ['/v1/chat/completions', 200],
    ['/v1/embeddings', 405],
    ['/nowhere', 404],
  ] as const) {
    const connection = await openConnection(running)
    connection.send(requestText(running, `HEAD ${path}`, undefined, 'Connection: close'))
    await connection.closed
    const [head, rest] = connection.text().split('\r\n\r\n')
    expect(head).toContain(`HTTP/1.1 ${status} `)
    expect(head).toMatch(/x-stele-call-id: call_/)
    expect(rest).toBe('')
  }
})

test('thousands of headers are all read, the last one too', async () => {
  const running = await startGateway()
  const connection = await openConnection(running)
  const many = Array.from({ length: 2_500 }, () => 'a:')
  const { key } = running
  connection.send(
    `GET /v1/models HTTP/1.1\r\nHost: localhost\r\n${many.join('\r\n')}\r\nAuthorization: Bearer ${key}\r\n\r\n`,
  )
  expect((await connection.replies(1))[0]?.status).toBe(200)
})

test('a body in chunks, with extensions and a trailer, is recorded as one', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const connection = await openConnection(running)
  const body = JSON.stringify(questionOf('é 😀'))
  const chunks = [...Buffer.from(body)].map(byte =>
    Buffer.concat([Buffer.from('1;x=y\r\n'), Buffer.of(byte), Buffer.from('\r\n')]),
  )
  const head = requestText(
    running,
    'POST /v1/chat/completions',
    undefined,
    'Content-Type: application/json',
    'Transfer-Encoding: chunked',
  )
  connection.send(Buffer.concat([Buffer.from(head), ...chunks, Buffer.from('0\r\nX-Trailer: z\r\n\r\n')]))
  connection.send(askText(running, questionOf('next')))
  const replies = await connection.replies(2)
  expect(replies.map(wordsOf)).toEqual(['ok', 'ok'])
  expect(upstream.journal.map(({ text }) => text)).toContain(body)
})

test('a length that is too short ends the body there; what follows is refused and nothing is recorded', async () => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream })
  const connection = await openConnection(running)
  const text = askText(running, questionOf('Hi'))
  connection.send(text.replace(/Content-Length: \d+/, 'Content-Length: 10'))
  const [reply, refusal] = await connection.replies(2)
  expect(errorOf(reply as RawReply).code).toBe('invalid_json')
  expect(errorOf(refusal as RawReply).code).toBe('invalid_http')
  await connection.closed
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

const unfinished: [name: string, cut: (text: string) => string][] = [
  ['a head that does not end', text => text.slice(0, 40)],
  ['a body that does not end', text => text.slice(0, -5)],
  ['a length that is too long', text => text.replace(/Content-Length: \d+/, 'Content-Length: 5000')],
]

test.each(unfinished)('%s is refused when its time is up, and the connection closed', async (_, cut) => {
  const upstream = await startUpstream(json(completion('ok')))
  const running = await startGateway({ upstream, config: { requestTimeout: 0.3 } })
  const connection = await openConnection(running)
  connection.send(cut(askText(running, questionOf('Hi'))))
  const [refusal] = await connection.replies(1)
  expect(refusal?.status).toBe(408)
  expect(errorOf(refusal as RawReply)).toMatchObject({
    code: 'request_timeout',
    message: 'The request did not arrive within 0.3 seconds.',
  })
  await connection.closed
  await expect.poll(() => running.gateway.state.unanswered.size).toBe(0)
  expect(upstream.journal).toHaveLength(0)
  expect(await running.stele.calls.list()).toEqual([])
})

test('a body that trickles does not gain time by each byte', async () => {
  const running = await startGateway({
    upstream: await startUpstream(json(completion('ok'))),
    config: { requestTimeout: 0.3 },
  })
  const connection = await openConnection(running)
  const text = askText(running, questionOf('x'.repeat(1_000)))
  const bodyAt = text.indexOf('\r\n\r\n') + 4
  connection.send(text.slice(0, bodyAt))
  let sent = bodyAt
  const trickle = setInterval(() => connection.send(text[sent++] ?? ''), 10)
  const [refusal] = await connection.replies(1).finally(() => clearInterval(trickle))
  expect(refusal?.status).toBe(408)
  expect(sent).toBeLessThan(text.length)
  await connection.closed
})

test('the time for a request does not count the time that its reply takes', async () => {
  const upstream = await startUpstream(async (reply, request) => {
    await new Promise(resolve => setTimeout(resolve, 900))
    await stream(answerEvents(['late']))(reply, request)
  })
  const running = await startGateway({ upstream, config: { requestTimeout: 0.2, clientTimeout: 0.2 } })
  expect((await running.post(questionOf('Hi', { stream: true }))).text).toContain('late')
})
