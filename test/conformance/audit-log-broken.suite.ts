import { generateKeyPairSync } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { checkpointText, readCheckpoint } from '../../src/audit/checkpoint.ts'
import { doAuditStep } from '../../src/audit/log/do-step.ts'
import { signNote } from '../../src/audit/note.ts'
import { formatVkey, keyIdOf } from '../../src/audit/note-keys.ts'
import { SteleError } from '../../src/errors.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { dropGuards, withoutGuards } from '../harness/guards.ts'
import { provenLog } from '../harness/proven-log.ts'
import { storedRowsOf } from '../harness/rows.ts'

const note = (stele: Stele) =>
  stele.auditEvents.add({ userId: 'ada', by: operator, action: 'usage.repaired' })

type Change = (stele: Stele) => Promise<unknown>

const run =
  (statement: string): Change =>
  ({ database }) =>
    sql.raw(statement).execute(database.kysely)

/** As somebody does who has the database, and neither the master key nor what it wraps. */
const withOwnKey: Change = async ({ database: { kysely }, auditLog }) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const newest = await auditLog.latest()
  const checkpoint = readCheckpoint(newest?.note ?? '')
  const { origin } = checkpoint
  const signed = signNote(checkpointText(checkpoint), [{ name: origin, privateKey }])
  const key = { id: keyIdOf(origin, publicKey), vkey: formatVkey(origin, publicKey) }
  await kysely.updateTable('audit_keys').set({ retired_at: 1 }).execute()
  await kysely
    .insertInto('audit_keys')
    .values({ ...key, created_at: Date.now(), retired_at: null })
    .execute()
  await kysely
    .updateTable('audit_checkpoints')
    .set({ note: signed })
    .where('tree_size', '=', checkpoint.size)
    .execute()
}

const withOtherNote: Change = async ({ database: { kysely }, auditLog }) => {
  const note = (await auditLog.latest())?.note.replace('\n3\n', '\n4\n') ?? ''
  await kysely.updateTable('audit_checkpoints').set({ note }).where('tree_size', '=', 3).execute()
}

const withOtherHash: Change = async ({ database: { kysely }, auditLog }) => {
  const hashes = Uint8Array.from((await auditLog.tile(0, 0)) ?? [])
  hashes[0] = (hashes[0] ?? 0) ^ 1
  await kysely.updateTable('audit_tiles').set({ hashes }).execute()
}

const changes: [string, Change][] = [
  ['the newest checkpoint is gone', run('DELETE FROM audit_checkpoints WHERE tree_size = 3')],
  ['all checkpoints are gone', run('DELETE FROM audit_checkpoints')],
  ['a checkpoint says another size', run('UPDATE audit_checkpoints SET tree_size = 4 WHERE tree_size = 3')],
  ['the note of a checkpoint is another', withOtherNote],
  ['the last entry is gone', run('DELETE FROM audit_log WHERE leaf_index = 2')],
  ['all entries are gone', run('DELETE FROM audit_log')],
  [
    'an entry was added',
    run(
      "INSERT INTO audit_log SELECT 3, 'evt_x', user_id, action, category, severity, salt, commitment FROM audit_log WHERE leaf_index = 2",
    ),
  ],
  ['the last entry is of another event', run("UPDATE audit_log SET event_id = 'evt_x' WHERE leaf_index = 2")],
  ['a hash of the tree is another', withOtherHash],
  ['a tile is gone', run('DELETE FROM audit_tiles')],
  [
    'the queue holds what nobody wrote',
    run('UPDATE audit_queue SET leaves = (SELECT root FROM audit_checkpoints WHERE tree_size = 3)'),
  ],
  ['the key is gone', run('DELETE FROM audit_keys')],
  ['the private half of the key is gone', run("DELETE FROM secrets WHERE id LIKE 'audit-key:%'")],
  ['another key signs', withOwnKey],
]

export function auditLogBrokenSuite(bed: Bed): void {
  test.each(changes)('nothing is added when %s', async (_, change) => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    for (const count of [1, 2]) {
      for (let event = 0; event < count; event++) await note(stele)
      await stele.auditLog.sequence()
    }
    await note(stele)
    await dropGuards(stele.database)
    await change(stele)
    const before = await storedRowsOf(stele.database, 'audit_checkpoints')
    const entries = await storedRowsOf(stele.database, 'audit_log')
    // As a process does that has seen nothing of the log before.
    await failure('audit_log_broken', doAuditStep(stele.database, { limit: 10, published: [] }))
    expect(await storedRowsOf(stele.database, 'audit_checkpoints')).toEqual(before)
    expect(await storedRowsOf(stele.database, 'audit_log')).toEqual(entries)
    expect(await storedRowsOf(stele.database, 'audit_queue')).toHaveLength(1)
  })

  test('nothing is added to an older copy than what was published, nor to another log', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    const newest: { size: number; root: string }[] = []
    for (let turn = 0; turn < 3; turn++) {
      await note(stele)
      const { checkpoint } = await doAuditStep(stele.database, { limit: 10, published: [] })
      if (checkpoint !== undefined) newest.push(checkpoint)
    }
    await note(stele)
    const [first, second] = newest
    const step = (...published: { size: number; root: string }[]) =>
      doAuditStep(stele.database, { limit: 10, published })
    await failure('audit_log_broken', step({ size: 4, root: first?.root ?? '' }))
    await failure('audit_log_broken', step({ size: 2, root: first?.root ?? '' }))
    expect(
      await step({ size: 1, root: first?.root ?? '' }, { size: 2, root: second?.root ?? '' }),
    ).toMatchObject({
      sequenced: 1,
    })
    expect((await provenLog(stele)).checkpoints).toEqual([1, 2, 3, 4])
  })

  test('it says so once, tries now and then, and goes on once the log is as it was', async () => {
    const place = await bed.place()
    const errors: unknown[] = []
    const first = await place.stele({ audit: { sequence: false } })
    await note(first)
    await first.auditLog.sequence()
    const [kept] = await storedRowsOf(first.database, 'audit_tiles')
    await withoutGuards(first.database, () => sql`DELETE FROM audit_tiles`.execute(first.database.kysely))
    await note(first)
    const stele = await place.stele({ onError: error => errors.push(error) })
    await expect.poll(() => stele.auditLog.state().failure?.code, { timeout: 5_000 }).toBe('audit_log_broken')
    expect(errors).toHaveLength(1)
    expect(errors[0]).toBeInstanceOf(SteleError)
    expect(await stele.auditLog.latest()).toMatchObject({ size: 1 })
    if (kept !== undefined) await first.database.kysely.insertInto('audit_tiles').values(kept).execute()
    // With the event that says that it was held up.
    expect(await stele.auditLog.sequence()).toBe(2)
    expect(stele.auditLog.state().failure).toBeUndefined()
  })
}
