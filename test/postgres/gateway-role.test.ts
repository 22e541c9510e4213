import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { lowestIdAt } from '../../src/ids.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, settle, user } from '../harness/chat.ts'
import { failure } from '../harness/errors.ts'
import { rolePlace } from '../harness/gateway-role.ts'
import { liveEverywhere } from '../harness/lives.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

const day = 24 * 3_600_000

const run = ({ database }: { readonly database: Pick<Stele['database'], 'kysely'> }, statement: string) =>
  sql.raw(statement).execute(database.kysely)

test('a gateway does all of its work as a role that owns nothing', async () => {
  const { open } = await rolePlace()
  const stele = await open({ retention: { contentDays: 30, metadataDays: 60 } })
  await stele.recorder.start()
  const { conversationId } = await liveEverywhere(stele, 'ada')
  await liveEverywhere(stele, 'bob')
  await stele.limits.set({ user: 'ada' }, { requestsPerDay: 100 })
  await exchange(stele, [user('counted')], 'a', { userId: 'ada' })
  await rotateDataKey(stele, 'ada')
  await stele.conversations.purge('ada', conversationId)
  const old = await exchange(stele, [user('of old')], 'a', {
    userId: 'cleo',
    createdAt: Date.now() - 90 * day,
  })
  const forgotten = await exchange(stele, [user('of late')], 'a', {
    userId: 'cleo',
    createdAt: Date.now() - 45 * day,
  })
  await stele.retention.run()
  expect(await stele.calls.find(old.call.callId)).toBeUndefined()
  expect(await stele.calls.find(forgotten.call.callId)).toBeDefined()
  await failure('content_not_kept', stele.calls.exactRequest('cleo', forgotten.call.callId))
  await stele.auditLog.sequence()
  await stele.auditLog.rotateKey()
  await stele.erase('bob')
  await stele.auditLog.sequence()
  expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 0 })
  expect((await stele.users.get('bob'))?.status).toBe('erased')
  const findings = await stele.database.examine()
  expect(findings.filter(({ ok }) => !ok)).toEqual([])
})

test('what no gateway does, the server refuses to its role', async () => {
  const { open, role } = await rolePlace()
  const stele = await open()
  await exchange(stele, [user('q')], 'a')
  const { rows } = await sql<{ name: string }>`
    SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass('audit_events') ORDER BY 1`.execute(
    stele.database.kysely,
  )
  const partition = rows[0]?.name ?? ''
  for (const statement of [
    'UPDATE audit_events SET actor = actor',
    'DELETE FROM audit_events',
    'UPDATE audit_log SET salt = salt',
    'DELETE FROM audit_log',
    'DELETE FROM audit_tiles',
    'DELETE FROM audit_checkpoints',
    'UPDATE audit_keys SET vkey = vkey',
    'TRUNCATE audit_events',
    `DELETE FROM ${partition}`,
    'UPDATE llm_requests SET created_at = 1',
    'UPDATE llm_responses SET input_tokens = 1',
    'TRUNCATE llm_responses',
    'DELETE FROM users',
    "UPDATE document_types SET definition = ''",
    'DELETE FROM stele_migrations',
    'ALTER TABLE audit_events DISABLE TRIGGER ALL',
    'DROP TRIGGER audit_events_guard_update ON audit_events',
    'ALTER TABLE llm_requests ADD COLUMN x text',
    `ALTER TABLE audit_events DETACH PARTITION ${partition}`,
    'DROP TABLE users',
    'CREATE TABLE mine (x text)',
    'CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
    'CREATE OR REPLACE FUNCTION stele_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
    'SET session_replication_role = replica',
    `ALTER ROLE ${role} SUPERUSER`,
  ])
    await expect(run(stele, statement), statement).rejects.toThrow(/permission denied|must be owner/)
  // What it may do, it may do for a reason alone.
  await expect(run(stele, 'UPDATE llm_requests SET body = NULL')).rejects.toThrow('stays as it is')
})

test('where it may not make partitions it says so and records on, and the owner puts all in its place', async () => {
  const { open, owner } = await rolePlace()
  const stele = await open()
  const time = Date.UTC(2043, 2, 15)
  const error = await failure('partitions_missing', stele.database.ensureStorage(time))
  expect(error.message).toContain('audit_events_2043_03')
  const callId = lowestIdAt('call', time)
  const call = await begin(stele, chatBody([user('q')]), { callId })
  await settle(stele, call, completed(completionBody('a')))
  await stele.database.ensureStorageFor('llm_requests', await rowsOf(stele, 'llm_requests'))
  expect(await countOf(stele, 'llm_responses')).toBe(1)
  const strays = async () =>
    (await stele.database.examine()).find(({ name }) => name === 'rows in default partitions')?.value
  expect(await strays()).not.toBe('0')
  await owner.database().ensureStorage(time)
  expect(
    (await run({ database: owner.database() }, 'SELECT request_id FROM llm_responses_2043_03')).rows,
  ).toHaveLength(1)
  await exchange(stele, [user('again')], 'a')
})

test('it starts where partitions are missing, and tells whoever listens', async () => {
  const { open, owner } = await rolePlace()
  const { schema } = owner
  const months = await sql<{ name: string }>`
    SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = to_regclass(${`${schema}.messages`}) ORDER BY 1`.execute(
    owner.database().kysely,
  )
  const last = months.rows.filter(({ name }) => /\d$/.test(name)).at(-1)?.name ?? ''
  await run({ database: owner.database() }, `DROP TABLE ${last}`)
  const errors: unknown[] = []
  const stele = await open({ onError: error => void errors.push(error) })
  await exchange(stele, [user('q')], 'a')
  expect(errors).toMatchObject([{ code: 'partitions_missing' }])
})

test('months that have expired go row by row where they may not be dropped', async () => {
  const { open } = await rolePlace()
  const stele = await open({ retention: { metadataDays: 30 } })
  expect(await stele.database.storageMonths(Date.now() + 400 * day, Date.now() + 800 * day)).toEqual([])
})
