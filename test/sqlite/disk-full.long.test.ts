import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { statSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import OpenAI from 'openai'
import { expect, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import type { Stele } from '../../src/stele.ts'
import { serveProcess } from '../gateway/serve-process.ts'
import { json, startUpstream } from '../gateway/upstream.ts'
import { completion } from '../harness/chat.ts'
import { type Place, sqlitePlace } from '../harness/databases.ts'

const apiKey = 'sk-test-0123456789abcdef'

/** Text that compresses to nothing much less, so that every call takes room. */
const noise = (index: number): string =>
  Array.from({ length: 1_500 }, (_, at) => Math.sin(index * 7_919 + at).toString(36)).join('')

const canLiftLimits = ((): boolean => {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

interface Answered {
  readonly callId: string
  readonly reply: string
}

/** Asks one call after the other until one is refused; what was answered before, and the refusal. */
async function askUntilRefused(
  address: string,
): Promise<{ answered: Answered[]; refusal: InstanceType<typeof OpenAI.APIError> }> {
  const client = new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 30_000 })
  const answered: Answered[] = []
  for (let index = 0; index < 500; index++) {
    try {
      answered.push(await ask(client, index))
    } catch (error) {
      return { answered, refusal: error as InstanceType<typeof OpenAI.APIError> }
    }
  }
  throw new Error('the limit was never reached')
}

async function ask(client: OpenAI, index: number): Promise<Answered> {
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: noise(index) }]
  const response = await client.chat.completions.create({ model: 'm', messages, user: 'ada' }).asResponse()
  return { callId: response.headers.get('x-stele-call-id') ?? '', reply: await response.text() }
}

async function expectOnRecord(stele: Stele, answered: readonly Answered[]): Promise<void> {
  for (const { callId, reply } of answered) {
    expect(await stele.calls.get('ada', callId)).toMatchObject({ status: 'completed' })
    expect((await stele.calls.exactResponse('ada', callId))?.toString()).toBe(reply)
  }
}

function expectIntact(place: Place): void {
  const database = new DatabaseSync(place.databaseUrl.replace('sqlite:', ''))
  expect(database.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
  expect(database.prepare('PRAGMA foreign_key_check').all()).toEqual([])
  database.close()
}

async function fullGateway(
  fileLimit: number,
): Promise<{ place: Place; gateway: GatewayProcess; address: string }> {
  const upstream = await startUpstream(async (reply, request) => {
    reply.head(200, { 'content-type': 'application/json' })
    reply.end(JSON.stringify(completion(`answer ${request.text.slice(60, 4_000)}`)))
  })
  const place = await sqlitePlace()
  const env = { OPENAI_BASE_URL: upstream.baseUrl, STELE_API_KEY: apiKey, LOG_LEVEL: 'warn' }
  // Made without the limit, so that it is reached under way and not at the start.
  await (await place.stele()).close()
  const gateway = await serveProcess({ place, env, fileLimit })
  return { place, gateway, address: await gateway.address }
}

test('on a full disk calls are refused with 503 and the gateway lives on; once there is room again it goes on, with nothing lost', {
  timeout: 90_000,
}, async () => {
  const { place, gateway, address } = await fullGateway(1_200_000)
  const { answered, refusal } = await askUntilRefused(address)
  expect(answered.length).toBeGreaterThan(5)
  expect(refusal).toMatchObject({ status: 503, code: 'store_unavailable', type: 'server_error' })
  expect(Number(refusal.headers?.get('retry-after'))).toBeGreaterThan(0)
  expect((await fetch(`${address}/healthz`)).status).toBe(200)
  const readiness = async () => (await fetch(`${address}/readyz`)).status
  // A heartbeat may just have fitted in.
  await expect.poll(readiness, { timeout: 20_000 }).toBe(503)
  // Room is made by prlimit of util-linux; without it the gateway ends on the full disk.
  if (canLiftLimits) {
    execFileSync('prlimit', ['--pid', String(gateway.pid), '--fsize=unlimited:'])
    const client = new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 30_000 })
    for (let index = 1_000; index < 1_020; index++) answered.push(await ask(client, index))
    expect(await readiness()).toBe(200)
    gateway.kill('SIGTERM')
    expect(await gateway.ended).toEqual({ code: 0, signal: null })
  } else {
    gateway.kill('SIGKILL')
    await gateway.ended
  }

  expectIntact(place)
  const stele = await place.stele()
  await stele.recorder.start()
  await expectOnRecord(stele, answered)
  // Whether the refused one was refused before it was dispatched or after: none is left open, and none is doubled.
  const calls = await stele.calls.list({ limit: 1_000 })
  const others = calls.filter(({ id }) => !answered.some(({ callId }) => callId === id))
  expect(others.length).toBeLessThanOrEqual(1)
  expect(others.every(({ status }) => status === 'orphaned')).toBe(true)
})

