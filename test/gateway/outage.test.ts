import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { completion } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { startGateway } from './running.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { answerEvents } from './wire.ts'

const store = { poolTimeout: 2, commitTimeout: 1 }

async function start(more: object = {}) {
  const link = await linkToPostgres()
  const upstream = await startUpstream((reply, request) =>
    request.text.includes('"stream":true')
      ? stream(answerEvents(['streamed']))(reply, request)
      : json(completion('whole'))(reply, request),
  )
  const place = await postgresPlace()
  const running = await startGateway({
    upstream,
    place,
    store: { ...store, ...more, databaseUrl: link.databaseUrl },
  })
  return { link, upstream, running, witness: await place.stele() }
}

const ask = { model: 'm', messages: [{ role: 'user' as const, content: 'Hi' }] }

test.each(['cut', 'hang'] as const)(
  'no client notices an outage (%s): replies come, and all is on record afterwards',
  async how => {
    const { link, running, witness } = await start()
    const client = running.client()
    await client.chat.completions.create(ask)
    link[how]()
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => client.chat.completions.create(ask).withResponse()),
    )
    for (const { data, response } of replies) {
      expect(data.choices[0]?.message.content).toBe('whole')
      expect(response.headers.has('x-stele-conversation')).toBe(false)
    }
    let text = ''
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true }))
      text += chunk.choices[0]?.delta.content ?? ''
    expect(text).toBe('streamed')

    const ready = await running.send('GET', '/readyz')
    expect(ready.status).toBe(200)
    const { status, spool } = JSON.parse(ready.text)
    expect([status, spool.depth]).toEqual(['spooling', 22])
    expect(spool.bytes).toBeGreaterThan(1_000)
    expect(spool.age).toBeGreaterThanOrEqual(0)
    const metrics = await running.send('GET', '/metrics')
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(metrics.text).toMatch(/^# TYPE stele_spool_depth gauge\nstele_spool_depth 22$/m)
    expect(metrics.text).toMatch(/^stele_spooling 1$/m)
    expect(metrics.text).toMatch(/^stele_spool_age_seconds [0-9.]+$/m)

    link.restore()
    await expect
      .poll(async () => JSON.parse((await running.send('GET', '/readyz')).text), { timeout: 20_000 })
      .toMatchObject({ status: 'ready', spool: { depth: 0, bytes: 0, age: 0 } })
    const calls = await witness.calls.list()
    expect(calls.map(call => call.status)).toEqual(Array(12).fill('completed'))
    const ids = replies.map(({ response }) => response.headers.get('x-stele-call-id'))
    expect(calls.map(({ id }) => id)).toEqual(expect.arrayContaining(ids))
  },
)

test('a key that nobody has used yet cannot be checked, and its client is told to come back', async () => {
  const { link, running } = await start()
  await running.client().chat.completions.create(ask)
  const other = await running.newKey('bob')
  link.cut()
  const error = await running
    .client({ apiKey: other })
    .chat.completions.create(ask)
    .catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(OpenAI.APIError)
  expect(error).toMatchObject({ status: 503, code: 'store_unavailable' })
  expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('1')
})

test('a request with an idempotency key cannot be known to be the first, and is not dispatched', async () => {
  const { link, upstream, running } = await start()
  await running.client().chat.completions.create(ask)
  link.cut()
  const reply = await running.post(ask, { 'idempotency-key': 'once' })
  expect([reply.status, JSON.parse(reply.text).error.code]).toEqual([503, 'store_unavailable'])
  expect(upstream.journal).toHaveLength(1)
})

test('a full spool refuses calls before they are dispatched, and says so to whoever balances the load', async () => {
  const { link, upstream, running } = await start({ spoolLimit: 3_000 })
  await running.client().chat.completions.create(ask)
  link.cut()
  const statuses = []
  for (let index = 0; index < 20; index++) statuses.push((await running.post(ask)).status)
  expect(statuses[0]).toBe(200)
  expect(statuses.at(-1)).toBe(503)
  const refused = await running.post(ask)
  expect(JSON.parse(refused.text).error).toMatchObject({ code: 'spool_full', type: 'server_error' })
  expect(refused.headers['retry-after']).toBe('1')
  expect(upstream.journal).toHaveLength(1 + statuses.filter(status => status === 200).length)
  expect((await running.send('GET', '/readyz')).status).toBe(503)
})
