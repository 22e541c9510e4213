import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { importForeign } from '../../src/moving/foreign/import-foreign.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { type ForeignPlace, foreignPlace } from '../harness/foreign.ts'
import { rowsOf } from '../harness/rows.ts'

const said = (content: string | Uint8Array | null, session_id = 'default') => ({
  session_id,
  user_id: 'ada',
  role: 'user',
  content,
})

const pathOf = ({ options }: ForeignPlace): string => options.from.replace(/^.*?:\/\/\//, '')

test('text that is not valid UTF-8 is told and not imported; NULs and replacement characters are kept', async () => {
  const stele = await (await sqlitePlace()).stele()
  const source = await foreignPlace('chat-coach', 'SQLite file')
  await source.insert('messages', [said('a NUL: \0 and more'), said('a real \uFFFD')])
  await source.run(
    "INSERT INTO messages (session_id, user_id, role, content) VALUES ('default', 'ada', 'user', CAST(x'61ff62' AS TEXT)), ('default', 'ada', 'user', x'00ff')",
  )
  const report = await importForeign(stele, { ...source.options, as: 'chat-coach' })
  expect(report.tables.find(({ table }) => table === 'messages')).toEqual({
    table: 'messages',
    rows: 4,
    mapped: 2,
    skipped: [{ reason: 'its content is not valid UTF-8', rows: 2 }],
  })
  const [conversation] = await rowsOf(stele, 'conversations')
  const messages = await stele.messages.list({ userId: 'ada', conversationId: conversation?.id ?? '' })
  expect(messages.map(({ raw }) => (JSON.parse(raw) as { content: string }).content)).toEqual([
    'a NUL: \0 and more',
    'a real \uFFFD',
  ])
})

test('a database in use is read as it stands: what is not committed is not there, and its writer is not held up', async () => {
  const stele = await (await sqlitePlace()).stele()
  const source = await foreignPlace('chat-coach', 'SQLite file')
  await source.insert('messages', [said('committed')])
  await source.run('BEGIN IMMEDIATE')
  await source.insert('messages', [said('not yet')])
  expect(await importForeign(stele, { ...source.options, as: 'auto' })).toMatchObject({ imported: 2 })
  await source.run('COMMIT')
  // By its path alone it is recognized too.
  const from = pathOf(source)
  expect(await importForeign(stele, { from, as: 'auto' })).toMatchObject({ imported: 1, present: 2 })
})

test('what is missing, what is too much and what is something else is named', async () => {
  const stele = await (await sqlitePlace()).stele()
  const source = await foreignPlace('chat-coach', 'SQLite file')
  await source.run('ALTER TABLE messages DROP COLUMN created_at')
  await source.run('ALTER TABLE messages ADD COLUMN mood TEXT')
  await source.run('CREATE TABLE feedback (id INTEGER, stars INTEGER)')
  await source.run('INSERT INTO feedback VALUES (1, 5), (2, 4)')
  await source.insert('sessions', [{ session_id: 'default', user_id: 'ada', created_at: '2024-01-01' }])
  await source.insert('messages', [{ ...said('without a time'), mood: 'good' }])
  const report = await importForeign(stele, { ...source.options, as: 'auto' })
  expect(report.tables.find(({ table }) => table === 'feedback')).toEqual({
    table: 'feedback',
    rows: 2,
    mapped: 0,
    skipped: [{ reason: 'chat-coach has no such table', rows: 2 }],
  })
  expect(report.notes.map(({ what }) => what)).toEqual([
    'messages.mood: not imported, chat-coach has no such column',
    'messages without a time have that of what stands before them',
  ])
  expect((await rowsOf(stele, 'messages'))[0]?.created_at).toBe(Date.UTC(2024, 0, 1))

  const { options } = source
  await source.run('DROP INDEX idx_messages_session')
  await source.run('ALTER TABLE messages DROP COLUMN role')
  const lacking = await failure('source_unrecognized', importForeign(stele, { ...options, as: 'chat-coach' }))
  expect(lacking.message).toContain(
    'it lacks the column messages.role; it has feedback, messages, sessions, users',
  )
  const wrong = await failure('source_unrecognized', importForeign(stele, { ...options, as: 'synthlang' }))
  expect(wrong.message).toContain('it lacks the table interactions')
  const unknown = await failure('source_unrecognized', importForeign(stele, { ...options, as: 'auto' }))
  expect(unknown.message).toContain('bitesoft (audit_logs); synthlang (interactions)')
  await failure('source_unrecognized', importForeign(stele, { ...options, as: 'chatgpt' }))
  const own = stele.database.location.display
  const same = await failure('source_unrecognized', importForeign(stele, { from: own, as: 'auto' }))
  expect(same.message).toContain("it is Stele's own")
})

test('text of another encoding, whose order is another, is refused and not mixed up', async () => {
  const stele = await (await sqlitePlace()).stele()
  const path = join(await temporaryFolder(), 'utf16.db')
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA encoding = 'UTF-16le';
    CREATE TABLE sessions (session_id TEXT, user_id TEXT);
    CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT, user_id TEXT, role TEXT, content TEXT);
    INSERT INTO sessions VALUES ('a', 'ada'), ('\u0100', 'ada');
    INSERT INTO messages VALUES (1, 'a', 'ada', 'user', 'x'), (2, '\u0100', 'ada', 'user', 'y')`)
  database.close()
  const error = await failure('source_unreadable', importForeign(stele, { from: path, as: 'auto' }))
  expect(error.message).toContain('does not come in the order of its bytes')
})

test('a file that is not there, is no database, or may not be read is told as such', async () => {
  const stele = await (await sqlitePlace()).stele()
  const folder = await temporaryFolder()
  const missing = join(folder, 'missing.db')
  await failure('source_unreadable', importForeign(stele, { from: `sqlite:${missing}`, as: 'auto' }))
  await failure('source_unreadable', importForeign(stele, { from: folder, as: 'auto' }))
  const broken = join(folder, 'broken #1?.db')
  await writeFile(broken, `SQLite format 3\0${'x'.repeat(2_000)}`)
  const error = await failure('source_unreadable', importForeign(stele, { from: broken, as: 'auto' }))
  expect(error.message).toContain('broken #1?.db cannot be read: file is not a database')
  await failure('database_url_invalid', importForeign(stele, { from: 'sqlite://x.db', as: 'auto' }))
})
