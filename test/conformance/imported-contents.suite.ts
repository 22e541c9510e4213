import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { exportedText } from '../harness/exported-text.ts'

const day = 86_400_000

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
}
