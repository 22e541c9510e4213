import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { openCheckpoint, readCheckpoint } from '../../src/audit/checkpoint.ts'
import { parseVkey } from '../../src/audit/note-keys.ts'
import type { AuditPlacesOptions } from '../../src/audit/places/service.ts'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import type { Stele } from '../../src/stele.ts'
import { dayFilesIn, eventsIn, eventsOf, recordCall, vkeysOf } from '../harness/audit.ts'
import { type Bed, type Place, temporaryFolder } from '../harness/databases.ts'
import { withoutGuards } from '../harness/guards.ts'
import { startServer, startWitness } from '../harness/witness.ts'

interface Opened {
  readonly place: Place
  readonly folder: string
  readonly checkpointFile: string
  readonly open: (options?: AuditPlacesOptions) => Promise<Stele>
}

const logTables = ['audit_log', 'audit_tiles', 'audit_checkpoints', 'audit_queue', 'audit_events'] as const

/** The log as it is now, to be put back later as whoever restores an older copy does. */
async function copyOfLog({ database: { kysely } }: Stele): Promise<(into: Stele) => Promise<void>> {
  const copies = await Promise.all(
    logTables.map(async table => [table, await kysely.selectFrom(table).selectAll().execute()] as const),
  )
  return async ({ database }) => {
    const { kysely } = database
    await withoutGuards(database, async () => {
      for (const [table, rows] of copies) {
        await kysely.deleteFrom(table).execute()
        if (rows.length > 0)
          await kysely
            .insertInto(table)
            .values(rows as never)
            .execute()
      }
    })
  }
}

