import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, exchange, settle, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { exportedText } from '../harness/exported-text.ts'
import { dropGuards } from '../harness/guards.ts'

const day = 86_400_000

/** Lines with their ends. */
const linesOf = (text: string): string[] =>
  text
    .slice(0, -1)
    .split('\n')
    .map(line => `${line}\n`)

const say = (stele: Stele, what: string) =>
  stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { what } })

async function verified(stele: Stele) {
  await stele.auditLog.sequence()
  const { fault, contents } = await stele.audit.verify({ contents: true })
  expect(fault).toBeUndefined()
  return contents
}

export function importedContentsSuite(bed: Bed): void {
  test.each<[string, (stele: Stele) => Promise<unknown>, number]>([
    ['is there', async () => undefined, 2],
    ['is of one who was erased', stele => stele.erase('ada'), 0],
    [
      'was said after an erasure, too',
      stele => stele.erase('ada').then(() => exchange(stele, [user('b')], 'c')),
      1,
    ],
    ['has expired', stele => stele.retention.run({ now: Date.now() + 40 * day }), 2],
    ['was kept as a digest alone', stele => stele.users.update('ada', { contentMode: 'hashed' }), 1],
  ])('an import of a record in which what was said %s is verified', async (_what, change, kept) => {
    const options = { retention: { contentDays: 30 }, audit: { sequence: false } }
    const source = await (await bed.place()).stele(options)
    await exchange(source, [user('question')], 'answer')
    await say(source, 'before')
    await change(source)
    await say(source, 'after')
    await verified(source)
    const text = await exportedText(source)
    const fresh = await (await bed.place()).stele(options)
    const other = await (await bed.place()).stele(options)
    await exchange(other, [user('here')], 'answer')
    await say(other, 'here')
    await other.auditLog.sequence()
    for (const target of [fresh, other])
      await importLines(target.database, target.hashes, Readable.from([Buffer.from(text)]))
    // With the user comes how their content is kept: as a digest, which is gone and says so.
    const { same = 0, gone = 0 } = (await verified(fresh)) ?? {}
    expect(same + gone).toBe(kept)
    expect(await verified(other)).toEqual({ same: kept + 3, gone: 0 })
  })

  test('imported calls are told of from the first on, whatever becomes of their own events', async () => {
    const options = { audit: { sequence: false } }
    const source = await (await bed.place()).stele(options)
    const { call } = await exchange(source, [user('question')], 'answer')
    const open = await begin(source, chatBody([user('slow')]))
    const early = linesOf(await exportedText(source))
    await settle(source, open, completed(completionBody('at last')))
    const late = linesOf(await exportedText(source))
    const stele = await (await bed.place()).stele(options)
    const imported = (lines: readonly string[]) =>
      importLines(stele.database, stele.hashes, Readable.from([Buffer.from(lines.join(''))]))
    const told = async (callId: string) =>
      (await stele.auditEvents.list({ userId: 'ada', limit: 100 }))
        .filter(({ target }) => target === callId)
        .map(({ action }) => action)
        .sort()
    const isEvent = (line: string) => line.includes('"type":"audit_event"')
    const withoutEvents = (lines: readonly string[]) => {
      const records = lines.slice(0, -1).filter(line => !isEvent(line))
      return [...records, `${JSON.stringify({ type: 'end', records: records.length - 1 })}\n`]
    }

    // Broken off before the events.
    await expect(imported(early.slice(0, early.findIndex(isEvent)))).rejects.toThrow('cut short')
    expect(await told(call.callId)).toEqual(['call.imported'])
    await verified(stele)
    // Another one brings the end of a call, and no event of it.
    await imported(withoutEvents(late))
    expect((await stele.calls.get('ada', open.callId))?.status).toBe('completed')
    expect(await told(open.callId)).toEqual(['call.imported'])
    await verified(stele)
    // At last all events: of that another store took the calls in nothing is exported.
    await imported(late)
    expect(await told(open.callId)).toEqual(['call.begun', 'call.imported', 'call.settled'])
    await verified(stele)
    expect(linesOf(await exportedText(stele)).slice(1)).toEqual(late.slice(1))
    expect((await stele.auditEvents.list({ action: 'call.imported' })).length).toBe(2)

    // What says that it was imported, and was not, is none of them.
    await dropGuards(stele.database)
    const { kysely } = stele.database
    const id = newId('call')
    const request = kysely.selectFrom('llm_requests').selectAll().where('id', '=', call.callId)
    const row = await request.executeTakeFirstOrThrow()
    expect(row.instance_id).toBe('import')
    await kysely
      .insertInto('llm_requests')
      .values({ ...row, id })
      .execute()
    const { fault } = await stele.audit.verify({ contents: true })
    expect(fault).toEqual({ reason: `no event tells of the call ${id}` })
  })

  test('calls that come with their events leave no other', async () => {
    const source = await (await bed.place()).stele()
    await exchange(source, [user('question')], 'answer')
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    const text = await exportedText(source)
    await importLines(stele.database, stele.hashes, Readable.from([Buffer.from(text)]))
    expect(await stele.auditEvents.list({ action: 'call.imported' })).toEqual([])
    await verified(stele)
  })
}
