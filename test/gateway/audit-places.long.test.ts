import { execFileSync } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import type { Stele } from '../../src/stele.ts'
import { dayFilesIn, eventsIn, eventsOf, vkeysOf } from '../harness/audit.ts'
import { describeEachDatabase, memoryPlace, postgresPlace, temporaryFolder } from '../harness/databases.ts'
import { errorOf, startGateway } from './running.ts'
import { serveProcess } from './serve-process.ts'

const ask = { model: 'echo', messages: [{ role: 'user', content: 'Hi' }] }
const apiKey = 'a-key-of-my-own-making'

async function call(address: string): Promise<number> {
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(ask),
  })
  await response.text()
  return response.status
}

/** Calls until the gateway is gone. */
async function callOn(address: string): Promise<void> {
  for (;;) await call(address)
}

async function stop(gateway: GatewayProcess): Promise<void> {
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toMatchObject({ code: 0 })
}

async function checkFiles(stele: Stele, folder: string): Promise<void> {
  const events = await eventsOf(stele)
  expect((await eventsIn(folder)).toSorted()).toEqual(events)
  const names = await dayFilesIn(folder)
  const chunks = await Promise.all(names.map(name => readFile(join(folder, name))))
  const verdict = await verifyAuditExport(Readable.from(chunks), { keys: await vkeysOf(stele) })
  expect(verdict).toMatchObject({ verified: true, size: events.length, fault: undefined })
  const found = await stele.auditEvents.list({ action: 'audit.file_tampered', limit: 1 })
  expect(found).toEqual([])
}

describeEachDatabase('a gateway whose audit log is in files, too', bed => {
  test('is killed while it writes: no event is lost there or doubled, and the files verify', {
    timeout: 60_000,
  }, async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const folder = join(await temporaryFolder(), 'log')
    const env = { STELE_API_KEY: apiKey, AUDIT_LOG_DIR: folder, AUDIT_CHECKPOINT_INTERVAL: '0.1' }
    const size = async () => (await dayFilesIn(folder).catch(() => [])).length
    const killed = await serveProcess({ place, env })
    const address = await killed.address
    const calling = Array.from({ length: 4 }, () => callOn(address).catch(() => undefined))
    await expect.poll(size, { timeout: 10_000 }).toBe(1)
    await expect.poll(async () => (await eventsIn(folder)).length, { timeout: 10_000 }).toBeGreaterThan(20)
    killed.kill('SIGKILL')
    await killed.ended
    await Promise.all(calling)
    const gateway = await serveProcess({ place, env })
    expect(await call(await gateway.address)).toBe(200)
    await stop(gateway)
    await checkFiles(stele, folder)
  })
})

test('calls and changes are refused while they cannot be on record twice; reading is not', async () => {
  const folder = join(await temporaryFolder(), 'log')
  await writeFile(folder, 'in the way')
  const running = await startGateway({
    place: await memoryPlace(),
    store: { auditPlaces: { folder, failClosed: true, interval: 50 } },
  })
  const refused = await running.post(ask)
  expect(refused.status).toBe(503)
  expect(errorOf(refused)).toMatchObject({ code: 'audit_unavailable', type: 'server_error' })
  expect(refused.headers['retry-after']).toBe('1')
  const headers = { authorization: `Bearer ${running.key}` }
  expect((await running.send('DELETE', '/v1/conversations/conv_1', { headers })).status).toBe(503)
  expect((await running.send('GET', '/v1/models', { headers })).status).toBe(200)
  const ready = await running.send('GET', '/readyz')
  expect(ready.status).toBe(503)
  expect(ready.text).not.toContain(folder)
  const metrics = (await running.send('GET', '/metrics')).text
  expect(metrics).toMatch(/^stele_audit_files_failing 1$/m)
  expect(metrics).toMatch(/^stele_audit_files_failures_total [1-9]/m)

  await rm(folder)
  await expect.poll(async () => (await running.post(ask)).status, { timeout: 5_000 }).toBe(200)
  const told = async () => JSON.parse((await running.send('GET', '/readyz')).text).audit
  const expected = { files: 'writing', log: 'consistent', failing: [] }
  await expect.poll(told, { timeout: 5_000 }).toMatchObject(expected)
  expect((await running.send('GET', '/metrics')).text).toMatch(/^stele_audit_files_failing 0$/m)
})

test('a gateway without a second place has nothing to tell of it, and refuses nothing', async () => {
  const running = await startGateway()
  expect((await running.post(ask)).status).toBe(200)
  expect(JSON.parse((await running.send('GET', '/readyz')).text)).not.toHaveProperty('audit')
})

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

test.runIf(hasPrlimit())(
  'a disk that is full for the files loses nothing: they catch up when there is room',
  {
    timeout: 60_000,
  },
  async () => {
    const place = await postgresPlace()
    const stele = await place.stele()
    const folder = join(await temporaryFolder(), 'log')
    const env = { STELE_API_KEY: apiKey, AUDIT_LOG_DIR: folder, LOG_LEVEL: 'warn' }
    const gateway = await serveProcess({ place, env, fileLimit: 16 * 1024 })
    const address = await gateway.address
    for (let count = 0; count < 40; count++) expect(await call(address)).toBe(200)
    const has = (action: string) => async () => (await stele.auditEvents.list({ action, limit: 1 })).length
    await expect.poll(has('audit.file_failed'), { timeout: 10_000 }).toBe(1)
    expect(gateway.stderr()).toContain('the files of the audit log cannot be written')
    expect(await call(address)).toBe(200)
    execFileSync('prlimit', ['--pid', String(gateway.pid), '--fsize=unlimited:'])
    await expect.poll(has('audit.file_recovered'), { timeout: 10_000 }).toBe(1)
    await stop(gateway)
    await checkFiles(stele, folder)
  },
)

test('a checkpoint of the log is printed as a line of JSON', { timeout: 30_000 }, async () => {
  const env = { STELE_API_KEY: apiKey, AUDIT_CHECKPOINT_STDOUT: 'true' }
  const gateway = await serveProcess({ env })
  expect(await call(await gateway.address)).toBe(200)
  await stop(gateway)
  const line = gateway
    .stdout()
    .split('\n')
    .find(each => each.startsWith('{"checkpoint":'))
  expect(JSON.parse(line ?? '{}')).toMatchObject({ checkpoint: expect.stringContaining('\n\n— ') })
})