export function auditPlacesSuite(bed: Bed): void {
  const start = async (): Promise<Opened> => {
    const place = await bed.place()
    const temporary = await temporaryFolder()
    const folder = join(temporary, 'log')
    const checkpointFile = join(temporary, 'checkpoints.jsonl')
    const open = (options: AuditPlacesOptions = { folder, checkpointFile }) =>
      place.stele({ auditPlaces: options })
    return { place, folder, checkpointFile, open }
  }

  const verify = async (stele: Stele, folder: string) => {
    const names = await dayFilesIn(folder)
    const text = await Promise.all(names.map(name => readFile(join(folder, name))))
    return verifyAuditExport(Readable.from(text), { keys: await vkeysOf(stele) })
  }

  const actions = async (stele: Stele): Promise<string[]> =>
    (await stele.auditEvents.list({ limit: 100 })).map(({ action }) => action).reverse()

  describe('the second place', () => {
    it('has every event in files that verify, and a checkpoint outside, when the store is closed', async () => {
      const { folder, checkpointFile, open } = await start()
      const stele = await open()
      for (let count = 0; count < 5; count++) await recordCall(stele)
      await stele.close()
      const again = await open()
      const events = await eventsOf(again)
      expect(events.length).toBeGreaterThanOrEqual(5)
      expect((await eventsIn(folder)).toSorted()).toEqual(events)
      expect(await verify(again, folder)).toMatchObject({ verified: true, size: events.length })
      const lines = (await readFile(checkpointFile, 'utf8')).trim().split('\n')
      const { checkpoint } = JSON.parse(lines.at(-1) ?? '') as { checkpoint: string }
      const keys = (await vkeysOf(again)).map(parseVkey)
      expect(openCheckpoint(checkpoint, keys).size).toBe(events.length)
      expect(again.auditPlaces.outside.standing).toBe('consistent')
    })

    it('follows while calls are recorded', async () => {
      const { folder, open } = await start()
      const stele = await open()
      await recordCall(stele)
      await expect.poll(() => stele.auditPlaces.files?.position, { timeout: 5_000 }).toBeGreaterThan(0)
      await expect.poll(() => stele.auditPlaces.files?.lag, { timeout: 5_000 }).toBeLessThan(1_000)
      expect((await eventsIn(folder)).length).toBe(stele.auditPlaces.files?.position)
    })

    it('says on record that a file was edited, and has all of it beside', async () => {
      const { folder, open } = await start()
      const stele = await open()
      await recordCall(stele)
      await expect.poll(() => stele.auditPlaces.files?.written, { timeout: 5_000 }).toBeGreaterThan(0)
      const [name = ''] = await dayFilesIn(folder)
      const path = join(folder, name)
      await writeFile(path, (await readFile(path, 'utf8')).replace('gpt-4o', 'gpt-9z').replace('ada', 'eve'))
      await expect.poll(() => stele.auditPlaces.files?.tampered, { timeout: 5_000 }).toBe(1)
      await expect.poll(() => actions(stele), { timeout: 5_000 }).toContain('audit.file_tampered')
      await stele.close()
      expect(await verify(stele, folder).catch(() => undefined)).toBeUndefined()
      const again = await open()
      expect((await verify(again, folder)).verified).toBe(false)
      await rm(path)
      expect(await verify(again, folder)).toMatchObject({ verified: true })
      const [event] = await again.auditEvents.list({ action: 'audit.file_tampered', limit: 10 })
      expect(event).toMatchObject({ severity: 'critical', target: name, outcome: 'failure' })
      expect(event?.details).toMatchObject({ how: 'edited', from: 0 })
    })

    it('may fail and loses nothing: it catches up when it can be written again', async () => {
      const { folder, open } = await start()
      await writeFile(folder, 'in the way')
      const stele = await open()
      await recordCall(stele)
      await expect.poll(() => actions(stele), { timeout: 5_000 }).toContain('audit.file_failed')
      expect(stele.auditPlaces.refusal()).toBeUndefined()
      await rm(folder)
      await expect.poll(() => actions(stele), { timeout: 5_000 }).toContain('audit.file_recovered')
      await stele.close()
      const again = await open()
      expect((await eventsIn(folder)).toSorted()).toEqual(await eventsOf(again))
    })

    it('is what calls are refused without, when so configured', async () => {
      const { folder, open } = await start()
      await writeFile(folder, 'in the way')
      const stele = await open({ folder, failClosed: true })
      expect(stele.auditPlaces.refusal()).toMatchObject({ code: 'audit_unavailable', status: 503 })
      await rm(folder)
      await expect.poll(() => stele.auditPlaces.refusal(), { timeout: 5_000 }).toBeUndefined()
    })

    it('is missed when all of its files were removed while nobody looked', async () => {
      const { folder, open } = await start()
      const stele = await open({ folder })
      await recordCall(stele)
      await stele.close()
      await rm(folder, { recursive: true })
      const again = await open({ folder })
      const tampered = () => again.auditEvents.list({ action: 'audit.file_tampered', limit: 10 })
      await expect.poll(tampered).toMatchObject([{ target: folder, details: { how: 'truncated', from: 0 } }])
      await again.close()
      const last = await open({ folder })
      expect((await eventsIn(folder)).toSorted()).toEqual(await eventsOf(last))
    })
  })

  describe('a checkpoint outside', () => {
    it('keeps an older copy of the database from being signed', async () => {
      const { checkpointFile, open } = await start()
      const stele = await open({ checkpointFile })
      await recordCall(stele)
      await stele.auditLog.sequence()
      const putBack = await copyOfLog(stele)
      await recordCall(stele)
      await stele.close()
      const bare = await open({})
      await putBack(bare)
      await bare.close()
      const again = await open({ checkpointFile })
      expect(again.auditPlaces.outside.standing).toBe('older')
      await recordCall(again)
      await expect(again.auditLog.sequence()).rejects.toMatchObject({ code: 'audit_log_broken' })
      await expect.poll(() => actions(again), { timeout: 5_000 }).toContain('audit.log_rolled_back')
    })

    it('is compared while the store is open, too', async () => {
      const { checkpointFile, open } = await start()
      const stele = await open({ checkpointFile, interval: 50 })
      await recordCall(stele)
      await stele.auditLog.sequence()
      const putBack = await copyOfLog(stele)
      await recordCall(stele)
      const size = 1 + (await eventsOf(stele)).length - 1
      await stele.auditLog.sequence()
      const last = async () => (await readFile(checkpointFile, 'utf8')).trim().split('\n').at(-1) ?? '{}'
      await expect
        .poll(
          async () => readCheckpoint((JSON.parse(await last()) as { checkpoint: string }).checkpoint).size,
          { timeout: 5_000 },
        )
        .toBe(size)
      await putBack(stele)
      await expect.poll(() => stele.auditPlaces.outside.standing, { timeout: 5_000 }).toBe('older')
    })

    it('of another log is not gone on from', async () => {
      const { checkpointFile, open } = await start()
      const stele = await open({ checkpointFile })
      await recordCall(stele)
      await stele.close()
      const other = await (await bed.place()).stele({ auditPlaces: { checkpointFile } })
      expect(other.auditPlaces.outside.standing).toBe('foreign')
      await recordCall(other)
      await expect(other.auditLog.sequence()).rejects.toMatchObject({ code: 'audit_log_broken' })
    })

    it('goes to the webhook once, whoever is restarted', async () => {
      let status = 500
      const { url, received } = await startServer(() => ({ status }))
      const { open } = await start()
      const webhook = { url, secret: 'secret' }
      const stele = await open({ webhook, interval: 50 })
      await recordCall(stele)
      await expect.poll(() => received.length, { timeout: 5_000 }).toBeGreaterThan(0)
      await expect.poll(() => stele.auditPlaces.outside.places.webhook.isFailing).toBe(true)
      await stele.close()
      status = 204
      received.length = 0
      const again = await open({ webhook, interval: 50 })
      await expect.poll(() => received.length, { timeout: 5_000 }).toBe(1)
      await again.close()
      const size = readCheckpoint(received.at(-1)?.body ?? '').size
      received.length = 0
      const last = await open({ webhook, interval: 50 })
      await last.close()
      expect(received.map(({ body }) => readCheckpoint(body).size).filter(each => each <= size)).toEqual([])
    })

    it('is cosigned by a witness, and kept with that', async () => {
      const witness = await startWitness()
      const { checkpointFile, open } = await start()
      const options = { checkpointFile, witness: { url: witness.url, key: witness.vkey }, interval: 50 }
      const stele = await open(options)
      for (const vkey of await vkeysOf(stele)) witness.trust(vkey)
      await recordCall(stele)
      await expect.poll(() => witness.seen.size, { timeout: 5_000 }).toBeGreaterThan(0)
      for (let count = 0; count < 5; count++) await recordCall(stele)
      await stele.close()
      const again = await open(options)
      for (let count = 0; count < 5; count++) await recordCall(again)
      await again.close()
      const bare = await open({})
      const stored = await bare.auditLog.latest()
      const keys = [...(await vkeysOf(bare)), witness.vkey].map(parseVkey)
      expect(openCheckpoint(stored?.note ?? '', keys).signedBy).toHaveLength(2)
      const lines = (await readFile(checkpointFile, 'utf8')).trim().split('\n')
      expect(JSON.parse(lines.at(-1) ?? '')).toEqual({ checkpoint: stored?.note })
      expect(witness.seen.size).toBe(stored?.size)
    })

    it('that a witness has seen, and the database has not, is one of an older copy', async () => {
      const witness = await startWitness()
      const { open } = await start()
      const options = { witness: { url: witness.url, key: witness.vkey }, interval: 50 }
      const stele = await open(options)
      for (const vkey of await vkeysOf(stele)) witness.trust(vkey)
      await recordCall(stele)
      await expect.poll(() => witness.seen.size, { timeout: 5_000 }).toBeGreaterThan(0)
      witness.seen.size += 100
      await recordCall(stele)
      await expect.poll(() => stele.auditPlaces.outside.standing, { timeout: 5_000 }).toBe('older')
    })
  })
}
