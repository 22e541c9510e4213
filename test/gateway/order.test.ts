import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase, postgresPlace } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { countOf } from '../harness/rows.ts'
import { holdWriters } from './held-store.ts'
import { errorOf, onlyCall, type Running, startGateway } from './running.ts'
import { eventStream, json, startUpstream, stream } from './upstream.ts'
import { answerEvents, chunk, done, questionOf } from './wire.ts'

const modes = [
  ['JSON', false],
  ['stream', true],
] as const

/** Lets the gateway do whatever it is going to do by itself. */
async function letItGoOn(running: Running): Promise<void> {
  for (let round = 0; round < 20; round++) expect((await running.send('GET', '/healthz')).status).toBe(200)
}

describeEachDatabase('order', bed => {
  test.each(modes)(
    'the provider sees a request only when its intent is committed (%s)',
    async (_, isStream) => {
      const upstream = await startUpstream(isStream ? stream(answerEvents(['ok'])) : json(completion('ok')))
      const place = await bed.place()
      const running = await startGateway({ upstream, place })
      const database = place.database()
      const seen: unknown[] = []
      upstream.whenReceived(async () => {
        const tables = ['llm_requests', 'llm_responses', 'messages'] as const
        seen.push(await Promise.all(tables.map(table => countOf({ database }, table))))
      })
      for (let round = 0; round < 3; round++)
        await running.post(questionOf(`Hi ${round}`, { stream: isStream }))
      expect(seen).toEqual([
        [1, 0, 1],
        [2, 1, 3],
        [3, 2, 5],
      ])
    },
  )

  test.each(modes)('nothing is dispatched while the intent cannot be committed (%s)', async (_, isStream) => {
    const upstream = await startUpstream(isStream ? stream(answerEvents(['ok'])) : json(completion('ok')))
    const running = await startGateway({ upstream, place: await bed.place() })
    await running.stele.recorder.start()
    const held = await holdWriters(running.place)
    const reply = running.post(questionOf('Hi', { stream: isStream }))
    await letItGoOn(running)
    expect(upstream.journal).toHaveLength(0)
    await held.release()
    expect((await reply).status).toBe(200)
    expect(upstream.journal).toHaveLength(1)
  })

  test('a JSON reply is not begun before its record is committed', async () => {
    const running = await startGateway({
      upstream: await startUpstream(json(completion('ok'))),
      place: await bed.place(),
    })
    const upstream = await startUpstream()
    const second = await startGateway({ upstream, place: running.place })
    const answered = Promise.withResolvers<void>()
    let held: Awaited<ReturnType<typeof holdWriters>> | undefined
    upstream.answer(async (reply, request) => {
      held = await holdWriters(running.place)
      await json(completion('ok'))(reply, request)
      reply.raw.once('finish', answered.resolve)
    })
    let isAnswered = false
    const reply = second.post(questionOf('Hi')).finally(() => (isAnswered = true))
    await answered.promise
    await letItGoOn(second)
    expect(isAnswered).toBe(false)
    expect((await onlyCall(second)).call.status).toBe('pending')
    await held?.release()
    expect((await reply).status).toBe(200)
    expect((await onlyCall(second)).call.status).toBe('completed')
  })

  test('the end of a stream is held until its record is committed, and only the end', async () => {
    const ending = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const upstream = await startUpstream(async reply => {
      reply.head(200, eventStream)
      await reply.write(chunk({ role: 'assistant', content: 'all ' }))
      await ending.promise
      await reply.write(chunk({ content: 'of it' }, { finish: 'stop' }))
      reply.end(done)
      reply.raw.once('finish', ended.resolve)
    })
    const running = await startGateway({ upstream, place: await bed.place() })
    const response = await fetch(`${running.address}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${running.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(questionOf('Hi', { stream: true })),
    })
    let text = ''
    let isOver = false
    const reading = (async () => {
      const decoder = new TextDecoder()
      for await (const bytes of response.body ?? [])
        text += decoder.decode(bytes as Uint8Array, { stream: true })
      isOver = true
    })()
    await expect.poll(() => text).toContain('all ')
    const held = await holdWriters(running.place)
    ending.resolve()
    await ended.promise
    await expect.poll(() => text).toContain('of it')
    await letItGoOn(running)
    expect(text).not.toContain('[DONE]')
    expect(isOver).toBe(false)
    expect((await onlyCall(running)).call.status).toBe('pending')
    await held.release()
    await reading
    expect(text.endsWith(done)).toBe(true)
    expect((await onlyCall(running)).call.status).toBe('completed')
  })
})

const store = { retryFor: 100, poolTimeout: 2, onStoreFailure: 'refuse' } as const

test.each([
  ['known for a moment', true],
  ['not looked up yet', false],
])(
  'with the database away and no spool a request is refused before dispatch, its key %s',
  async (_, isKnown) => {
    const link = await linkToPostgres()
    const upstream = await startUpstream(json(completion('ok')))
    const running = await startGateway({
      upstream,
      place: await postgresPlace(),
      store: { ...store, databaseUrl: link.databaseUrl },
    })
    if (isKnown) await running.post(questionOf('Hi'))
    const before = upstream.journal.length
    link.cut()
    const reply = await running.post(questionOf('Hi again'))
    expect(reply.status, reply.text).toBe(503)
    expect(errorOf(reply)).toMatchObject({ code: 'store_unavailable', type: 'server_error' })
    expect(reply.headers['retry-after']).toBe('1')
    expect(upstream.journal).toHaveLength(before)
    const ready = await running.send('GET', '/readyz')
    expect(ready.status).toBe(503)
    expect(errorOf(ready).code).toBe('store_unavailable')
    // Anybody may ask: where the database is, is nobody's business.
    expect(ready.text).not.toMatch(/\d+\.\d+\.\d+\.\d+|ECONN|socket|terminat/i)
    expect((await running.send('GET', '/healthz')).status).toBe(200)
    link.restore()
    expect((await running.post(questionOf('Hi again'))).status).toBe(200)
  },
)

test('without a spool a reply that cannot be recorded is not given as a whole one', async () => {
  const link = await linkToPostgres()
  const upstream = await startUpstream()
  const running = await startGateway({
    upstream,
    place: await postgresPlace(),
    store: { ...store, databaseUrl: link.databaseUrl },
  })
  upstream.answer((reply, request) => {
    link.cut()
    return json(completion('never seen'))(reply, request)
  })
  const whole = await running.post(questionOf('Hi'))
  expect(whole.status).toBe(503)
  expect(errorOf(whole).code).toBe('store_unavailable')
  expect(whole.text).not.toContain('never seen')
  link.restore()
  upstream.answer(async (reply, request) => {
    link.cut()
    await stream(answerEvents(['seen']))(reply, request)
  })
  const { text } = await running.post(questionOf('Hi', { stream: true }))
  expect(text).toContain('seen')
  expect(text).toMatch(/data: \{"error":\{[^\n]*"code":"store_unavailable"\}\}\n\n$/)
  expect(text).not.toContain('[DONE]')
  link.restore()
  const statuses = (await running.stele.calls.list()).map(({ status }) => status)
  expect(statuses).toEqual(['pending', 'pending'])
})
