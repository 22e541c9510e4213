import { generateKeyPairSync } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { expect, test } from 'vitest'
import { checkpointText } from '../../src/audit/checkpoint.ts'
import { logEntry } from '../../src/audit/event-form.ts'
import { appendToTiles } from '../../src/audit/log/append-tiles.ts'
import { Frontier, leafHash } from '../../src/audit/merkle.ts'
import { signNote } from '../../src/audit/note.ts'
import { formatVkey, keyIdOf } from '../../src/audit/note-keys.ts'
import type { Tables } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { leafOf } from '../../src/store/audit-queue.ts'
import { noteEvents } from '../harness/audited.ts'
import type { Bed } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { rowsOf } from '../harness/rows.ts'

const count = 300

type Change = (db: Kysely<Tables>, at: number, stele: Stele) => Promise<unknown>

const eventAt = (at: number) => sql`(SELECT event_id FROM audit_log WHERE leaf_index = ${at})`

/** What somebody can do to the tables, and what is found: at this entry, where it is told by an entry. */
const changes: Record<string, { readonly change: Change; readonly index?: (at: number) => number }> = {
  'an event edited': {
    change: (db, at) => sql`UPDATE audit_events SET actor = 'mallory' WHERE id = ${eventAt(at)}`.execute(db),
    index: at => at,
  },
  'the time of an event edited': {
    change: (db, at) =>
      sql`UPDATE audit_events SET created_at = created_at + 1 WHERE id = ${eventAt(at)}`.execute(db),
    index: at => at,
  },
  'the details of an event taken away': {
    change: (db, at) => sql`UPDATE audit_events SET details = NULL WHERE id = ${eventAt(at)}`.execute(db),
    index: at => at,
  },
  'the details of an event bent': {
    change: (db, at) =>
      sql`UPDATE audit_events SET details = ${Buffer.from('04ff', 'hex')} WHERE id = ${eventAt(at)}`.execute(
        db,
      ),
    index: at => at,
  },
  'a commitment to content put in': {
    change: (db, at) =>
      sql`UPDATE audit_events SET commitment = ${Buffer.alloc(32)} WHERE id = ${eventAt(at)}`.execute(db),
    index: at => at,
  },
  'an event given to another user': {
    change: (db, at) => sql`UPDATE audit_events SET user_id = 'eve' WHERE id = ${eventAt(at)}`.execute(db),
    index: at => at,
  },
  'an event deleted': {
    change: (db, at) => sql`DELETE FROM audit_events WHERE id = ${eventAt(at)}`.execute(db),
    index: at => at,
  },
  'an event inserted': {
    change: db =>
      sql`INSERT INTO audit_events (id, user_id, actor, action, category, severity, target, outcome, details, commitment, created_at)
        SELECT 'evt_7zzzzzzzzzzzzzzzzzzzzzzzzz', user_id, actor, action, category, severity, target, outcome, NULL, commitment, created_at
        FROM audit_events LIMIT 1`.execute(db),
  },
  'an entry taken out': {
    change: (db, at) => sql`DELETE FROM audit_log WHERE leaf_index = ${at}`.execute(db),
    index: at => at,
  },
  'an entry and its event taken out': {
    async change(db, at) {
      await sql`DELETE FROM audit_events WHERE id = ${eventAt(at)}`.execute(db)
      await sql`DELETE FROM audit_log WHERE leaf_index = ${at}`.execute(db)
    },
    index: at => at,
  },
  'two entries swapped': {
    async change(db, at) {
      await sql`UPDATE audit_log SET leaf_index = -1 WHERE leaf_index = ${at}`.execute(db)
      await sql`UPDATE audit_log SET leaf_index = ${at} WHERE leaf_index = ${at + 1}`.execute(db)
      await sql`UPDATE audit_log SET leaf_index = ${at + 1} WHERE leaf_index = -1`.execute(db)
    },
  },
  'an entry put before the first': {
    change: db =>
      sql`INSERT INTO audit_log (leaf_index, event_id, user_id, action, category, severity, salt, commitment)
        SELECT -1, 'evt_no', user_id, action, category, severity, salt, commitment FROM audit_log WHERE leaf_index = 0`.execute(
        db,
      ),
  },
  'an entry put behind the last': {
    change: db =>
      sql`INSERT INTO audit_log (leaf_index, event_id, user_id, action, category, severity, salt, commitment)
        SELECT ${count}, 'evt_no', user_id, action, category, severity, salt, commitment FROM audit_log WHERE leaf_index = 0`.execute(
        db,
      ),
    index: () => count,
  },
  'the end cut off': {
    change: (db, at) => sql`DELETE FROM audit_log WHERE leaf_index >= ${at}`.execute(db),
  },
  'an entry listed under another action': {
    change: (db, at) => sql`UPDATE audit_log SET action = 'harmless' WHERE leaf_index = ${at}`.execute(db),
    index: at => at,
  },
  'a salt changed': {
    change: (db, at) =>
      sql`UPDATE audit_log SET salt = ${Buffer.alloc(16)} WHERE leaf_index = ${at}`.execute(db),
    index: at => at,
  },
  'an event rewritten with its commitment': {
    async change(db, at, stele) {
      await sql`UPDATE audit_events SET actor = 'mallory' WHERE id = ${eventAt(at)}`.execute(db)
      const rows = await rowsOf(stele, 'audit_events')
      const [row] = rows.filter(({ actor }) => actor === 'mallory')
      if (row === undefined) throw new Error('there is no such event')
      const { salt, commitment } = leafOf(row)
      await sql`UPDATE audit_log SET salt = ${salt}, commitment = ${commitment} WHERE leaf_index = ${at}`.execute(
        db,
      )
    },
  },
  'a tile bent': {
    change: db => sql`UPDATE audit_tiles SET hashes = ${Buffer.alloc(32)} WHERE level = 1`.execute(db),
  },
  'a tile taken out': { change: db => sql`DELETE FROM audit_tiles WHERE level = 1`.execute(db) },
  'a tile put in': {
    change: db =>
      db
        .insertInto('audit_tiles')
        .values({ level: 7, tile: 0, hashes: Buffer.alloc(32) })
        .execute(),
  },
  'a checkpoint bent': {
    change: db =>
      sql`UPDATE audit_checkpoints SET note = replace(note, '— ', '— x') WHERE tree_size = (SELECT min(tree_size) FROM audit_checkpoints)`.execute(
        db,
      ),
  },
  'the root beside a checkpoint bent': {
    change: db =>
      sql`UPDATE audit_checkpoints SET root = ${Buffer.alloc(32)} WHERE tree_size = (SELECT min(tree_size) FROM audit_checkpoints)`.execute(
        db,
      ),
  },
  'a checkpoint put before the first': {
    change: db =>
      sql`INSERT INTO audit_checkpoints (tree_size, root, note, created_at) SELECT -5, root, note, created_at FROM audit_checkpoints LIMIT 1`.execute(
        db,
      ),
  },
  'the newest checkpoint taken out': {
    change: db => sql`DELETE FROM audit_checkpoints WHERE tree_size = ${count}`.execute(db),
  },
  'all checkpoints taken out': { change: db => sql`DELETE FROM audit_checkpoints`.execute(db) },
  'the log emptied': {
    async change(db) {
      for (const table of ['audit_log', 'audit_tiles', 'audit_checkpoints'] as const)
        await db.deleteFrom(table).execute()
    },
  },
  'a sum of the statistics bent': {
    change: db =>
      sql`UPDATE audit_counts SET events = events - 1 WHERE action = 'app.denied' AND severity = 'info'`.execute(
        db,
      ),
  },
  'a sum of the statistics taken out': {
    change: db => sql`DELETE FROM audit_counts WHERE action = 'app.denied'`.execute(db),
  },
  'a sum of the statistics put in': {
    change: db =>
      db
        .insertInto('audit_counts')
        .values({
          day: '2026-01-01',
          action: 'app.made_up',
          category: 'general',
          severity: 'info',
          events: 0,
        })
        .execute(),
  },
  'what waits replaced': {
    change: db =>
      db
        .insertInto('audit_queue')
        .values({ id: 'q', leaves: Buffer.from('nothing') })
        .execute(),
  },
  'everything rewritten and signed with another key': {
    change: (db, at, stele) => rewriteAll(db, at, stele, { keepKey: false }),
  },
  'everything rewritten and signed with another key that is said to have been one': {
    change: (db, at, stele) => rewriteAll(db, at, stele, { keepKey: true }),
  },
}

