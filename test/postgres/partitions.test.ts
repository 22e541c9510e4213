import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { migrateUp } from '../../src/db/migrate.ts'
import { lowestIdAt, newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  reproduced,
  user,
} from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'

const tables = ['audit_events', 'llm_requests', 'llm_responses', 'messages'] as const

/** As partitions are named: 2026_01. */
function monthName(offset: number, from = new Date()): string {
  const first = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + offset))
  return first.toISOString().slice(0, 7).replace('-', '_')
}

test('migrating makes the partitions of last month, this one and three ahead, and one for the rest', async () => {
  const stele = await (await postgresPlace()).stele()
  const months = [-1, 0, 1, 2, 3].map(offset => monthName(offset))
  const expected = tables.flatMap(table => [...months, 'default'].map(name => `${table}_${name}`))
  expect(await partitions(stele)).toEqual(expected.sort())
})

test('what is recorded now lies in the partition of this month', async () => {
  const stele = await (await postgresPlace()).stele()
  await exchange(stele, [user('q')], 'a')
  for (const table of tables)
    expect(await whereRowsLie(stele, table), table).toEqual([`${table}_${monthName(0)}`])
  expect(await strayFinding(stele)).toMatchObject({ value: '0', ok: true })
})

test('partitions of another time are made when asked for, once, even by two at once', async () => {
  const place = await postgresPlace()
  const databases = [place.database(), place.database()]
  await migrateUp(place.database())
  const time = Date.UTC(2031, 11, 15)
  const made = await Promise.all(databases.map(database => database.ensureStorage(time)))
  expect(made.map(names => names.length).sort((a, b) => a - b)).toEqual([0, 20])
  expect(made.flat()).toContain('messages_2032_01')
  expect(await databases[0]?.ensureStorage(time)).toEqual([])
})

test('a row beyond the partitions is kept in the default one, found, and reported', async () => {
  const stele = await (await postgresPlace()).stele()
  const callId = lowestIdAt('call', Date.UTC(2035, 5, 15))
  const request = chatBody([user('q')])
  const call = await begin(stele, request, { callId })
  await stele.recorder.settle(call, completed(completionBody('a')))
  expect(await whereRowsLie(stele, 'llm_requests')).toEqual(['llm_requests_default'])
  expect(await reproduced(stele, callId)).toEqual({ request, response: completionBody('a') })
  expect(await strayFinding(stele)).toMatchObject({ value: '2', ok: false })
})

test('strays move into their partition when it is made, and nothing else does', async () => {
  const stele = await (await postgresPlace()).stele()
  const boundaries = [
    Date.UTC(2035, 5, 1) - 1,
    Date.UTC(2035, 5, 1),
    Date.UTC(2035, 6, 1) - 1,
    Date.UTC(2037, 0, 1),
  ]
  const requests = boundaries.map((time, index) => ({
    callId: lowestIdAt('call', time),
    body: chatBody([user(`q${index}`)]),
  }))
  for (const { callId, body } of requests) {
    const call = await begin(stele, body, { callId })
    await stele.recorder.settle(call, completed(completionBody('a')))
  }
  await exchange(stele, [user('now')], 'a')
  await stele.database.ensureStorage(Date.UTC(2035, 5, 10))
  const lying = await sql<{ id: string; place: string }>`
    SELECT id, tableoid::regclass::text AS place FROM llm_requests WHERE id > ${lowestIdAt('call', Date.UTC(2034, 0, 1))} ORDER BY id`.execute(
    stele.database.kysely,
  )
  expect(lying.rows.map(row => row.place)).toEqual([
    'llm_requests_2035_05',
    'llm_requests_2035_06',
    'llm_requests_2035_06',
    'llm_requests_default',
  ])
  expect(await countOf(stele, 'llm_requests')).toBe(5)
  expect(await countOf(stele, 'llm_responses')).toBe(5)
  for (const { callId, body } of requests) expect((await reproduced(stele, callId)).request).toBe(body)
  expect(await strayFinding(stele)).toMatchObject({ value: '2' })
})

test('a conversation goes on across the end of a month', async () => {
  const stele = await (await postgresPlace()).stele()
  const first = await exchange(stele, [user('q')], 'a', {
    callId: lowestIdAt('call', Date.now() - 40 * 86_400_000),
  })
  const next = await exchange(stele, [user('q'), assistant('a'), user('more')], 'b', {
    callId: newId('call'),
  })
  expect(next.call.conversationId).toBe(first.call.conversationId)
  expect(await reproduced(stele, next.call.callId)).toEqual({
    request: next.request,
    response: next.response,
  })
})

test('recording goes on while partitions are made', async () => {
  const stele = await (await postgresPlace()).stele()
  const times = Array.from({ length: 6 }, (_, index) => Date.UTC(2040 + index, 3, 1))
  const [calls] = await Promise.all([
    Promise.all(Array.from({ length: 100 }, (_, index) => exchange(stele, [user(`q${index}`)], 'a'))),
    ...times.map(time => stele.database.ensureStorage(time)),
  ])
  expect(calls).toHaveLength(100)
  expect(await countOf(stele, 'llm_responses')).toBe(100)
})

async function partitions(stele: Stele): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relispartition AND c.relkind = 'r' AND n.nspname = current_schema() ORDER BY c.relname COLLATE "C"`.execute(
    stele.database.kysely,
  )
  return rows.map(row => row.name)
}

async function whereRowsLie(stele: Stele, table: (typeof tables)[number]): Promise<string[]> {
  const { rows } = await sql<{ place: string }>`
    SELECT DISTINCT tableoid::regclass::text AS place FROM ${sql.table(table)} ORDER BY 1`.execute(
    stele.database.kysely,
  )
  return rows.map(row => row.place)
}

async function strayFinding(stele: Stele): Promise<unknown> {
  return (await stele.database.examine()).find(finding => finding.name.includes('default partitions'))
}
