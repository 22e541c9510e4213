import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { changeReasons } from '../../src/db/guards.ts'
import type { Stele } from '../../src/stele.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { storedRowsOf } from '../harness/rows.ts'

const guarded = ['llm_requests', 'llm_responses', 'audit_events'] as const

/** A store with a row in every table of calls. */
async function filled(bed: Bed): Promise<Stele> {
  const stele = await (await bed.place()).stele()
  await exchange(stele, [user('q')], 'a')
  return stele
}

async function rows(stele: Stele): Promise<unknown[]> {
  return Promise.all(guarded.map(table => storedRowsOf(stele.database, table)))
}

const run = (stele: Stele, statement: string): Promise<unknown> =>
  sql.raw(statement).execute(stele.database.kysely)

/** The rows of the log and what goes with it are made here: they stay as they are whatever they say. */
const logRows = [
  "INSERT INTO audit_log (leaf_index, event_id, user_id, action, category, severity, salt, commitment) VALUES (900, 'audit_x', 'ada', 'a', 'b', 'c', 'x', 'y')",
  "INSERT INTO audit_tiles (level, tile, hashes) VALUES (60, 0, 'abcd')",
  "INSERT INTO audit_checkpoints (tree_size, root, note, created_at) VALUES (900, 'r', 'n', 1)",
  "INSERT INTO audit_keys (id, vkey, created_at, retired_at) VALUES ('k', 'v', 1, NULL)",
] as const

/** Rows on record that the database itself refuses to change. */
export function guardsSuite(bed: Bed): void {
  test.each(guarded)('rows of %s are neither changed nor removed', async table => {
    const stele = await filled(bed)
    const before = await rows(stele)
    for (const statement of [
      `UPDATE ${table} SET created_at = created_at + 1`,
      `UPDATE ${table} SET user_id = 'eve'`,
      `DELETE FROM ${table}`,
    ])
      await expect(run(stele, statement), statement).rejects.toThrow(
        `what is on record in ${table} stays as it is`,
      )
    expect(await rows(stele)).toEqual(before)
  })

  test('what is logged stays too; a tile may grow and a key may be retired, once', async () => {
    const stele = await filled(bed)
    for (const statement of logRows) await run(stele, statement)
    for (const statement of [
      "UPDATE audit_log SET event_id = 'audit_y' WHERE leaf_index = 900",
      'DELETE FROM audit_log',
      "UPDATE audit_checkpoints SET note = 'other' WHERE tree_size = 900",
      'DELETE FROM audit_checkpoints WHERE tree_size = 900',
      "UPDATE audit_tiles SET hashes = 'abcx' WHERE level = 60",
      "UPDATE audit_tiles SET hashes = 'abc' WHERE level = 60",
      "UPDATE audit_tiles SET hashes = 'xabcd' WHERE level = 60",
      'UPDATE audit_tiles SET tile = 1 WHERE level = 60',
      'DELETE FROM audit_tiles WHERE level = 60',
      "UPDATE audit_keys SET vkey = 'w' WHERE id = 'k'",
      "UPDATE audit_keys SET vkey = 'w', retired_at = 2 WHERE id = 'k'",
      "DELETE FROM audit_keys WHERE id = 'k'",
    ])
      await expect(run(stele, statement), statement).rejects.toThrow('stays as it is')
    await run(stele, "UPDATE audit_tiles SET hashes = 'abcdef' WHERE level = 60")
    await run(stele, "UPDATE audit_keys SET retired_at = 2 WHERE id = 'k'")
    for (const time of ['3', 'NULL'])
      await expect(run(stele, `UPDATE audit_keys SET retired_at = ${time} WHERE id = 'k'`)).rejects.toThrow(
        'stays as it is',
      )
  })

  test('no reason opens the record of events, and each other table only to what it needs', async () => {
    const stele = await filled(bed)
    const { database } = stele
    const allowed: string[] = []
    for (const table of guarded)
      for (const change of [`UPDATE ${table} SET created_at = created_at`, `DELETE FROM ${table}`])
        for (const reason of changeReasons) {
          const undone = new Error('undone')
          const outcome = await database.kysely
            .transaction()
            .execute(async tx => {
              await database.permit(tx, reason)
              await sql.raw(change).execute(tx)
              throw undone
            })
            .catch((error: unknown) => error)
          if (outcome === undone) allowed.push(`${change.slice(0, 6)} ${table} ${reason}`)
        }
    expect(allowed).toEqual([
      'UPDATE llm_requests retention',
      'UPDATE llm_requests erasure',
      'UPDATE llm_requests purge',
      'UPDATE llm_requests rotation',
      'DELETE llm_requests retention',
      'DELETE llm_requests storage',
      'DELETE llm_requests copy',
      'UPDATE llm_responses retention',
      'UPDATE llm_responses erasure',
      'UPDATE llm_responses purge',
      'UPDATE llm_responses rotation',
      'UPDATE llm_responses repricing',
      'UPDATE llm_responses choice',
      'DELETE llm_responses retention',
      'DELETE llm_responses recovery',
      'DELETE llm_responses storage',
      'DELETE llm_responses copy',
      'DELETE audit_events storage',
      'DELETE audit_events copy',
    ])
  })

  test('a permission ends with its transaction, committed or not, and is of no use outside of one', async () => {
    const stele = await filled(bed)
    const { database } = stele
    const change = 'UPDATE llm_responses SET latency_ms = 1'
    const refused = () => expect(run(stele, change)).rejects.toThrow('stays as it is')
    await database.kysely.transaction().execute(tx => database.permit(tx, 'retention'))
    await refused()
    await database.kysely
      .transaction()
      .execute(async tx => {
        await database.permit(tx, 'retention')
        throw new Error('broken off')
      })
      .catch(() => undefined)
    await refused()
    await database.batch(batch => batch.permit('retention'))
    await refused()
    await database.permit(database.kysely, 'retention')
    await refused()
    await database.batch(async batch => {
      await batch.permit('repricing')
      await batch.update('llm_responses', ['cost_nanousd'], ['user_id'], [])
    })
    await expect(
      database.batch(batch =>
        batch.update(
          'llm_responses',
          ['latency_ms'],
          ['status'],
          [{ set: { latency_ms: 1 }, match: { status: 'completed' } }],
        ),
      ),
    ).rejects.toThrow('stays as it is')
  })

  test('a guard that was dropped shows in the schema', async () => {
    const stele = await filled(bed)
    const before = await stele.database.describeSchema()
    const { guards } = stele.database.schemaTypes
    for (const statement of guards.remove('audit_events')) await run(stele, statement)
    const after = new Set(await stele.database.describeSchema())
    const missing = before.filter(line => !after.has(line))
    expect(missing.length).toBeGreaterThanOrEqual(3)
    expect(missing.every(line => line.includes('audit_events_guard_'))).toBe(true)
  })
}