/** What whoever has the database, but not the master key, can do at most. */
async function rewriteAll(
  db: Kysely<Tables>,
  at: number,
  stele: Stele,
  { keepKey }: { readonly keepKey: boolean },
): Promise<void> {
  const log = await db.selectFrom('audit_log').selectAll().orderBy('leaf_index').execute()
  const known = new Map((await rowsOf(stele, 'audit_events')).map(row => [row.id, row]))
  const [key] = await db.selectFrom('audit_keys').selectAll().execute()
  const origin = key?.vkey.split('+')[0] ?? ''
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  for (const table of ['audit_tiles', 'audit_checkpoints'] as const) await db.deleteFrom(table).execute()
  if (!keepKey) await db.deleteFrom('audit_keys').execute()
  const leaves: Buffer[] = []
  const frontier = new Frontier()
  for (const entry of log) {
    let { commitment } = entry
    if (entry.leaf_index === at) {
      const event = known.get(entry.event_id)
      if (event === undefined) throw new Error('there is no such event')
      const leaf = leafOf({ ...event, actor: 'mallory' })
      commitment = leaf.commitment
      await sql`UPDATE audit_events SET actor = 'mallory' WHERE id = ${event.id}`.execute(db)
      await sql`UPDATE audit_log SET salt = ${leaf.salt}, commitment = ${commitment} WHERE leaf_index = ${at}`.execute(
        db,
      )
    }
    leaves.push(leafHash(logEntry(entry.event_id, commitment)))
    frontier.append(leaves.at(-1) ?? Buffer.alloc(32))
  }
  for (const { level, tile, hashes } of appendToTiles(0, () => Buffer.alloc(0), leaves))
    await db.insertInto('audit_tiles').values({ level, tile, hashes }).execute()
  const root = frontier.root()
  const note = signNote(checkpointText({ origin, size: frontier.size, root }), [{ name: origin, privateKey }])
  await db
    .insertInto('audit_checkpoints')
    .values({ tree_size: frontier.size, root, note, created_at: 1 })
    .execute()
  const id = keyIdOf(origin, publicKey)
  await db
    .insertInto('audit_keys')
    .values({ id, vkey: formatVkey(origin, publicKey), created_at: 1, retired_at: keepKey ? 2 : null })
    .execute()
}

