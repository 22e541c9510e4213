import { expect, test } from 'vitest'
import { ConversationMemory } from '../../src/library/conversation-memory.ts'
import { user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'

test('what a memory holds is not served while the database is away or stands still, and is when it is back', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const { databaseUrl } = link
  const stele = await place.stele({ poolTimeout: 1, commitTimeout: 1, retryFor: 50, databaseUrl })
  const memory = new ConversationMemory(stele)
  const { conversationId } = await memory.addMessage({ userId: 'ada', message: user('one') })
  const at = { userId: 'ada', conversationId }
  const held = await memory.getHistory(at)
  for (const stop of [link.hang, link.cut]) {
    stop()
    await failure('store_unavailable', memory.getHistory(at))
    await failure('store_unavailable', memory.getWindow({ ...at, messages: 1 }))
    await failure('store_unavailable', memory.addMessage({ ...at, message: user('lost'), exclusive: true }))
    link.restore()
    await expect.poll(() => memory.getHistory(at).catch(() => undefined)).toBeDefined()
  }
  // What could not be added may have been committed all the same; the memory shows what there is.
  const stored = await (await place.stele()).messages.list(at)
  expect(await memory.getHistory(at)).toEqual(stored)
  expect(stored[0]).toEqual(held[0])
})
