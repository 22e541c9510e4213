import { expect, test } from 'vitest'
import type { Row } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** What a process that died left open is found and settled, once, and nothing else is. */
export function recoverySuite(bed: Bed): void {
  test('calls that a killed process left open are settled as orphaned by whoever starts next', async () => {
    const place = await bed.place()
    const child = startChild('begin-calls.ts', place, { begin: 7, settle: 2 })
    const open = (await child.next()) as string[]
    expect(open).toHaveLength(5)
    await child.kill()

    const stele = await place.stele()
    expect(await stele.recorder.start()).toBe(5)
    const calls = await stele.calls.list({ userId: 'ada' })
    expect(
      calls
        .filter(call => call.status === 'orphaned')
        .map(call => call.id)
        .sort(),
    ).toEqual(open.toSorted())
    expect(calls.filter(call => call.status === 'completed')).toHaveLength(2)
    for (const id of open)
      expect(await stele.calls.get('ada', id)).toMatchObject({
        errorCode: 'orphaned',
        costNanousd: undefined,
      })
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 7, errors: 5 }])
    expect((await rowsOf(stele, 'instances')).map(row => row.pid)).toEqual([process.pid])
  })

  test('a second start finds nothing more', async () => {
    const place = await bed.place()
    const child = startChild('begin-calls.ts', place, { begin: 3, settle: 0 })
    await child.next()
    await child.kill()
    const first = await place.stele()
    expect(await first.recorder.start()).toBe(3)
    await first.close()
    const second = await place.stele()
    expect(await second.recorder.start()).toBe(0)
    expect(await countOf(second, 'audit_events')).toBe(6)
  })

  test('two processes that start at once settle each orphan once', async () => {
    const place = await bed.place()
    const child = startChild('begin-calls.ts', place, { begin: 40, settle: 0 })
    await child.next()
    await child.kill()
    const steles = [await place.stele(), await place.stele()] as const
    await Promise.all(steles.map(stele => stele.recorder.start()))
    expect(await rowsOf(steles[0], 'usage_daily')).toMatchObject([{ calls: 40, errors: 40 }])
    expect(await countOf(steles[0], 'llm_responses')).toBe(40)
    expect(await countOf(steles[0], 'audit_events')).toBe(80)
  })

  test('a call whose id is older than its process is found too', async () => {
    const place = await bed.place()
    const child = startChild('begin-calls.ts', place, { begin: 2, settle: 0, callTime: Date.UTC(2024, 5, 1) })
    await child.next()
    await child.kill()
    const stele = await place.stele()
    expect(await stele.recorder.start()).toBe(2)
  })

  test('calls of a process that lives are left alone', async () => {
    const place = await bed.place()
    const child = startChild('begin-calls.ts', place, { begin: 3, settle: 0 })
    const open = (await child.next()) as string[]
    const stele = await place.stele()
    expect(await stele.recorder.start()).toBe(0)
    for (const id of open) expect(await stele.calls.get('ada', id)).toMatchObject({ status: 'pending' })
  })

  test('when one of two processes dies, the calls of the other are left alone', async () => {
    const place = await bed.place()
    const dying = startChild('begin-calls.ts', place, { begin: 3, settle: 0 })
    const open = (await dying.next()) as string[]
    const living = startChild('begin-calls.ts', place, { begin: 3, settle: 0 })
    const underWay = (await living.next()) as string[]
    await dying.kill()
    const stele = await place.stele()
    expect(await stele.recorder.start()).toBe(3)
    for (const id of open) expect(await stele.calls.get('ada', id)).toMatchObject({ status: 'orphaned' })
    for (const id of underWay) expect(await stele.calls.get('ada', id)).toMatchObject({ status: 'pending' })
  })

  test('calls of another store in this very process are left alone', async () => {
    const place = await bed.place()
    const first = await place.stele()
    const call = await begin(first, chatBody([user('q')]))
    const second = await place.stele()
    expect(await second.recorder.start()).toBe(0)
    expect(await first.recorder.settle(call, completed(completionBody('a')))).toMatchObject({
      isRepeat: false,
    })
  })

  test('a process on another machine lives while its lease does', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await begin(stele, chatBody([user('q')]))
    // However old its sign of life is: the database may have been away for all.
    await moveInstance(stele, { host: 'elsewhere', heartbeat_at: 0 })
    expect(await (await place.stele()).recorder.start()).toBe(0)
    const other = await place.stele({ lease: 300 })
    expect(await other.recorder.start()).toBe(0)
    expect(await other.calls.list()).toMatchObject([{ status: 'pending' }])
    await expect.poll(() => other.calls.list()).toMatchObject([{ status: 'orphaned' }])
  })

  test('a reply that comes after its call was given up is refused, and the record stays as it is', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const call = await begin(stele, chatBody([user('q')]))
    await giveUpAll(place, stele)
    const error = await failure(
      'call_orphaned',
      stele.recorder.settle(call, completed(completionBody('late'))),
    )
    expect(error.retryable).toBe(true)
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({ status: 'orphaned' })
    expect(await countOf(stele, 'messages')).toBe(1)
    expect(await rowsOf(stele, 'usage_daily')).toMatchObject([{ calls: 1, errors: 1 }])
  })

  test('a late reply costs the other replies of its batch nothing', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const late = await begin(stele, chatBody([user('late')]))
    await giveUpAll(place, stele)
    const inTime = await Promise.all(
      Array.from({ length: 10 }, (_, index) => begin(stele, chatBody([user(`q${index}`)]))),
    )
    const outcomes = await Promise.allSettled(
      [late, ...inTime].map(call => stele.recorder.settle(call, completed(completionBody('a')))),
    )
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', ...inTime.map(() => 'fulfilled')])
  })

  test('asking again after an orphan continues its conversation', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const call = await begin(stele, chatBody([user('q')]))
    await giveUpAll(place, stele)
    const again = await exchange(stele, [user('q')], 'a')
    expect(again.call.conversationId).toBe(call.conversationId)
    expect(await countOf(stele, 'messages')).toBe(2)
  })
}

/** Has another process take the store's for dead, and settle what it left open. */
async function giveUpAll(place: Place, stele: Stele): Promise<void> {
  await moveInstance(stele, { host: 'elsewhere' })
  const other = await place.stele({ lease: 200 })
  await other.recorder.start()
  await expect
    .poll(async () => (await stele.calls.list()).filter(({ status }) => status === 'pending'))
    .toEqual([])
  await other.close()
}

/** Makes the store's process look as if it were somewhere else, or long silent. */
async function moveInstance(stele: Stele, fields: Partial<Row<'instances'>>): Promise<void> {
  await stele.database.kysely.updateTable('instances').set(fields).execute()
}
