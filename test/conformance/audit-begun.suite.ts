import { generateKeyPairSync } from 'node:crypto'
import { Readable } from 'node:stream'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { formatVkey, keyIdOf } from '../../src/audit/note-keys.ts'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import { migrateDown } from '../../src/db/migrate.ts'
import { columnsOf, kindOf, tableNames } from '../../src/db/tables.ts'
import { ConversationHashes } from '../../src/model/hashes.ts'
import { copyDatabase } from '../../src/moving/copy.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import { generateMasterKey, parseMasterKey } from '../../src/privacy/master-key.ts'
import type { Stele } from '../../src/stele.ts'
import { digestOfVkey, type LogMark, markLog, openGuard } from '../../src/store/guard.ts'
import { rewrapAll, wrappedByOthers } from '../../src/store/rotate-master.ts'
import { guardOf, removeLogKeys, unmark } from '../harness/begun-log.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { dropGuards } from '../harness/guards.ts'
import { countOf, storedRowsOf } from '../harness/rows.ts'

/** Nothing is taken into the log but what a test says. */
const still = { audit: { sequence: false } } as const

const ofLog = [
  'audit_log',
  'audit_tiles',
  'audit_checkpoints',
  'audit_queue',
  'audit_places',
  'audit_counts',
] as const

/** Takes the log away, as whoever can write the database and has no key may. */
async function wipe({ database }: Stele, { keys }: { keys: boolean }): Promise<void> {
  const { kysely } = database
  await dropGuards(database)
  for (const table of ofLog) await sql`DELETE FROM ${sql.table(table)}`.execute(kysely)
  if (!keys) return
  await sql`DELETE FROM audit_keys`.execute(kysely)
  await sql`DELETE FROM secrets WHERE id LIKE 'audit-key:%'`.execute(kysely)
}

/** Says, as the migration that makes the log does, that all events are from before it. */
async function sayAllIsOld({ database: { kysely } }: Stele): Promise<void> {
  const { id } = await kysely
    .selectFrom('audit_events')
    .select(({ fn }) => fn.max('id').as('id'))
    .executeTakeFirstOrThrow()
  const rows = [
    { id: '0-backlog-end', leaves: encodeContent(id ?? '') },
    { id: '0-backlog-at', leaves: encodeContent('') },
  ]
  await kysely.insertInto('audit_queue').values(rows).execute()
}

/** A database of two users whose calls are in its log. */
async function recorded(place: Place): Promise<Stele> {
  const stele = await place.stele(still)
  for (const userId of ['ada', 'bob']) await exchange(stele, [user('question')], 'answer', { userId })
  await stele.auditLog.sequence()
  expect(await stele.audit.verify()).toMatchObject({ verified: true })
  return stele
}

const gone = { verified: false, fault: { reason: 'the log that this database had is gone' } }

async function expectKeyless(stele: Stele): Promise<void> {
  expect(await countOf(stele, 'audit_keys')).toBe(0)
  await failure('audit_log_broken', stele.auditLog.sequence())
  expect(await countOf(stele, 'audit_log')).toBe(0)
}

