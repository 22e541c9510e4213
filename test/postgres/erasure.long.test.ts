import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { expect, inject, test } from 'vitest'
import { spoolsIn } from '../../src/recorder/spool-paths.ts'
import type { Stele } from '../../src/stele.ts'
import { filesIn, holding, keyBytesOf } from '../harness/bytes.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { onServer, type Place, postgresPlace } from '../harness/databases.ts'
import { factOf, liveEverywhere, secretOf } from '../harness/lives.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** All of a schema, table by table, as the server writes it out: every value, bytes in hexadecimal and as they are. */
async function contentsOf({ schema }: Place): Promise<{ path: string; bytes: Buffer }[]> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  await client.connect()
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = $1`,
      [schema],
    )
    const found: { path: string; bytes: Buffer }[] = []
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`)
      const text = rows.map(({ row }) => row).join('\n')
      const raw = [...text.matchAll(/\\x([0-9a-f]+)/g)].map(([, hex = '']) => Buffer.from(hex, 'hex'))
      found.push({ path: name, bytes: Buffer.concat([Buffer.from(text), ...raw]) })
    }
    return found
  } finally {
    await client.end()
  }
}

test('no table has a byte of an erased user’s words, names or keys', async () => {
  const place = await postgresPlace()
  const stele = await place.stele()
  await liveEverywhere(stele, 'ada')
  const bob = await liveEverywhere(stele, 'bob')
  const keys = { ada: await keyBytesOf(stele, place, 'ada'), bob: await keyBytesOf(stele, place, 'bob') }
  expect(holding(await contentsOf(place), keys.ada)).toHaveLength(1)
  expect(holding(await contentsOf(place), [factOf('ada')]).length).toBeGreaterThan(2)
  expect(await stele.erase('ada')).toMatchObject({ remains: [], isScrubbed: true })
  const after = await contentsOf(place)
  expect(holding(after, [secretOf('ada'), factOf('ada'), ...keys.ada])).toEqual([])
  expect(holding(after, keys.bob)).toHaveLength(1)
  expect((await stele.calls.exactRequest('bob', bob.callId)).toString()).toContain(secretOf('bob'))
})

/** The files in which the server keeps a schema's tables and indexes now, and those of its log of writes. */
async function filesOf({ schema }: Place): Promise<{ tables: Files; log: Files }> {
  const folder = inject('postgresFolder')
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  await client.connect()
  try {
    await client.query('CHECKPOINT')
    const { rows } = await client.query<{ path: string }>(
      `SELECT pg_relation_filepath(one) AS path FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         LATERAL unnest(ARRAY[c.oid, nullif(c.reltoastrelid, 0)]) AS one
       WHERE n.nspname = $1 AND c.relkind IN ('r', 'i') AND one IS NOT NULL`,
      [schema],
    )
    const tables = await Promise.all(
      rows.map(async ({ path }) => ({ path, bytes: await readFile(join(folder, path)) })),
    )
    return { tables, log: await filesIn([join(folder, 'pg_wal')]) }
  } finally {
    await client.end()
  }
}

type Files = { path: string; bytes: Buffer }[]

test('no file of the server ever has what was said, and its tables have no byte of the keys once they are written anew', async () => {
  const place = await postgresPlace()
  const stele = await place.stele()
  await liveEverywhere(stele, 'ada')
  const bob = await liveEverywhere(stele, 'bob')
  const keys = { ada: await keyBytesOf(stele, place, 'ada'), bob: await keyBytesOf(stele, place, 'bob') }
  const before = await filesOf(place)
  // What is looked for is there to be found.
  expect(holding(before.tables, keys.ada)).toHaveLength(1)
  expect(holding(before.tables, [factOf('ada')]).length).toBeGreaterThan(0)
  expect(holding([...before.tables, ...before.log], [secretOf('ada')])).toEqual([])
  await stele.erase('ada')
  // A dead row is copied too while a transaction from before its end goes on anywhere in the database: in another test, here.
  const withKeys = async (): Promise<unknown> => {
    await onServer(`VACUUM FULL ${place.schema}.data_keys`)
    return holding((await filesOf(place)).tables, keys.ada)
  }
  await expect.poll(withKeys).toEqual([])
  const after = await filesOf(place)
  expect(holding(after.tables, keys.bob)).toHaveLength(1)
  expect(holding([...after.tables, ...after.log], [secretOf('ada')])).toEqual([])
  expect((await stele.calls.exactRequest('bob', bob.callId)).toString()).toContain(secretOf('bob'))
})

async function spoolSomeCalls(stele: Stele): Promise<void> {
  const { recorder } = stele
  const text = (word: string) => chatBody([user(`${secretOf('ada')} ${word}`)], { store: true })
  const call = await recorder.begin({ userId: 'ada', provider: 'test', body: text('whole') })
  await recorder.settle(call, completed(completionBody(`${secretOf('ada')} told`)))
  await recorder.begin({ userId: 'ada', provider: 'test', body: text('open') })
  const bobs = await recorder.begin({ userId: 'bob', provider: 'test', body: chatBody([user('of bob')]) })
  await recorder.settle(bobs, completed(completionBody('to bob')))
}

async function expectNothingCameBack(witness: Stele, place: Place): Promise<void> {
  expect(await witness.verifyErasure('ada')).toEqual([])
  expect((await rowsOf(witness, 'messages')).map(({ user_id }) => user_id)).toEqual(['bob', 'bob'])
  const ofAda = (await rowsOf(witness, 'llm_requests')).filter(({ user_id }) => user_id === 'ada')
  expect(ofAda.length).toBeGreaterThanOrEqual(4)
  for (const row of ofAda) expect(row.prompt_hash).toBe('')
  expect(await countOf(witness, 'stored_completions')).toBe(0)
  expect((await rowsOf(witness, 'users')).find(({ id }) => id === 'ada')?.status).toBe('erased')
  expect(holding(await contentsOf(place), [secretOf('ada')])).toEqual([])
}

test('what waits in the spool of another process is recorded without content when it is drained', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl })
  const witness = await place.stele({ spoolFolder: `${place.spoolFolder}-of-another` })
  await exchange(stele, [user('before')], 'yes', { userId: 'ada' })
  const late = await begin(stele, chatBody([user(`${secretOf('ada')} late`)]), { userId: 'ada' })
  link.cut()
  await spoolSomeCalls(stele)
  await stele.recorder.settle(late, completed(completionBody(secretOf('ada'))))
  await witness.erase('ada')
  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  await expect.poll(() => spoolsIn(place.spoolFolder)).toEqual([])
  await expectNothingCameBack(witness, place)
})

test('spools that dead processes have left are blanked at once', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl })
  const witness = await place.stele()
  await exchange(stele, [user('before')], 'yes', { userId: 'ada' })
  await exchange(stele, [user('before too')], 'yes', { userId: 'ada' })
  link.cut()
  await spoolSomeCalls(stele)
  await stele.close()
  link.restore()
  expect(await spoolsIn(place.spoolFolder)).toHaveLength(1)
  expect((await witness.erase('ada')).spooled).toBe(3)
  await witness.recorder.drainSpools()
  expect(await spoolsIn(place.spoolFolder)).toEqual([])
  await expectNothingCameBack(witness, place)
})