test('many calls at once on a disk that fills up: each is answered and on record, or refused', {
  timeout: 120_000,
}, async () => {
  const { place, gateway, address } = await fullGateway(1_500_000)
  const client = new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 60_000 })
  const results = await Promise.allSettled(Array.from({ length: 150 }, (_, index) => ask(client, index)))
  const answered = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const refused = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []))
  expect(refused.length).toBeGreaterThan(0)
  for (const error of refused) expect(error).toMatchObject({ status: 503, code: 'store_unavailable' })
  gateway.kill('SIGKILL')
  await gateway.ended

  expectIntact(place)
  const stele = await place.stele()
  await stele.recorder.start()
  await expectOnRecord(stele, answered)
  const statuses = new Set((await stele.calls.list({ limit: 1_000 })).map(({ status }) => status))
  for (const status of statuses) expect(['completed', 'orphaned']).toContain(status)
})

test('a reply that finds no room is not passed on, and its call is orphaned at the next start', async () => {
  const upstream = await startUpstream(
    json(completion('short')),
    json(completion(randomBytes(3_000_000).toString('base64'))),
  )
  const place = await sqlitePlace()
  const env = { OPENAI_BASE_URL: upstream.baseUrl, STELE_API_KEY: apiKey, LOG_LEVEL: 'warn' }
  const gateway = await serveProcess({ place, env, fileLimit: 1_200_000 })
  const client = new OpenAI({
    apiKey,
    baseURL: `${await gateway.address}/v1`,
    maxRetries: 0,
    timeout: 30_000,
  })
  const first = await ask(client, 1)
  const refusal = await ask(client, 2).catch((error: unknown) => error)
  expect(refusal).toMatchObject({ status: 503, code: 'store_unavailable' })
  expect(upstream.journal).toHaveLength(2)
  gateway.kill('SIGKILL')
  await gateway.ended

  expectIntact(place)
  const stele = await place.stele()
  expect(await stele.recorder.start()).toBe(1)
  await expectOnRecord(stele, [first])
  expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['orphaned', 'completed'])
})

test('a database that cannot be made for want of space is told, and nothing is left behind', async () => {
  const place = await sqlitePlace()
  const gateway = await serveProcess({ place, fileLimit: 2_048 })
  expect(await gateway.ended).toEqual({ code: 1, signal: null })
  expect(gateway.stdout()).toBe('')
  expect(gateway.stderr()).toMatch(/^stele: The database \S+ cannot be opened for writing: [^\n]+\n$/)
  expect(statSync(place.databaseUrl.replace('sqlite:', ''), { throwIfNoEntry: false })).toBeUndefined()
})

test('a log that cannot be written does not end the gateway', async () => {
  const fileLimit = 4_096_000
  const place = await sqlitePlace()
  const log = join(dirname(place.databaseUrl.replace('sqlite:', '')), 'gateway.log')
  writeFileSync(log, '')
  truncateSync(log, fileLimit - 1_000)
  const gateway = await serveProcess({ place, fileLimit, log, env: { STELE_API_KEY: apiKey } })
  const client = new OpenAI({ apiKey, baseURL: `${await gateway.address}/v1`, maxRetries: 0 })
  for (let index = 0; index < 20; index++)
    await client.chat.completions.create({
      model: 'echo',
      messages: [{ role: 'user', content: `hi ${index}` }],
    })
  expect(statSync(log).size).toBe(fileLimit)
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
  expect(await (await place.stele()).calls.list()).toHaveLength(20)
})
