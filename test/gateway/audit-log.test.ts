import { expect, test } from 'vitest'
import { openCheckpoint } from '../../src/audit/checkpoint.ts'
import { leafHash, rootAt } from '../../src/audit/merkle.ts'
import { parseVkey } from '../../src/audit/note-keys.ts'
import { tileHashReader, tilePath, tileWidth } from '../../src/audit/tiles.ts'
import { addEvents, eventRow, operator } from '../../src/store/audit-events.ts'
import { dropGuards } from '../harness/guards.ts'
import { provenLog } from '../harness/proven-log.ts'
import { errorOf, type Running, startGateway } from './running.ts'

const prefix = '/v1/audit/log'

async function fill({ stele: { database, auditLog } }: Running, count: number): Promise<number> {
  const events = Array.from({ length: count }, (_, index) =>
    eventRow({ userId: 'ada', by: operator, action: 'app.test', details: { index } }, Date.now()),
  )
  await database.kysely.transaction().execute(tx => addEvents(tx, database.contents, ...events))
  await auditLog.sequence()
  return (await auditLog.latest())?.size ?? 0
}

test('whoever knows the public key can follow the log from its tiles, and compute its root', async () => {
  const running = await startGateway({ config: { auditLogPublic: true } })
  const { stele } = running
  const size = await fill(running, 600)
  const get = async (path: string) => {
    const response = await fetch(`${running.address}${prefix}/${path}`)
    expect(response.status, path).toBe(200)
    return response
  }
  const checkpoint = await get('checkpoint')
  expect(checkpoint.headers.get('content-type')).toBe('text/plain; charset=utf-8')
  expect(checkpoint.headers.get('cache-control')).toBe('public, max-age=1')
  const keys = (await stele.auditLog.keys()).map(({ vkey }) => parseVkey(vkey))
  const signed = openCheckpoint(await checkpoint.text(), keys)
  expect(signed).toMatchObject({ size, origin: stele.auditLog.origin })

  const widthOf = (level: number, tile: number): number =>
    Math.min(tileWidth, Math.floor(size / tileWidth ** level) - tile * tileWidth)
  const reader = tileHashReader(async (level, tile) => {
    const response = await get(tilePath({ level, tile, width: widthOf(level, tile) }))
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    return new Uint8Array(await response.arrayBuffer())
  })
  expect((await rootAt(reader, size)).equals(signed.root)).toBe(true)

  const leaves: Buffer[] = []
  for (let tile = 0; tile * tileWidth < size; tile++) {
    const response = await get(tilePath({ level: 'entries', tile, width: widthOf(0, tile) }))
    const bundle = Buffer.from(await response.arrayBuffer())
    for (let at = 0; at < bundle.length; ) {
      const end = at + 2 + bundle.readUInt16BE(at)
      leaves.push(leafHash(bundle.subarray(at + 2, end)))
      at = end
    }
  }
  expect(leaves).toHaveLength(size)
  for (const [index, leaf] of leaves.entries()) expect((await reader.hash(0, index)).equals(leaf)).toBe(true)

  // A part of a tile that is wider by now stays what it was.
  const part = Buffer.from(await (await get('tile/0/000.p/3')).arrayBuffer())
  expect(part).toEqual(Buffer.concat(leaves.slice(0, 3)))
  await provenLog(stele)
})

test('what the log does not have is told in the shape of OpenAI, and so is that one may not ask', async () => {
  const running = await startGateway()
  // To make a key is an event too, and events are put into the log whenever there are some.
  const key = await running.newKey('eve', 'admin')
  const size = await fill(running, 5)
  const headers = { authorization: `Bearer ${key}` }
  const admin = (path: string) => running.send('GET', `${prefix}/${path}`, { headers })
  expect((await admin('checkpoint')).status).toBe(200)
  expect((await admin('checkpoint')).headers['cache-control']).toBe('private, max-age=1')
  for (const path of ['000', `000.p/${size + 1}`, '001', '000.p/0', '000.p/256', '0', 'x000/000', '000.p/01'])
    for (const level of ['0', 'entries']) {
      const reply = await admin(`tile/${level}/${path}`)
      expect([reply.status, errorOf(reply).code], path).toEqual([404, 'audit_log_part_not_found'])
    }
  expect((await admin('tile/1/000.p/1')).status).toBe(404)
  expect((await admin('tile')).status).toBe(404)
  const member = { headers: { authorization: `Bearer ${running.key}` } }
  expect((await running.send('GET', `${prefix}/checkpoint`, member)).status).toBe(403)
  expect((await fetch(`${running.address}${prefix}/checkpoint`)).status).toBe(401)
})

test('a log that is not as it was signed is told by /readyz and in the figures', async () => {
  const running = await startGateway({ config: { metrics: 'open' } })
  await fill(running, 2)
  const figures = async () => (await running.send('GET', '/metrics')).text
  const ready = async (): Promise<unknown> => JSON.parse((await running.send('GET', '/readyz')).text)
  expect(await ready()).toMatchObject({ audit_log: 'ok' })
  expect(await figures()).toContain('stele_audit_log_broken 0')
  const { kysely } = running.stele.database
  await dropGuards(running.stele.database)
  await kysely.deleteFrom('audit_tiles').execute()
  await running.stele.auditEvents.add({ userId: '', by: operator, action: 'app.test' })
  await expect.poll(ready, { timeout: 5_000 }).toMatchObject({ status: 'ready', audit_log: 'broken' })
  expect(await figures()).toContain('stele_audit_log_broken 1')
})
