import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { idempotencyKeyStore } from '../../src/store/idempotency-keys.ts'
import { storedCompletionStore } from '../../src/store/stored-completions.ts'
import { assistant, begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { memoryPlace } from '../harness/databases.ts'
import { useLibrary } from '../harness/library.ts'

test('no statement of the recorder or the store reads a whole table of messages or calls', async () => {
  const statements = new Set<string>()
  const stele = await (await memoryPlace()).stele({ onSql: statement => statements.add(statement) })
  const callId = newId('call')
  const groupId = newId('call')
  const { call } = await exchange(stele, [user('q')], 'a', { callId })
  await begin(stele, chatBody([user('q')]), { callId })
  await stele.recorder.settle(call, completed(completionBody('a')))
  await exchange(stele, [user('q'), assistant('a'), user('more')], 'b', {
    conversationId: call.conversationId,
  })
  const claim = { keyHash: 'k', requestHash: 'r', expiresAt: Date.now() + 1_000_000 }
  const keyed = await begin(stele, chatBody([user('q')]), { claim })
  await stele.recorder.settle(keyed, { status: 'failed' })
  await begin(stele, chatBody([user('q')]), { claim })
  await idempotencyKeyStore(stele.database).find('ada', 'k', Date.now())
  await idempotencyKeyStore(stele.database).forgetExpired(Date.now())
  await begin(stele, chatBody([user('w')]), { callId: groupId, groupId })
  const retry = await begin(stele, chatBody([user('w')]), { groupId, routeMode: 'retry' })
  await begin(stele, chatBody([user('w')]))
  await stele.calls.group('ada', retry.callId)
  const listed = await begin(stele, chatBody([user('l')], { store: true }))
  await stele.recorder.settle(listed, completed(completionBody('l', { id: 'c-1' })))
  const completions = storedCompletionStore(stele.database)
  await completions.get('ada', 'c-1')
  await completions.list({ userId: 'ada', limit: 20, order: 'asc', afterCall: callId, model: 'm' })
  await stele.calls.list()
  await stele.calls.list({ userId: 'ada', before: callId })
  await stele.calls.exactRequest('ada', callId)
  await stele.calls.exactResponse('ada', callId)
  await stele.messages.list({ userId: 'ada', conversationId: call.conversationId })
  await stele.conversations.list({ userId: 'ada' })
  await useLibrary(stele)

  const searching = [...statements].filter(
    text =>
      /^\s*(select|update)/i.test(text) &&
      // What a migration does once, it does to every row.
      !text.includes('_content = ') &&
      // Nor is there a row yet when what a first migration made is kept for databases to come.
      !/^SELECT \* FROM "\w+"$/.test(text) &&
      // A first opening asks whether there is a row in any table.
      !text.startsWith('SELECT 1 AS one WHERE EXISTS') &&
      /messages|llm_|conversations|context_snapshots|idempotency_keys|stored_completions/.test(text),
  )
  expect(searching.length).toBeGreaterThan(8)
  const equalBeginnings = searching.filter(
    text => /chain_hash = \?/.test(text) && text.includes('FROM messages'),
  )
  expect(equalBeginnings).not.toEqual([])
  for (const statement of equalBeginnings)
    expect(statement).toMatch(/ORDER BY conversation_id DESC LIMIT 20$/)
  for (const statement of searching) {
    const { rows } = await sql
      .raw<{ detail: string }>(`EXPLAIN QUERY PLAN ${statement}`)
      .execute(stele.database.kysely)
    for (const { detail } of rows) {
      // What a subquery reads is told in lines of its own.
      if (/^CORRELATED SCALAR SUBQUERY \d+$/.test(detail)) continue
      // Without a condition the newest page is the end of the table, whose rows lie in the order of their key.
      const isNewestPage = !/where/i.test(statement) && statement.includes('limit')
      if (!isNewestPage) expect(detail, statement).toMatch(/USING (COVERING )?INDEX|USING PRIMARY KEY/)
      expect(detail, statement).not.toContain('TEMP B-TREE')
    }
  }
})

test('a search goes from the index of words to its messages by their keys, in one conversation the other way', async () => {
  const statements = new Set<string>()
  const stele = await (await memoryPlace()).stele({ onSql: statement => statements.add(statement) })
  const { call } = await exchange(stele, [user('q')], 'a word')
  await stele.search({ userId: 'ada', query: 'word' })
  await stele.search({ userId: 'ada', query: 'word', conversationId: call.conversationId })
  const searches = [...statements].filter(text => text.includes('MATCH'))
  expect(searches).toHaveLength(2)
  for (const [index, statement] of searches.entries()) {
    const { rows } = await sql
      .raw<{ detail: string }>(`EXPLAIN QUERY PLAN ${statement}`)
      .execute(stele.database.kysely)
    const scans = rows.map(({ detail }) => detail).filter(detail => /^(SCAN|SEARCH)/.test(detail))
    expect(scans[0]).toMatch(
      index === 0 ? /^SCAN w VIRTUAL TABLE INDEX .*M/ : /^SEARCH d USING (COVERING )?INDEX/,
    )
    const whole = scans.filter(detail => /^SCAN (d|m|c|messages|conversations|message_search)\b/.test(detail))
    expect(whole).toEqual([])
  }
})
