import { expect, onTestFinished, test } from 'vitest'
import { Chat } from '../../src/chat/chat.ts'
import { StoreBackend } from '../../src/chat/store-backend.ts'
import { resolveConfig } from '../../src/config.ts'
import { createProviders } from '../../src/providers/registry.ts'
import { historyOf } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { ask, compare } from './backends.ts'

test('a chat goes on while PostgreSQL is away, one that was begun meanwhile too, and is one conversation after', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl })
  const providers = createProviders(resolveConfig({}, {}), stele)
  onTestFinished(() => providers.close())
  const backend = new StoreBackend({ stele, providers, userId: 'ada', replyLimit: 1_000_000 })
  const begunBefore = new Chat({ backend, model: 'echo' })
  await ask(begunBefore, 'before')

  link.cut()
  expect(await ask(begunBefore, 'meanwhile')).toMatchObject({ status: 'completed', text: 'meanwhile' })
  const begunMeanwhile = new Chat({ backend, model: 'echo' })
  expect(await ask(begunMeanwhile, 'first')).toMatchObject({ status: 'completed' })
  expect(begunMeanwhile.thread).toEqual({ sessionId: undefined, conversationId: undefined })
  await failure('store_unavailable', backend.sessions(5))
  await failure('store_unavailable', compare(begunBefore, 'compared', ['echo', 'echo/echo']))

  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  await ask(begunBefore, 'after')
  await ask(begunMeanwhile, 'second')
  const said = async (chat: Chat) =>
    (await historyOf(stele, chat.thread.conversationId ?? '')).map(({ content }) => content)
  expect(await said(begunBefore)).toEqual(['before', 'before', 'meanwhile', 'meanwhile', 'after', 'after'])
  expect(await said(begunMeanwhile)).toEqual(['first', 'first', 'second', 'second'])
  expect((await backend.sessions(5)).map(({ id }) => id)).toEqual([
    begunMeanwhile.thread.sessionId,
    begunBefore.thread.sessionId,
  ])
  expect(await stele.conversations.list({ userId: 'ada' })).toHaveLength(2)
})
