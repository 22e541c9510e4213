import { expect, test } from 'vitest'
import { exchange, historyOf, user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { countOf } from '../harness/rows.ts'

test('while the database is away an append is refused, not spooled, and calls go on', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const { databaseUrl } = link
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl })
  const witness = await place.stele()
  const { id } = await stele.conversations.create({ userId: 'ada' })
  await exchange(stele, [user('before')], 'yes')
  link.cut()
  const append = () =>
    stele.messages.append({
      userId: 'ada',
      conversationId: id,
      messages: [{ message: user('note') }],
      expectedSeq: 0,
    })
  const body = JSON.stringify({ model: 'm', messages: [user('q')] })
  const [first, begun] = await Promise.allSettled([
    append(),
    stele.recorder.begin({ userId: 'ada', provider: 'test', body }),
  ])
  expect(first).toMatchObject({ reason: { code: 'store_unavailable' } })
  expect(begun.status).toBe('fulfilled')
  await failure('store_unavailable', append())
  const at = { userId: 'ada', conversationId: id }
  for (const read of [
    () => stele.messages.list(at),
    () => stele.conversations.list({ userId: 'ada' }),
    () => stele.conversationItems.list({ ...at, limit: 1, order: 'asc' }),
    () => stele.contextSnapshots.latest('ada', id),
    () => stele.users.get('ada'),
    () => stele.retention.run({ dryRun: true }),
  ])
    await failure('store_unavailable', read, String(read))
  await failure('store_unavailable', stele.conversations.delete('ada', id))
  expect(stele.recorder.spool?.isSpooling).toBe(true)
  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  await append()
  expect(await historyOf(witness, id)).toEqual([user('note')])
  expect(await countOf(witness, 'messages')).toBe(4)
})
