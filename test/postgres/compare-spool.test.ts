import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { assistant, chatBody, completed, completionBody, historyOf, user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { countOf } from '../harness/rows.ts'

const failed = { status: 'failed', errorCode: 'provider_error' } as const

test('compared calls whose database goes away end in the spool as one, and no others are begun', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const stele = await place.stele({ poolTimeout: 2, commitTimeout: 1, databaseUrl: link.databaseUrl })
  const witness = await place.stele()
  const inputs = () => {
    const groupId = newId('call')
    return [groupId, newId('call')].map(callId => ({
      callId,
      groupId,
      routeMode: 'compare' as const,
      userId: 'ada',
      provider: 'test',
      body: chatBody([user('q')]),
    }))
  }
  const [first, second] = await stele.recorder.beginAll(inputs())
  if (first === undefined || second === undefined) throw new Error('the calls were not begun')

  link.cut()
  await stele.recorder.settleAll([
    { call: first, outcome: failed },
    { call: second, outcome: completed(completionBody('a')) },
  ])
  expect(stele.recorder.spool).toMatchObject({ isSpooling: true, depth: 1 })
  await failure('store_unavailable', stele.recorder.beginAll(inputs()))
  expect(await countOf(witness, 'llm_responses')).toBe(0)
  // Others may take the calls for lost meanwhile; how they really ended is known in the spool.
  await witness.recorder.settle(second, { status: 'orphaned', errorCode: 'orphaned' })

  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  const group = await witness.calls.group('ada', first.callId)
  expect(group.map(({ status }) => status)).toEqual(['failed', 'completed'])
  expect(await historyOf(witness, first.conversationId)).toEqual([user('q'), assistant('a')])
})
