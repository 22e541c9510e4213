import { expect, test } from 'vitest'
import { begin, chatBody, completed, completionBody, user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'

const body = chatBody([user('q')], { max_completion_tokens: 10 })
const used = completed(completionBody('a'))

test('while the database is away limited calls are refused, others go on, and what was begun before is settled', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl })
  const witness = await place.stele()
  await witness.limits.set({ user: 'ada' }, { tokensPerDay: 1_000 })
  const call = await begin(stele, body)
  await begin(stele, body, { userId: 'bob' })

  link.cut()
  const refusal = await failure('store_unavailable', begin(stele, body))
  expect(refusal.message).toContain('whether the limits allow the call cannot be told')
  await stele.recorder.begin({ userId: 'bob', provider: 'test', body })
  await stele.recorder.settle(call, used)

  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  expect(await witness.limits.list({ user: 'ada' })).toMatchObject([{ used: { tokensPerDay: 15 } }])
  expect(await witness.limits.examine()).toEqual([])
})

test('where it is so configured they are made and counted once when the database is back', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const options = { poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl }
  const stele = await place.stele({ ...options, limits: { whenAway: 'allow' } })
  const witness = await place.stele()
  await witness.limits.set({ user: 'ada' }, { tokensPerDay: 1_000, requestsPerDay: 2 })
  await begin(stele, body)

  link.cut()
  const ask = () => stele.recorder.begin({ userId: 'ada', provider: 'test', body })
  const [first] = [await ask(), await ask()]
  if (first !== undefined) await stele.recorder.settle(first, used)

  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  expect(await witness.limits.list({ user: 'ada' })).toMatchObject([{ used: { requestsPerDay: 3 } }])
  expect(await witness.limits.examine()).toEqual([])
  await failure('insufficient_quota', begin(witness, body))
})
