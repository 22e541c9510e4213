import { readFileSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { applicationId } from '../../src/db/sqlite/file.ts'
import type { Stele } from '../../src/stele.ts'
import { storeSearchTokens } from '../../src/store/search-keys.ts'
import {
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  reproduced,
  settle,
  user,
} from '../harness/chat.ts'
import { type Place, sqlitePlace } from '../harness/databases.ts'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)
const retention = { contentDays: 1, metadataDays: 1 }

/** What is said over and over takes its space only where it is kept plain. */
const contentMode = 'plain'

const pathOf = (place: Place): string => place.databaseUrl.replace('sqlite:', '')

async function fill(stele: Stele): Promise<void> {
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const call = await begin(stele, chatBody([user(`${index} ${'said '.repeat(4_000)}`)]), {
        createdAt: start,
      })
      await settle(stele, call, completed(completionBody('a'), { createdAt: start }))
    }),
  )
}

test('the space of what has expired is given back, step by step', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele({ retention, contentMode })
  await fill(stele)
  const kept = await exchange(stele, [user('stays')], 'a', { createdAt: start + 2 * day })
  const { reclaimedBytes, unusedBytes } = await stele.retention.run({ now: start + 2 * day })
  expect(reclaimedBytes).toBeGreaterThan(2_000_000)
  expect(unusedBytes).toBe(0)
  expect(await reproduced(stele, kept.call.callId)).toMatchObject({ request: kept.request })
  await stele.close()
  expect(statSync(pathOf(place)).size).toBeLessThan(700_000)
})

test('no word of what has expired or was deleted is left in the file, nor its token, of what remains every one', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele({ retention, contentMode })
  const file = () => readFileSync(pathOf(place)).toString('latin1')
  const index = async () => {
    for (let isIndexed = false; !isIndexed; ) isIndexed = await stele.recorder.index({ limit: 1_000 })
  }
  // Among so many that stay that the index would not care by itself.
  const young = Array.from({ length: 300 }, (_, at) => ({
    message: user(`${at} stays`),
    createdAt: start + 2 * day,
  }))
  const secrets = ['zymurgy', 'quixotry', 'jacuzzis']
  const { contents } = stele.database
  /** A word, and what the index has of it that it does not share with its neighbours there. */
  const formsOf = async (word: string): Promise<string[]> => {
    const { keys, index } = storeSearchTokens(contents)
    const [key] = await keys.all(stele.database, 'ada')
    return key === undefined ? [] : [word, index.tokens(key).word(word).slice(5)]
  }
  for (const [at, secret] of secrets.entries()) {
    const call = await begin(stele, chatBody([user(`${secret} of number ${at}`)]), { createdAt: start })
    await settle(stele, call, completed(completionBody(`${secret} indeed`), { createdAt: start }))
    await stele.conversations.create({ userId: 'ada', messages: young })
    await index()
  }
  const { id } = await stele.conversations.create({
    userId: 'ada',
    messages: [{ message: user('buzzwords purged') }],
  })
  const kept = await exchange(stele, [user('backgammon')], 'a', { createdAt: start + 2 * day })
  await index()
  await stele.conversations.purge('ada', id)
  await stele.database.kysely.executeQuery(
    sql`PRAGMA wal_checkpoint(TRUNCATE)`.compile(stele.database.kysely),
  )
  const gone = (await Promise.all([...secrets, 'buzzwords'].map(formsOf))).flat()
  expect(gone).toHaveLength(8)
  // What was purged is overwritten at once, but for its tokens.
  for (const form of gone) if (form !== 'buzzwords') expect(file(), form).toContain(form)
  await stele.retention.run({ now: start + 2 * day })
  const { hits } = await stele.search({ userId: 'ada', query: 'backgammon' })
  expect(hits).toHaveLength(1)
  expect(await reproduced(stele, kept.call.callId)).toMatchObject({ request: kept.request })
  const left = await formsOf('backgammon')
  await stele.close()
  for (const form of gone) expect(file(), form).not.toContain(form)
  for (const form of left) expect(file(), form).toContain(form)
})

test('a file from before is written anew when nobody has it open, and gives back by itself from then on', async () => {
  const place = await sqlitePlace()
  // As earlier versions made it.
  const old = new DatabaseSync(pathOf(place))
  old.exec(`PRAGMA application_id = ${applicationId}; PRAGMA journal_mode = WAL`)
  old.close()
  const stele = await place.stele({ retention, contentMode })
  await exchange(stele, [user('zymurgy')], 'a', { createdAt: start })
  expect(await stele.recorder.index({ limit: 10 })).toBe(true)
  await fill(stele)
  const kept = await exchange(stele, [user('stays')], 'a', { createdAt: start + 2 * day })
  const report = await stele.retention.run({ now: start + 2 * day })
  expect(report.reclaimedBytes).toBe(0)
  expect(report.unusedBytes).toBeGreaterThan(2_000_000)
  const { file } = place.database()
  expect(() => file?.compact()).toThrow(expect.objectContaining({ code: 'database_in_use' }))
  await stele.close()
  expect(statSync(pathOf(place)).size).toBeGreaterThan(2_000_000)
  file?.compact()
  // What the search index knew of it, too.
  expect(readFileSync(pathOf(place)).includes('zymurgy')).toBe(false)
  expect(statSync(pathOf(place)).size).toBeLessThan(700_000)
  const again = await place.stele({ retention, contentMode })
  expect(await reproduced(again, kept.call.callId)).toMatchObject({ request: kept.request })
  await fill(again)
  expect((await again.retention.run({ now: start + 2 * day })).reclaimedBytes).toBeGreaterThan(2_000_000)
  expect((await again.database.examine()).every(({ ok }) => ok)).toBe(true)
})
