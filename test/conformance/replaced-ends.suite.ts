import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { auditLogReader, type LoggedEvent } from '../../src/audit/log/reader.ts'
import { ReplacedEnds } from '../../src/audit/verify/replaced.ts'
import type { BegunCall } from '../../src/model/call.ts'
import { Accounting } from '../../src/pricing/accounting.ts'
import { orphanSettlement } from '../../src/recorder/settlement.ts'
import { Settlements } from '../../src/recorder/settlements.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { settleAnyway } from '../harness/settle-anyway.ts'

/** A call that was given up for lost. */
async function orphaned(stele: Stele): Promise<BegunCall> {
  const call = await begin(stele, chatBody([user('hello')]))
  await settleAnyway(stele, call, orphanSettlement())
  return call
}

/** The end that a spool knew of such a call. */
async function supersede(stele: Stele, call: BegunCall): Promise<void> {
  const settlements = new Settlements(stele.hashes, new Accounting({}))
  await settleAnyway(stele, call, await settlements.of(completed(completionBody('answer')), call))
}

async function opened(bed: Bed): Promise<Stele> {
  const stele = await (await bed.place()).stele({ audit: { sequence: false } })
  await dropGuards(stele.database)
  return stele
}

const verify = (stele: Stele) => stele.audit.verify({ contents: true })

const forge = ({ database }: Stele, { callId }: BegunCall) =>
  sql`UPDATE llm_responses SET status = 'completed', http_status = 200, input_tokens = 99999 WHERE request_id = ${callId}`.execute(
    database.kysely,
  )

export function replacedEndsSuite(bed: Bed): void {
  test('another end than that of a call that was given up is believed when an event tells it, in the log or on its way', async () => {
    const stele = await opened(bed)
    const call = await orphaned(stele)
    await exchange(stele, [user('other')], 'answer')
    await stele.auditLog.sequence()
    await supersede(stele, call)
    expect(await verify(stele)).toMatchObject({ verified: true, contents: { same: 3, gone: 0 } })
    await stele.auditLog.sequence()
    expect(await verify(stele)).toMatchObject({ verified: true, contents: { same: 4, gone: 0 } })
    await stele.erase('ada')
    await stele.auditLog.sequence()
    expect(await verify(stele)).toMatchObject({ verified: true, contents: { same: 0, gone: 4 } })
  })

  test('an end of whoever was erased meanwhile commits to nothing and is believed', async () => {
    const stele = await opened(bed)
    const call = await orphaned(stele)
    await stele.erase('ada')
    await supersede(stele, call)
    expect((await verify(stele)).fault).toBeUndefined()
    await stele.auditLog.sequence()
    expect((await verify(stele)).fault).toBeUndefined()
  })

  test('a call that was given up and says that it ended well is named', async () => {
    const stele = await opened(bed)
    const call = await orphaned(stele)
    const other = await orphaned(stele)
    await supersede(stele, other)
    await stele.auditLog.sequence()
    expect((await verify(stele)).fault).toBeUndefined()
    await forge(stele, call)
    const reason = `the end of ${call.callId} is not the one its event committed to`
    const { fault } = await verify(stele)
    expect(fault).toMatchObject({ reason, index: expect.any(Number), eventId: expect.any(String) })
    // An end that waits for the log tells of its own call alone, and of that only what it has committed to.
    const third = await orphaned(stele)
    await stele.auditLog.sequence()
    await supersede(stele, third)
    expect((await verify(stele)).fault).toEqual(fault)
    await sql`UPDATE llm_responses SET status = 'orphaned', http_status = NULL, input_tokens = NULL WHERE request_id = ${call.callId}`.execute(
      stele.database.kysely,
    )
    expect((await verify(stele)).fault).toBeUndefined()
    await forge(stele, third)
    expect((await verify(stele)).fault?.reason).toContain(third.callId)
  })

  test('where too many such ends would be held they are looked up', async () => {
    const stele = await opened(bed)
    const calls = [await orphaned(stele), await orphaned(stele)]
    await stele.auditLog.sequence()
    for (const call of calls) await supersede(stele, call)
    const follow = async (most: number, isEnd: boolean) => {
      const ends = new ReplacedEnds(
        stele.database,
        async (_, { outcome }) => isEnd && outcome !== 'orphaned',
        most,
      )
      const expected = (await auditLogReader(stele.database).events({ from: 0, to: 100 })).filter(
        (entry): entry is LoggedEvent & { event: object } => entry.event?.outcome === 'orphaned',
      )
      expect(expected).toHaveLength(2)
      for (const entry of expected) await ends.expect(entry, entry.event)
      await ends.end()
    }
    for (const most of [0, 1, 2]) {
      await follow(most, true)
      await expect(follow(most, false)).rejects.toMatchObject({ fault: { index: 1 } })
    }
    await stele.auditLog.sequence()
    await follow(0, true)
    await expect(follow(0, false)).rejects.toMatchObject({ fault: { index: 1 } })
  })

  test('the end of a call whose reply is not kept is the one that its event tells', async () => {
    const stele = await opened(bed)
    await stele.users.create('ada')
    await stele.users.update('ada', { contentMode: 'hashed' })
    const { call } = await exchange(stele, [user('hello')], 'answer')
    await stele.auditLog.sequence()
    expect((await verify(stele)).fault).toBeUndefined()
    await sql`UPDATE llm_responses SET status = 'failed'`.execute(stele.database.kysely)
    expect((await verify(stele)).fault?.reason).toContain(`the end of ${call.callId}`)
  })
}