export function auditBegunSuite(bed: Bed): void {
  test('the log of a new database begins with its first secret, once, whoever else opens it', async () => {
    const place = await bed.place()
    const steles = await Promise.all([place.stele(still), place.stele(still), place.stele(still)])
    const [stele] = steles
    expect((await guardOf(stele.database, place.masterKey)).byteLength).toBe(67)
    expect(await countOf(stele, 'audit_keys')).toBe(1)
    expect(new Set(steles.map(({ auditLog }) => auditLog.origin)).size).toBe(1)
    for (const one of steles) {
      await exchange(one, [user('question')], 'answer')
      await one.auditLog.sequence()
    }
    expect(await stele.audit.verify()).toMatchObject({ verified: true })
  })

  test('one is not there without the other, wherever making them ends', async () => {
    const place = await bed.place()
    const prepared = await place.stele()
    const { database } = prepared
    await removeLogKeys(database)
    await sql`DELETE FROM secrets`.execute(database.kysely)
    const opened = (begin: () => Promise<LogMark>) =>
      openGuard(database, () => parseMasterKey(place.masterKey), { hasBacklog: async () => false, begin })
    await expect(opened(() => Promise.reject(new Error('ended')))).rejects.toThrow('ended')
    expect(await countOf(prepared, 'secrets')).toBe(0)
    // Nobody finds one that could be told of a log later.
    const log = { firstKey: digestOfVkey('a key'), takesOld: false }
    expect(await opened(async () => log)).toMatchObject({ log, isSealing: true })
    await sql`DELETE FROM secrets`.execute(database.kysely)
    const stele = await place.stele(still)
    await exchange(stele, [user('question')], 'answer')
    await stele.auditLog.sequence()
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 2 })
  })

  test('where the log and its keys are gone no other is begun, calls go on, and a verification says so', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    const [key] = await first.auditLog.keys()
    await wipe(first, { keys: true })
    await sql`DELETE FROM audit_events WHERE user_id = 'bob'`.execute(first.database.kysely)
    await sql`UPDATE audit_events SET actor = 'mallory'`.execute(first.database.kysely)
    await sayAllIsOld(first)
    await first.close()
    const stele = await place.stele(still)
    await exchange(stele, [user('later')], 'answer')
    await expectKeyless(stele)
    expect(await stele.audit.verify()).toMatchObject(gone)
    expect(await stele.audit.verify({ keys: [key?.vkey ?? ''] })).toMatchObject(gone)
    await failure('audit_log_broken', stele.auditLog.rotateKey())
    const exported: string[] = []
    await stele.audit.export(async lines => void exported.push(lines))
    const bytes = Readable.from([Buffer.from(exported.join(''))])
    expect(await verifyAuditExport(bytes, { keys: [key?.vkey ?? ''] })).toMatchObject({ verified: false })
    // Nor where nothing is left that would have to be in it.
    await sql`DELETE FROM audit_events`.execute(stele.database.kysely)
    await sql`DELETE FROM audit_queue`.execute(stele.database.kysely)
    expect(await (await place.stele(still)).audit.verify()).toMatchObject(gone)
  })

  test('nor is one begun with the key of somebody else', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    await wipe(first, { keys: true })
    const { publicKey } = generateKeyPairSync('ed25519')
    const vkey = formatVkey('stele/mine', publicKey)
    const row = { id: keyIdOf('stele/mine', publicKey), vkey, created_at: 1, retired_at: null }
    await first.database.kysely.insertInto('audit_keys').values(row).execute()
    await sql`DELETE FROM audit_events`.execute(first.database.kysely)
    const stele = await place.stele(still)
    expect(await stele.audit.verify()).toMatchObject(gone)
    expect(await stele.audit.verify({ keys: [vkey] })).toMatchObject(gone)
    await failure('audit_log_broken', stele.auditLog.rotateKey())
  })

  test('nor does one go on with the keys of the log of another database, whoever wrapped them', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    const own = (await first.auditLog.keys()).map(({ vkey }) => vkey)
    const other = await (await bed.place()).stele({ ...still, masterKey: place.masterKey })
    const others = (await other.auditLog.keys()).map(({ vkey }) => vkey)
    const ownRows = await storedRowsOf(first.database, 'audit_keys')
    await wipe(first, { keys: true })
    const { kysely } = first.database
    await sql`DELETE FROM audit_events`.execute(kysely)
    const secrets = (await storedRowsOf(other.database, 'secrets')).filter(({ id }) =>
      id.startsWith('audit-key:'),
    )
    await kysely.insertInto('secrets').values(secrets).execute()
    await kysely
      .insertInto('audit_keys')
      .values(await storedRowsOf(other.database, 'audit_keys'))
      .execute()
    await first.close()
    const stele = await place.stele(still)
    const expectStranger = async (reason: string): Promise<void> => {
      for (const keys of [undefined, own, others, [...own, ...others]]) {
        const { verified, fault } = await stele.audit.verify({ keys })
        expect(verified).toBe(false)
        expect(fault?.reason).toContain(reason)
      }
      expect((await failure('audit_log_broken', stele.auditLog.sequence())).message).toContain(reason)
      expect((await failure('audit_log_broken', stele.auditLog.rotateKey())).message).toContain(reason)
      expect(await countOf(stele, 'audit_log')).toBe(0)
    }
    await exchange(stele, [user('later')], 'answer')
    await expectStranger('its first key is not the one that it was begun with')
    // Nor behind the key that it was begun with.
    await stele.database.kysely
      .insertInto('audit_keys')
      .values(ownRows.map(row => ({ ...row, created_at: 1, retired_at: 2 })))
      .execute()
    await expectStranger('is not one of the log')
  })

  test('where nothing is signed yet whoever says which keys are to be believed says its own', async () => {
    const stele = await (await bed.place()).stele(still)
    const other = await (await bed.place()).stele(still)
    const [own, others] = [await stele.auditLog.keys(), await other.auditLog.keys()]
    const verdict = (keys: typeof own) => stele.audit.verify({ keys: keys.map(({ vkey }) => vkey) })
    expect(await verdict(own)).toMatchObject({ verified: true, size: 0 })
    expect(await verdict([...others, ...own])).toMatchObject({ verified: true, size: 0 })
    for (const keys of [others, []]) expect(await verdict(keys)).toMatchObject({ verified: false })
    // The one that signs now has to be among them.
    await stele.auditLog.rotateKey()
    expect(await verdict(own)).toMatchObject({ verified: false })
    expect(await verdict(await stele.auditLog.keys())).toMatchObject({ verified: true, size: 0 })
  })

  test('events are not taken in anew where the log is gone and its key was left', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    await wipe(first, { keys: false })
    await sql`UPDATE audit_events SET actor = 'mallory'`.execute(first.database.kysely)
    await sayAllIsOld(first)
    await first.close()
    const stele = await place.stele(still)
    await failure('audit_log_broken', stele.auditLog.sequence())
    expect(await stele.audit.verify()).toMatchObject({ verified: false })
    expect(await countOf(stele, 'audit_log')).toBe(0)
    await sql`DELETE FROM audit_queue`.execute(stele.database.kysely)
    expect(await stele.audit.verify()).toMatchObject({ verified: false })
  })

  test('a first secret that is gone is not made anew, whatever else was taken away', async () => {
    const hidden = [
      "DELETE FROM secrets WHERE id = 'conversation-hashes'",
      'DELETE FROM secrets',
      'DELETE FROM data_keys',
      'DELETE FROM llm_requests',
      'DELETE FROM conversations',
      'DELETE FROM users',
      'DELETE FROM audit_events',
    ]
    const place = await bed.place()
    const stele = await recorded(place)
    await wipe(stele, { keys: true })
    for (const statement of hidden) {
      await sql.raw(statement).execute(stele.database.kysely)
      const error = await failure('database_damaged', place.stele())
      expect(error.message).toContain('conversation-hashes')
    }
    expect(await countOf(stele, 'secrets')).toBe(0)
  })

  test('a first secret is made only where no table has anything that comes after it', async () => {
    const place = await bed.place()
    const database = await place.migrated()
    await dropGuards(database)
    const { kysely } = database
    const log = { hasBacklog: async () => false, begin: () => Promise.reject(new Error('made')) }
    const opened = () => openGuard(database, () => parseMasterKey(place.masterKey), log)
    const value = { text: 'x', integer: 1, bytes: Buffer.of(1) }
    for (const table of tableNames.filter(name => name !== 'audit_events')) {
      const row = Object.fromEntries(columnsOf(table).map(column => [column, value[kindOf(table, column)]]))
      await sql`INSERT INTO ${sql.table(table)} (${sql.join(Object.keys(row).map(name => sql.ref(name)))})
        VALUES (${sql.join(Object.values(row))})`.execute(kysely)
      const reason = ['audit_queue', 'search_queue'].includes(table) ? 'made' : 'is gone'
      await expect(opened(), table).rejects.toThrow(reason)
      await sql`DELETE FROM ${sql.table(table)}`.execute(kysely)
    }
    await expect(opened()).rejects.toThrow('made')
  })

  test('a verification tells of a first secret that somebody has put there', async () => {
    const place = await bed.place()
    const stele = await recorded(place)
    const other = await (await bed.place()).stele(still)
    const { kysely } = stele.database
    const put = async (of: Stele): Promise<void> => {
      const rows = await storedRowsOf(of.database, 'secrets')
      const { wrapped_key = Buffer.of(), master_key_id = '' } =
        rows.find(({ id }) => id === 'conversation-hashes') ?? {}
      await kysely
        .updateTable('secrets')
        .set({ wrapped_key, master_key_id })
        .where('id', '=', 'conversation-hashes')
        .execute()
    }
    const changes = [() => unmark(stele.database, place.masterKey), () => put(other)]
    for (const change of changes) {
      await change()
      const { fault } = await stele.audit.verify()
      expect(fault?.reason).toContain('the secret that says that there is a log')
    }
  })

  test.each([
    [32, 66],
    [33, 67],
  ])('the first secret of an older version, %i bytes, is told of the log once', async (length, marked) => {
    const place = await bed.place()
    const first = await place.stele(still)
    await removeLogKeys(first.database)
    await unmark(first.database, place.masterKey, length)
    const old = await guardOf(first.database, place.masterKey)
    const steles = await Promise.all([place.stele(still), place.stele(still), place.stele(still)])
    const [stele] = steles
    const guard = await guardOf(stele.database, place.masterKey)
    expect(guard.byteLength).toBe(marked)
    expect(guard.subarray(0, length)).toEqual(old)
    expect(await countOf(stele, 'audit_keys')).toBe(1)
    // Messages are hashed as before.
    const again = await place.stele(still)
    const before = new ConversationHashes(old.toString('base64url')).apiKey('a secret')
    for (const { hashes } of [stele, again]) expect(hashes.apiKey('a secret')).toBe(before)
    await exchange(stele, [user('question')], 'answer')
    await stele.auditLog.sequence()
    expect(await again.audit.verify()).toMatchObject({ verified: true, size: 2 })
  })

  test('a log that an earlier version has begun stays as it is, and is none that could be begun again', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    await unmark(first.database, place.masterKey)
    const keys = await storedRowsOf(first.database, 'audit_keys')
    const stele = await place.stele(still)
    expect((await guardOf(stele.database, place.masterKey)).byteLength).toBe(67)
    expect(await storedRowsOf(stele.database, 'audit_keys')).toEqual(keys)
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 4 })
    await wipe(stele, { keys: true })
    await expectKeyless(await place.stele(still))
  })

  test('where only its key is gone an earlier log is not begun again either', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    await unmark(first.database, place.masterKey)
    await removeLogKeys(first.database)
    const stele = await place.stele(still)
    expect(await countOf(stele, 'audit_keys')).toBe(0)
    expect(await stele.audit.verify()).toMatchObject({ verified: false })
  })

  test('it is told of the log while another master key wraps everything', async () => {
    const place = await bed.place()
    const first = await recorded(place)
    const next = generateMasterKey()
    const [old, masterKey] = [parseMasterKey(place.masterKey), Buffer.from(next.bytes).toString('base64')]
    const both = { ...still, masterKey, previousMasterKeys: [place.masterKey] }
    await unmark(first.database, place.masterKey)
    const masters = { find: (id: string) => (id === next.id ? next : old) }
    await Promise.all([rewrapAll(first.database, masters, next), place.stele(both), place.stele(both)])
    expect(await wrappedByOthers(first.database, next)).toBe(0)
    expect((await guardOf(first.database, masterKey)).byteLength).toBe(67)
    const stele = await place.stele({ ...still, masterKey })
    await stele.auditLog.sequence()
    expect(await stele.audit.verify()).toMatchObject({ verified: true })
    expect(await countOf(stele, 'audit_keys')).toBe(1)
  })

  test('nobody begins one who has found that there is none, and is overtaken', async () => {
    const place = await bed.place()
    const stele = await recorded(place)
    await markLog(
      stele.database,
      () => parseMasterKey(place.masterKey),
      () => Promise.reject(new Error('begun again')),
    )
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 4 })
  })

  test('a copy has it with the log', async () => {
    const [place, other] = [await bed.place(), await bed.place()]
    const first = await recorded(place)
    const target = await other.stele(still)
    const database = target.database
    await removeLogKeys(database)
    await sql`DELETE FROM secrets`.execute(database.kysely)
    await copyDatabase(first.database, other.database())
    const copy = await other.stele({ ...still, masterKey: place.masterKey })
    expect(await copy.audit.verify()).toMatchObject({ verified: true, size: 4 })
    await wipe(copy, { keys: true })
    const again = await other.stele({ ...still, masterKey: place.masterKey })
    await expectKeyless(again)
    expect(await again.audit.verify()).toMatchObject(gone)
  })

  test('no migration is undone that would lose a log', async () => {
    const stele = await recorded(await bed.place())
    const error = await failure('migration_failed', migrateDown(stele.database, 1_000))
    expect(error.message).toContain('the log of audit events has begun')
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 4 })
  })
}
