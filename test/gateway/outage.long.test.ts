import OpenAI from 'openai'
import { expect, test } from 'vitest'
import { shutDown } from '../../src/gateway/shutdown.ts'
import { completion } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { startGateway } from './running.ts'
import { serveProcess } from './serve-process.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { answerEvents } from './wire.ts'

/** How a database goes away. */
const manners = ['cut', 'hang'] as const

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

test.each(manners)(
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

test.each(manners)(
  'a key that nobody has used yet cannot be checked (%s), and its client is told to come back',
  async how => {
    const { link, running } = await start()
    await running.client().chat.completions.create(ask)
    const other = await running.newKey('bob')
    link[how]()
    const error = await running
      .client({ apiKey: other })
      .chat.completions.create(ask)
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(OpenAI.APIError)
    expect(error).toMatchObject({ status: 503, code: 'store_unavailable' })
    expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('1')
  },
)

test.each(manners)(
  'a request with an idempotency key cannot be known to be the first (%s), and is not dispatched',
  async how => {
    const { link, upstream, running } = await start()
    await running.client().chat.completions.create(ask)
    link[how]()
    const reply = await running.post(ask, { 'idempotency-key': 'once' })
    expect([reply.status, JSON.parse(reply.text).error.code]).toEqual([503, 'store_unavailable'])
    expect(reply.headers['retry-after']).toBe('1')
    expect(upstream.journal).toHaveLength(1)
  },
)

test('a database that hangs and comes back finds no connection still taken by those who gave up', async () => {
  const { link, running } = await start({ poolSize: 1, maxOverflow: 0 })
  await running.post(ask, { 'idempotency-key': 'before' })
  link.hang()
  const replies = await Promise.all(
    [1, 2, 3].map(n => running.post(ask, { 'idempotency-key': `during ${n}` })),
  )
  expect(replies.map(({ status }) => status)).toEqual([503, 503, 503])
  // What was sent meanwhile stays lost, as behind a firewall that has forgotten the connection.
  link.forget()
  await expect
    .poll(async () => (await running.post(ask, { 'idempotency-key': 'after' })).status, { timeout: 10_000 })
    .toBe(200)
})

test('a keyed request waits for a database that hangs no longer than its client, or than the gateway', async () => {
  const { link, upstream, running } = await start({ commitTimeout: 3_600 })
  await running.post(ask, { 'idempotency-key': 'before' })
  link.hang()
  const { state } = running.gateway
  const leaving = new AbortController()
  const leaver = running
    .client()
    .chat.completions.create(ask, { headers: { 'idempotency-key': 'a' }, signal: leaving.signal })
  await expect.poll(() => state.underWay.size).toBe(1)
  leaving.abort()
  await expect(leaver).rejects.toThrow()
  await expect.poll(() => state.underWay.size).toBe(0)
  const stayer = running.post(ask, { 'idempotency-key': 'b' })
  await expect.poll(() => state.underWay.size).toBe(1)
  await shutDown(running.gateway, { timeout: 0 })
  expect((await stayer).status).toBe(503)
  expect(upstream.journal).toHaveLength(1)
  link.restore()
})

test.each(['spool', 'refuse'])(
  'a gateway process that is told to stop while the database hangs ends well (%s)',
  async onStoreFailure => {
    const link = await linkToPostgres()
    const upstream = await startUpstream(json(completion('whole')))
    const place = await postgresPlace()
    const apiKey = 'sk-test-0123456789abcdef'
    const gateway = await serveProcess({
      place: { ...place, databaseUrl: link.databaseUrl },
      env: {
        OPENAI_BASE_URL: upstream.baseUrl,
        STELE_API_KEY: apiKey,
        STELE_SHUTDOWN_TIMEOUT: '1',
        STELE_SPOOL_FOLDER: place.spoolFolder,
        STELE_ON_STORE_FAILURE: onStoreFailure,
        DB_COMMIT_TIMEOUT: '1',
      },
    })
    const client = new OpenAI({
      apiKey,
      baseURL: `${await gateway.address}/v1`,
      maxRetries: 0,
      timeout: 60_000,
    })
    await client.chat.completions.create(ask)
    link.hang()
    const keyed = client.chat.completions.create(ask, { headers: { 'idempotency-key': 'k' } })
    const unknown = new OpenAI({ apiKey: 'sk-other', baseURL: client.baseURL, maxRetries: 0 }).models.list()
    const refusals = Promise.allSettled([keyed, unknown])
    gateway.kill('SIGTERM')
    const toldAt = performance.now()
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
    expect(performance.now() - toldAt).toBeLessThan(20_000)
    expect((await refusals).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    link.restore()
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['completed'])
  },
  60_000,
)

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
