import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Database } from '../../src/db/database.ts'
import { lowestIdAt } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, exchange, user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'

const run = ({ database }: Pick<Stele, 'database'>, statement: string) =>
  sql.raw(statement).execute(database.kysely)

const guarded = ['llm_requests', 'llm_responses', 'audit_events'] as const

async function partitionsOf({ kysely }: Database, table: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass(${table}) ORDER BY 1`.execute(
    kysely,
  )
  return rows.map(({ name }) => name)
}

const finding = async ({ database }: Stele) =>
  (await database.examine()).find(({ name }) => name === 'partitions without guards')

test('no table or partition is truncated, and none loses or changes rows when it is named itself', async () => {
  const stele = await (await postgresPlace()).stele()
  await exchange(stele, [user('q')], 'a')
  await stele.database.ensureStorage(Date.UTC(2041, 3))
  for (const table of guarded) {
    const partitions = await partitionsOf(stele.database, table)
    expect(partitions).toContain(`${table}_2041_04`)
    for (const name of [table, ...partitions])
      await expect(run(stele, `TRUNCATE ${name}`), name).rejects.toThrow(`in ${table} stays as it is`)
    for (const name of partitions) {
      const { rows } = await sql`SELECT 1 FROM ${sql.table(name)} LIMIT 1`.execute(stele.database.kysely)
      if (rows.length === 0) continue
      for (const statement of [`UPDATE ${name} SET created_at = 1`, `DELETE FROM ${name}`])
        await expect(run(stele, statement), statement).rejects.toThrow(`in ${table} stays as it is`)
    }
    expect(await countOf(stele, table)).toBeGreaterThan(0)
  }
})

test('rows that strayed into the default partition still move to their month', async () => {
  const stele = await (await postgresPlace()).stele()
  const time = Date.UTC(2042, 5, 15)
  await begin(stele, chatBody([user('q')]), { callId: lowestIdAt('call', time) })
  expect(await countOf(stele, 'llm_requests')).toBe(1)
  await stele.database.ensureStorage(time)
  const { rows } = await run(stele, 'SELECT id FROM llm_requests_2042_06')
  expect(rows).toHaveLength(1)
  await expect(run(stele, 'DELETE FROM llm_requests_2042_06')).rejects.toThrow('stays as it is')
})

test('a guard that is disabled, gone or hollow is found', async () => {
  const stele = await (await postgresPlace()).stele()
  expect(await finding(stele)).toMatchObject({ value: '0', ok: true })
  const [partition = ''] = await partitionsOf(stele.database, 'llm_responses')
  await run(stele, `ALTER TABLE ${partition} DISABLE TRIGGER llm_responses_guard_delete`)
  expect(await finding(stele)).toMatchObject({ value: partition, ok: false })
  await run(stele, `ALTER TABLE ${partition} ENABLE TRIGGER llm_responses_guard_delete`)
  await run(stele, `DROP TRIGGER llm_responses_guard_truncate ON ${partition}`)
  expect(await finding(stele)).toMatchObject({ value: partition, ok: false })

  const before = await stele.database.describeSchema()
  const changed = async (statement: string): Promise<string[]> => {
    await run(stele, statement)
    const known = new Set(before)
    return (await stele.database.describeSchema()).filter(line => !known.has(line))
  }
  const trigger =
    'trigger CREATE TRIGGER audit_events_guard_update BEFORE UPDATE ON audit_events FOR EACH ROW'
  expect(await changed('ALTER TABLE audit_events DISABLE TRIGGER audit_events_guard_update')).toEqual([
    `${trigger} EXECUTE FUNCTION stele_refuse_change('audit_events') (disabled)`,
  ])
  const hollow =
    'CREATE OR REPLACE FUNCTION stele_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$'
  expect(await changed(hollow)).toContain('function stele_refuse_change: BEGIN RETURN NEW; END')
})
