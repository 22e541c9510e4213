import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, reproduced, user } from '../harness/chat.ts'
import { type Place, postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { type Link, linkToPostgres } from '../harness/postgres-link.ts'
import { countOf } from '../harness/rows.ts'

/**
 * A store whose database is lost while its first call starts the recorder: when it looks for processes that are gone, having
 * made itself known.
 */
async function lostWhileStarting(onStoreFailure: 'spool' | 'refuse'): Promise<{
  readonly place: Place
  readonly link: Link
  readonly stele: Stele
}> {
  const place = await postgresPlace()
  const link: Link = await linkToPostgres(undefined, (_, bytes) => {
    if (bytes.includes('from "instances"')) link.cut()
  })
  const { databaseUrl } = link
  const stele = await place.stele({ databaseUrl, poolTimeout: 2, commitTimeout: 1, onStoreFailure })
  return { place, link, stele }
}

test('a first call is spooled where the database is lost in the middle of starting', async () => {
  const { place, link, stele } = await lostWhileStarting('spool')
  const request = chatBody([user('question')])
  const response = completionBody('reply')
  const call = await stele.recorder.begin({ userId: 'ada', provider: 'test', body: request })
  await stele.recorder.settle(call, completed(response))
  expect(stele.recorder.spool).toMatchObject({ isSpooling: true, depth: 2 })
  const witness = await place.stele()
  expect(await countOf(witness, 'instances')).toBe(1)
  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  expect(await reproduced(witness, call.callId)).toEqual({ request, response })
})

test('where there is no spool it is refused in the words of the library', async () => {
  const { stele } = await lostWhileStarting('refuse')
  expect(stele.recorder.spool).toBeUndefined()
  await failure('store_unavailable', begin(stele, chatBody([user('question')])))
})