/** Undoes what was done. */
class RollBack extends Error {}

export function auditMutationsSuite(bed: Bed): void {
  test('every change of the tables is found, and the entry is named', async () => {
    const place = await bed.place()
    const stele = await place.stele({ audit: { sequence: false } })
    const sequencing = await place.stele()
    await noteEvents(sequencing, count, 3)
    await sequencing.close()
    const { verifyLog } = await import('../../src/audit/verify/store.ts')
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: count })
    const { kysely } = stele.database
    await dropGuards(stele.database)
    for (const [name, { change, index }] of Object.entries(changes)) {
      for (const at of name.startsWith('everything') ? [7] : [1, 257]) {
        const changed = kysely.transaction().execute(async tx => {
          const seen = { ...stele.database, kysely: tx as unknown as typeof kysely }
          await change(tx, at, { ...stele, database: seen })
          // In the transaction that is undone afterwards, which is its snapshot.
          const verdict = await verifyLog({ ...seen, snapshot: work => work(tx) })
          expect(verdict.verified, `${name} ${at}`).toBe(false)
          if (index !== undefined) expect(verdict.fault?.index, `${name} ${at}`).toBe(index(at))
          throw new RollBack()
        })
        await expect(changed).rejects.toThrow(RollBack)
      }
    }
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: count })
  })

  test('an older copy of the log is told from it by a kept checkpoint', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await noteEvents(stele, 20)
    const { checkpoint = '' } = await stele.audit.verify()
    const older = await (await bed.place()).stele()
    await noteEvents(older, 10)
    const keys = (await stele.auditLog.keys()).map(({ vkey }) => vkey)
    expect(await older.audit.verify({ keys, checkpoints: [checkpoint] })).toMatchObject({ verified: false })
    for (const incremental of [false, true]) {
      const { verified, fault } = await older.audit.verify({
        keys: [...keys, ...(await older.auditLog.keys()).map(({ vkey }) => vkey)],
        checkpoints: [checkpoint],
        incremental,
      })
      expect(verified).toBe(false)
      expect(fault?.reason).toMatch(/only 10|of the log/)
    }
  })
}
