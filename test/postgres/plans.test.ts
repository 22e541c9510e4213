import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { parseDatabaseUrl } from '../../src/db/database-url.ts'
import { openWriterPool, type PostgresLocation } from '../../src/db/postgres/pools.ts'
import { Sockets } from '../../src/db/postgres/sockets.ts'
import { newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { idempotencyKeyStore } from '../../src/store/idempotency-keys.ts'
import { newConversationRow } from '../../src/store/new-rows.ts'
import { storedCompletionStore } from '../../src/store/stored-completions.ts'
import { assistant, begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { type Place, postgresPlace } from '../harness/databases.ts'
import { useLibrary } from '../harness/library.ts'
import { inBatch } from '../harness/rows.ts'

test('every statement of the recorder that looks for rows goes through an index, whatever the statistics say', async () => {
  const { place, statements } = await recordedPlace()
  const searching = statements.filter(
    statement =>
      statement.includes('unnest') &&
      /^(SELECT|UPDATE)/.test(statement) &&
      // Of a handful of rows the planner reads the index whole; a heartbeat comes now and then.
      !statement.includes('UPDATE instances '),
  )
  for (const table of [
    'messages',
    'conversations',
    'llm_requests',
    'llm_responses',
    'idempotency_keys',
    'stored_completions',
  ]) {
    expect(
      searching.some(statement => new RegExp(`(JOIN|FROM|UPDATE) ${table} t`).test(statement)),
      table,
    ).toBe(true)
  }
  for (const statement of searching) {
    const plan = await planOf(place, statement)
    expect(plan, statement).not.toMatch(/Seq Scan|Hash Join|Merge Join/)
    // An index that is read from end to end is no better than its table: each scan must look for something.
    const scans = plan.match(/Index (Only )?Scan/g) ?? []
    expect(scans.length, plan).toBeGreaterThan(0)
    expect(plan.match(/Index Cond:/g) ?? [], `${statement}\n${plan}`).toHaveLength(scans.length)
  }
})

test('a search for known messages goes through the index on their hashes', async () => {
  const { place, statements } = await recordedPlace()
  const search = statements.find(
    statement => statement.includes('FROM messages t') && statement.includes('chain_hash = k.chain_hash'),
  )
  const plan = await planOf(place, search ?? '')
  expect(plan).toMatch(/Index Cond: .*chain_hash/)
  // Of any number of conversations that begin alike only the latest are read.
  expect(plan).toMatch(/-> +Limit /)
  expect(plan).not.toMatch(/(^|-> +)(Incremental )?Sort /m)
})

test('pages of calls, messages and conversations are read through indexes', async () => {
  const { place, statements } = await recordedPlace()
  const reads = statements.filter(
    statement =>
      /^select/.test(statement) &&
      /"(messages|llm_requests|llm_responses|conversations|context_snapshots|idempotency_keys|stored_completions)"/.test(
        statement,
      ),
  )
  expect(reads.length).toBeGreaterThan(5)
  for (const statement of reads)
    expect(await planOf(place, statement), statement).not.toContain('Seq Scan on')
})

test('a page of conversations or messages is read in the order of an index, not sorted', async () => {
  const { place, statements } = await recordedPlace()
  const pages = statements.filter(statement => /from "(conversations|messages)".* limit /.test(statement))
  expect(pages.length).toBeGreaterThan(8)
  for (const statement of pages)
    expect(await planOf(place, statement), statement).not.toMatch(/(^|-> +)Sort /m)
})

test('one page of many conversations is not sorted out of all of them, without statistics either', async () => {
  const stele = await (await postgresPlace()).stele()
  const created_at = Date.now()
  const rows = Array.from({ length: 5_000 }, () =>
    newConversationRow({ user_id: 'ada', id: newId('conversation'), next_seq: 0, created_at }),
  )
  await inBatch(stele, batch => batch.insert('conversations', rows))
  const { rows: plan } = await sql<{ 'QUERY PLAN': string }>`EXPLAIN SELECT * FROM conversations
    WHERE user_id = 'ada' AND deleted_at IS NULL ORDER BY id DESC LIMIT 50`.execute(stele.database.kysely)
  expect(plan.map(row => row['QUERY PLAN']).join('\n')).not.toContain('Sort')
})

test('the newest page of calls is read in the order of an index, not sorted', async () => {
  const { place, statements } = await recordedPlace()
  const pages = statements.filter(
    statement => statement.includes('from "llm_requests"') && statement.includes('order by "id" desc'),
  )
  expect(pages.length).toBeGreaterThan(1)
  for (const statement of pages)
    expect(await planOf(place, statement), statement).not.toMatch(/(^|-> +)Sort /m)
})

test('a search goes through the index of words', async () => {
  const { place, statements } = await recordedPlace()
  const searches = statements.filter(statement => statement.includes('@@'))
  expect(searches).toHaveLength(2)
  for (const [index, statement] of searches.entries()) {
    const plan = await planOfSearch(place, statement)
    if (index === 0)
      expect(plan).toMatch(/Bitmap Index Scan on message_search_tokens .*\n +Index Cond: \(tokens @@/)
    expect(plan).not.toContain('Seq Scan')
  }
})

/** A place where everything the recorder and the store do has been done once, with the SQL of it. */
async function recordedPlace(): Promise<{ place: Place; statements: string[] }> {
  const place = await postgresPlace()
  const statements = new Set<string>()
  // What is done beside calls, and only now and then, is not the recorder's.
  const audit = { sequence: false }
  const stele = await place.stele({ audit, onSql: statement => statements.add(statement) })
  const callId = newId('call')
  const { call } = await exchange(stele, [user('q')], 'a', { callId })
  await begin(stele, chatBody([user('q')]), { callId })
  await stele.recorder.settle(call, completed(completionBody('a')))
  await exchange(stele, [user('q')], 'again')
  await begin(stele, chatBody([user('w')]))
  await begin(stele, chatBody([user('w')]))
  const groupId = newId('call')
  await begin(stele, chatBody([user('x')]), { callId: groupId, groupId })
  const retry = await begin(stele, chatBody([user('x')]), { groupId, routeMode: 'retry' })
  await begin(stele, chatBody([user('x')]))
  await stele.calls.group('ada', retry.callId)
  const { conversationId } = call
  await exchange(stele, [user('q'), assistant('a'), user('more')], 'b', { conversationId })
  const claim = { keyHash: 'k', requestHash: 'r', expiresAt: Date.now() + 1_000_000 }
  const keyed = await begin(stele, chatBody([user('k')]), { claim })
  await stele.recorder.settle(keyed, { status: 'failed' })
  await begin(stele, chatBody([user('k')]), { claim })
  await idempotencyKeyStore(stele.database).find('ada', 'k', Date.now())
  await idempotencyKeyStore(stele.database).forgetExpired(Date.now())
  const listed = await begin(stele, chatBody([user('l')], { store: true, metadata: { a: 'b' } }))
  await stele.recorder.settle(listed, completed(completionBody('l', { id: 'c-1' })))
  const change = { deletedAt: 1 }
  await stele.recorder.relist({ userId: 'ada', id: 'c-1', callId: listed.callId, change })
  const completions = storedCompletionStore(stele.database)
  await completions.get('ada', 'c-1')
  const metadata = new Map([['a', 'b']])
  await completions.list({ userId: 'ada', limit: 20, order: 'desc', afterCall: callId, model: 'm', metadata })
  await stele.calls.list()
  await stele.calls.list({ userId: 'ada', before: callId })
  await stele.calls.list({ userId: 'ada' })
  await stele.calls.get('ada', callId)
  await stele.calls.exactRequest('ada', callId)
  await stele.calls.exactResponse('ada', callId)
  await stele.messages.list({ userId: 'ada', conversationId })
  await stele.conversations.list({ userId: 'ada' })
  await stele.conversations.get('ada', conversationId)
  await useLibrary(stele)
  await stele.search({ userId: 'ada', query: 'more' })
  await stele.search({ userId: 'ada', query: '"more b"', conversationId, limit: 1 })
  await forgetStatistics(stele, place)
  return { place, statements: [...statements] }
}

/** The server may have noted meanwhile that a table has one row: reading all of that is as good as looking for it. */
async function forgetStatistics({ database: { kysely } }: Stele, { schema }: Place): Promise<void> {
  await sql`SELECT pg_clear_relation_stats(${schema}, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${schema} AND c.relkind IN ('r', 'p', 'i', 'I')`.execute(kysely)
}

/** The plan with which a search would run a statement. */
async function planOfSearch(place: Place, statement: string): Promise<string> {
  const { kysely } = place.database()
  return kysely.transaction().execute(async tx => {
    await sql`SELECT set_config('enable_seqscan', 'off', true)`.execute(tx)
    const { rows } = await sql<{
      'QUERY PLAN': string
    }>`EXPLAIN (GENERIC_PLAN) ${sql.raw(statement)}`.execute(tx)
    return rows.map(row => row['QUERY PLAN']).join('\n')
  })
}

/** The plan with which a writer would run a statement that it has prepared. */
async function planOf(place: Place, statement: string): Promise<string> {
  const location = parseDatabaseUrl(place.databaseUrl) as PostgresLocation
  const pool = openWriterPool(location, { schema: place.schema }, new Sockets(), 1)
  try {
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(`EXPLAIN (GENERIC_PLAN) ${statement}`)
    return rows.map(row => row['QUERY PLAN']).join('\n')
  } finally {
    await pool.end()
  }
}
