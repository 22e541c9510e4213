import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { conversationLine } from '../../src/moving/foreign/conversation.ts'
import { importForeign } from '../../src/moving/foreign/import-foreign.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, begin, chatBody, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { type ForeignPlace, foreignPlace } from '../harness/foreign.ts'
import { fills } from '../harness/foreign-rows.ts'
import { rowsOf } from '../harness/rows.ts'

const at = '2024-02-03 04:05:06'

/** What is stored, but for hashes, which each store keys with a secret of its own. */
async function stored(stele: Stele): Promise<unknown> {
  const messages = await rowsOf(stele, 'messages')
  const others = [
    'users',
    'conversations',
    'llm_requests',
    'llm_responses',
    'usage_daily',
    'audit_events',
  ] as const
  return [
    messages.map(({ chain_hash: _chain, wire_hash: _wire, ...row }) => row),
    ...(await Promise.all(others.map(table => rowsOf(stele, table)))),
  ]
}

async function say(source: ForeignPlace, ...contents: string[]): Promise<void> {
  const row = { session_id: 'default', user_id: 'ada', role: 'user', created_at: at }
  await source.insert(
    'messages',
    contents.map(content => ({ ...row, content })),
  )
}

export function foreignRunsSuite(to: Bed): void {
  test('an import that was broken off anywhere and run again ends as one that was not', async () => {
    const source = await foreignPlace('cortexai', 'SQLite file')
    await fills.cortexai(source)
    const options = { ...source.options, as: 'cortexai' as const }
    const once = await (await to.place()).stele()
    const whole = await importForeign(once, options)
    const broken = await (await to.place()).stele()
    const { imported } = await importForeign(once, options)
    expect(imported).toBe(0)
    for (const end of [3, 9, 14]) {
      let taken = 0
      const run = importForeign(broken, {
        ...options,
        onProgress: () => {
          if (++taken === end) throw new Error('broken off')
        },
        // As much as was written when it stopped, and a record at a time.
        batchRecords: 1,
      })
      await expect(run).rejects.toThrow('broken off')
    }
    const begun = await rowsOf(broken, 'messages')
    expect(begun.length).toBeGreaterThan(0)
    const rest = await importForeign(broken, options)
    expect(rest.imported).toBeLessThan(whole.imported)
    expect(rest.imported + rest.present).toBe(whole.imported)
    expect(await stored(broken)).toEqual(await stored(once))
  })

  test('what the source got since is added; what was changed in it is told and left', async () => {
    const stele = await (await to.place()).stele()
    const source = await foreignPlace('chat-coach', to.name)
    await say(source, 'one', 'two')
    const options = { ...source.options, as: 'chat-coach' as const }
    await importForeign(stele, options)
    await say(source, 'three')
    expect(await importForeign(stele, options)).toMatchObject({ imported: 1, present: 3 })
    const [conversation] = await rowsOf(stele, 'conversations')
    expect(conversation?.next_seq).toBe(3)
    await source.run("UPDATE messages SET content = 'changed' WHERE content = 'two'")
    const { tables, imported } = await importForeign(stele, options)
    expect(imported).toBe(0)
    expect(tables.find(({ table }) => table === 'messages')?.skipped).toEqual([
      { reason: 'another message stands in its place: the conversation went on differently here', rows: 1 },
    ])
    expect((await rowsOf(stele, 'messages')).length).toBe(3)
  })

  test('a call continues a conversation that was imported', async () => {
    const stele = await (await to.place()).stele()
    const source = await foreignPlace('chat-coach', to.name)
    await say(source, 'What is a stele?')
    await source.insert('messages', [
      { session_id: 'default', user_id: 'ada', role: 'assistant', content: 'A stone.', created_at: at },
    ])
    await importForeign(stele, { ...source.options, as: 'auto' })
    const [imported] = await rowsOf(stele, 'conversations')
    const messages = [user('What is a stele?'), assistant('A stone.'), user('Why?')]
    const call = await begin(stele, chatBody(messages), { userId: 'ada' })
    expect(call.conversationId).toBe(imported?.id)
    expect((await rowsOf(stele, 'messages')).map(({ seq }) => seq)).toEqual([0, 1, 2])
  })

  test('two sources with the same ids and times are kept apart by names, and users by who they are', async () => {
    const stele = await (await to.place()).stele()
    const person = { id: 1, hashed_password: 'x', is_active: 1, is_verified: 1 }
    const [ours, theirs] = [
      await foreignPlace('procode', 'SQLite file'),
      await foreignPlace('procode', 'SQLite file'),
    ]
    await ours.insert('users', [{ ...person, email: 'a@example.org', username: 'a', created_at: at }])
    await theirs.insert('users', [
      { ...person, email: 'b@example.org', username: 'b', created_at: '2024-02-04' },
    ])
    for (const [source, content] of [
      [ours, 'ours'],
      [theirs, 'theirs'],
    ] as const) {
      await source.insert('conversations', [{ id: 'c', user_id: 1, created_at: at }])
      await source.insert('messages', [{ conversation_id: 'c', role: 'user', content, created_at: at }])
    }
    await importForeign(stele, { ...ours.options, as: 'procode' })
    const refused = await importForeign(stele, { ...theirs.options, as: 'procode' })
    expect(refused).toMatchObject({ imported: 0, present: 0 })
    for (const { mapped } of refused.tables) expect(mapped).toBe(0)
    const named = await importForeign(stele, { ...theirs.options, as: 'procode', name: 'theirs' })
    expect(named).toMatchObject({ imported: 3, present: 0 })
    expect((await rowsOf(stele, 'users')).map(({ id }) => id)).toEqual(['1', 'theirs:1'])
    const { length } = await rowsOf(stele, 'messages')
    expect(length).toBe(2)
  })

  test('a session id that is taken stays with whoever has it', async () => {
    const stele = await (await to.place()).stele()
    const [first, second] = [
      await foreignPlace('chat-coach', 'SQLite file'),
      await foreignPlace('chat-coach', 'SQLite file'),
    ]
    await say(first, 'first')
    await second.insert('messages', [
      { session_id: 'default', user_id: 'ada', role: 'user', content: 'second', created_at: '2025-01-01' },
    ])
    await importForeign(stele, { ...first.options, as: 'auto' })
    for (const present of [0, 2]) {
      const report = await importForeign(stele, { ...second.options, as: 'auto' })
      expect(report).toMatchObject({ imported: 2 - present, present })
      expect(report.notes.map(({ what }) => what)).toContain(
        'conversations: their session id is that of another conversation here; imported without it',
      )
    }
    const conversations = await rowsOf(stele, 'conversations')
    expect(conversations.map(({ session_id }) => session_id)).toEqual(['default', null])
  })

  test('a long conversation is written in parts, each behind the one before', async () => {
    const stele = await (await to.place()).stele()
    const source = await foreignPlace('chat-coach', 'SQLite file')
    const many = 1_300
    await source.run('BEGIN')
    await say(source, ...Array.from({ length: many }, (_, index) => `message ${index}`))
    await source.run('COMMIT')
    expect(await importForeign(stele, { ...source.options, as: 'auto', batchRecords: 10_000 })).toMatchObject(
      {
        imported: many + 1,
        present: 0,
      },
    )
    const rows = await rowsOf(stele, 'messages')
    expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: many }, (_, index) => index))
    const [conversation] = await rowsOf(stele, 'conversations')
    expect(conversation).toMatchObject({ next_seq: many, session_id: 'default', user_id: 'ada' })
    const texts = await stele.messages.list({
      userId: 'ada',
      conversationId: conversation?.id ?? '',
      limit: 2,
    })
    expect(texts.map(({ raw }) => JSON.parse(raw) as unknown)).toEqual([
      user('message 1298'),
      user('message 1299'),
    ])
  })

  test('lines of an export whose user no id can name leave no message behind', async () => {
    const stele = await (await to.place()).stele()
    const owned = { user_id: 'a\u0001', created_at: 1 }
    const conversation = conversationLine({ ...owned, id: newId('conversation'), next_seq: 1 })
    const message = {
      ...owned,
      type: 'message',
      id: newId('message'),
      conversation_id: conversation.id,
      seq: 0,
      role: 'user',
      message: '{"role":"user","content":"x"}',
      model: null,
      call_id: null,
      echo: null,
    }
    const header = { format: 'stele-export', version: 1, created_at: 1, source: '' }
    const lines = [header, conversation, message, { type: 'end', records: 2 }].map(
      each => `${JSON.stringify(each)}\n`,
    )
    const input = Readable.from([Buffer.from(lines.join(''))])
    const report = await importLines(stele.database, stele.hashes, input, { keepGoing: true })
    expect(report).toEqual({ imported: 0, present: 0, refused: 2 })
    expect(await rowsOf(stele, 'messages')).toEqual([])
  })
}
