import { expect, test } from 'vitest'
import { copyDatabase } from '../../src/moving/copy.ts'
import { assistant, chatBody, completionBody, exchange, reproduced, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'
import { everything, fill, hasMark, placesOf } from './copied.ts'

export function copyKilledSuite(from: Bed, to: Bed): void {
  test('killed in the middle, it goes on where it was and takes in what changed', {
    timeout: 60_000,
  }, async () => {
    const { source, target } = await placesOf(from, to)
    const stele = await source.stele({ audit: { sequence: false } })
    await fill(stele, 1_300)
    const { call } = await exchange(stele, [user('to be continued')], 'go on')
    const child = startChild('copy-database.ts', target, {
      from: { databaseUrl: source.databaseUrl, schema: source.schema },
      stopAt: 3_000,
    })
    expect(await child.next()).toMatchObject({ table: 'messages' })
    await child.kill()
    const half = target.database()
    const copied = await countOf({ database: half }, 'messages')
    expect(copied).toBeGreaterThan(0)
    expect(copied).toBeLessThan(2_602)
    expect(await countOf({ database: half }, 'llm_responses')).toBe(0)
    await failure('copy_unfinished', target.stele())

    const next = await exchange(
      stele,
      chatBody([user('to be continued'), assistant('go on'), user('so it does')]),
      'well',
    )
    expect(next.call.conversationId).toBe(call.conversationId)
    await stele.users.create('newcomer')
    await stele.database.kysely.deleteFrom('users').where('id', '=', 'user-3').execute()
    const report = await copyDatabase(source.database(), half)
    expect(report.isResumed).toBe(true)
    expect(report.tables.filter(({ difference }) => difference !== undefined)).toEqual([])
    expect(await everything(half)).toEqual(await everything(source.database()))
    expect(await hasMark(half)).toBe(false)
    const copy = await target.stele()
    expect(await reproduced(copy, next.call.callId)).toEqual({
      request: next.request,
      response: completionBody('well'),
    })
  })
}
