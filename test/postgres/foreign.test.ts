import { expect, test } from 'vitest'
import { importForeign } from '../../src/moving/foreign/import-foreign.ts'
import { postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { foreignPlace } from '../harness/foreign.ts'
import { fills, uuid } from '../harness/foreign-rows.ts'
import { rowsOf } from '../harness/rows.ts'

test('rows with one time stand with what the user said before its answer, and that is told', async () => {
  const stele = await (await sqlitePlace()).stele()
  const source = await foreignPlace('cortexai', 'PostgreSQL')
  await fills.cortexai(source)
  const report = await importForeign(stele, { ...source.options, as: 'auto' })
  const messages = await rowsOf(stele, 'messages')
  const [session] = (await rowsOf(stele, 'conversations')).filter(({ session_id }) => session_id === uuid(10))
  const roles = messages.filter(each => each.conversation_id === session?.id).map(({ role }) => role)
  expect(roles).toEqual(['user', 'assistant', 'user', 'assistant', 'user'])
  expect(report.notes).toContainEqual({
    what: 'messages: had the time of the one before, and stand in the order of role (user first) and id',
    count: 2,
  })
})

test('a time with a zone, a huge number and a float are read as they are stored, wherever the server is', async () => {
  const stele = await (await sqlitePlace()).stele()
  const source = await foreignPlace('procode', 'PostgreSQL')
  await source.run("SET TIME ZONE 'Asia/Kathmandu'; SET DateStyle = 'German'")
  await source.run('ALTER TABLE conversations ALTER COLUMN created_at TYPE TIMESTAMP WITH TIME ZONE')
  await source.run('ALTER TABLE messages ALTER COLUMN id TYPE BIGINT')
  await source.run(
    "INSERT INTO conversations (id, user_id, created_at) VALUES ('c', 7, '2024-01-01 00:00:00+05:45')",
  )
  await source.run(
    "INSERT INTO messages (id, conversation_id, role, content, cost, created_at) VALUES (9007199254740993, 'c', 'assistant', 'x', 0.1::float8 + 0.2::float8, '2024-01-01')",
  )
  await importForeign(stele, { ...source.options, as: 'auto' })
  const [conversation] = await rowsOf(stele, 'conversations')
  expect(conversation?.created_at).toBe(Date.UTC(2023, 11, 31, 18, 15))
  const [message] = await rowsOf(stele, 'messages')
  expect(message).toMatchObject({ cost_nanousd: 300_000_000, created_at: Date.UTC(2024, 0, 1) })
  expect(JSON.parse(message?.metadata ?? '')).toMatchObject({ original_id: '9007199254740993' })
})

test('a server that cannot be asked, and a schema without tables, are told without the password', async () => {
  const stele = await (await postgresPlace()).stele()
  const away = await failure(
    'source_unreadable',
    importForeign(stele, { from: 'postgresql+psycopg://u:secret@127.0.0.1:1/x', as: 'auto' }),
  )
  expect(away.message).toContain('postgres://127.0.0.1:1/x')
  expect(away.message).not.toContain('secret')
  const source = await foreignPlace('chat-coach', 'PostgreSQL')
  const empty = await failure(
    'source_unrecognized',
    importForeign(stele, { ...source.options, schema: 'nowhere', as: 'auto' }),
  )
  expect(empty.message).toContain('(schema nowhere) cannot be imported as auto: it has no tables')
})
