import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { exchange, reproduced, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'

/** The file of a store in which a call was made, opened by a program that is not Stele. */
async function opened() {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const { call, request } = await exchange(stele, [user('q')], 'a')
  const stranger = new DatabaseSync(place.databaseUrl.replace('sqlite:', ''))
  onTestFinished(() => stranger.close())
  return { stele, call, request, stranger }
}

const guarded = ['llm_requests', 'llm_responses', 'audit_events'] as const

test('another program reads and adds, and neither changes, removes nor replaces what is on record', async () => {
  const { stele, call, request, stranger } = await opened()
  for (const table of guarded) {
    const rows = () => stranger.prepare(`SELECT * FROM ${table}`).all()
    const before = rows()
    expect(before).not.toHaveLength(0)
    for (const statement of [
      `UPDATE ${table} SET created_at = 1`,
      `UPDATE OR REPLACE ${table} SET user_id = 'eve'`,
      `DELETE FROM ${table}`,
      `INSERT OR REPLACE INTO ${table} SELECT * FROM ${table}`,
      `REPLACE INTO ${table} SELECT * FROM ${table}`,
    ])
      expect(() => stranger.exec(statement), statement).toThrow(
        /stays as it is|no such function: stele_change_reason/,
      )
    expect(rows()).toEqual(before)
  }
  // A key that is there is refused as before; one that is not is taken.
  const [first] = stranger.prepare('SELECT * FROM audit_events').all()
  const columns = Object.keys(first ?? {})
  const insert = stranger.prepare(`INSERT INTO audit_events VALUES (${columns.map(() => '?').join(', ')})`)
  const put = (id: string) =>
    insert.run(...columns.map(column => (column === 'id' ? id : (first?.[column] ?? null))))
  expect(() => put(String(first?.['id']))).toThrow('stays as it is')
  expect(put('audit_other').changes).toBe(1)
  expect(await reproduced(stele, call.callId)).toMatchObject({ request })
})

test('guards keep nobody from writing the file anew, and come along', async () => {
  const { stranger } = await opened()
  stranger.exec(
    'VACUUM; ANALYZE; REINDEX; ALTER TABLE users ADD COLUMN note TEXT; PRAGMA wal_checkpoint(TRUNCATE)',
  )
  expect(stranger.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
  expect(() => stranger.exec('DELETE FROM llm_responses')).toThrow('stele_change_reason')
})
