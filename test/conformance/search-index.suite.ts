import { Readable } from 'node:stream'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { lowestIdAt } from '../../src/ids.ts'
import { copyDatabase } from '../../src/moving/copy.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { absentContent } from '../../src/privacy/content.ts'
import { indexEverything } from '../../src/recorder/search.ts'
import type { Stele } from '../../src/stele.ts'
import type { SearchHit } from '../../src/store/search.ts'
import { queueEverything, removeFromSearch, waitingForSearch } from '../../src/store/search-queue.ts'
import { assistant, begin, chatBody, exchange, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import { type Bed, withKeyOf } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf, inBatch } from '../harness/rows.ts'
import { found, indexed, say } from './search.suite.ts'

const numbered = (count: number, text = 'message'): string[] =>
  Array.from({ length: count }, (_, index) => `${text} number ${index}`)

async function indexedCount({ database }: Stele): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM message_search`.execute(
    database.kysely,
  )
  return rows[0]?.count ?? 0
}

/** Every page of a search, with `between` run after each. */
async function pagesOf(
  stele: Stele,
  query: string,
  limit: number,
  between: (page: number) => Promise<unknown> = async () => undefined,
): Promise<SearchHit[]> {
  const hits: SearchHit[] = []
  for (let cursor: string | undefined, page = 0; ; page++) {
    const result = await stele.search({ userId: 'ada', query, limit, cursor })
    hits.push(...result.hits)
    cursor = result.cursor
    if (cursor === undefined) return hits
    await between(page)
  }
}

const ids = (hits: readonly SearchHit[]): string[] => hits.map(({ messageId }) => messageId)

/** How the index is filled, read a page at a time, and kept true. */
export function searchIndexSuite(bed: Bed): void {
  test('the best come first, then the newest; pages hold each hit once, whatever is written meanwhile', async () => {
    const stele = await (await bed.place()).stele()
    for (let index = 0; index < 9; index++)
      await say(stele, [`apple ${index}`, `apple apple ${index}`, `a pear and much else, ${index} apple`])
    await indexed(stele)
    const whole = await pagesOf(stele, 'apple', 100)
    expect(whole).toHaveLength(27)
    expect(whole.slice(0, 9).every(({ snippet }) => snippet.text.startsWith('apple apple'))).toBe(true)
    const ranks = whole.map(({ rank }) => rank)
    expect(ranks).toEqual(ranks.toSorted((a, b) => b - a))
    for (const [index, hit] of whole.entries()) {
      const next = whole[index + 1]
      if (next?.rank === hit.rank) expect(next.createdAt).toBeLessThanOrEqual(hit.createdAt)
    }
    const paged = await pagesOf(stele, 'apple', 4, async page => {
      await say(stele, [
        `apple apple apple ${page}`,
        `some place ${page} in which an apple hardly counts at all`,
      ])
      await indexed(stele)
    })
    expect(ids(paged)).toEqual(ids(whole))
    const near = await say(stele, [
      'red and green and blue and yellow apple',
      'a red apple and so on, it says',
    ])
    const [first] = (await stele.search({ userId: 'ada', query: 'red apple', conversationId: near })).hits
    expect(first?.seq).toBe(1)
    const { cursor } = await stele.search({ userId: 'ada', query: 'apple', limit: 1 })
    await failure('invalid_value', stele.search({ userId: 'ada', query: 'pear', cursor }))
    await failure('invalid_value', stele.search({ userId: 'bob', query: 'apple', cursor }))
  })

  test('more than are ranked at a time are all found, once, also while older ones are added', async () => {
    const stele = await (await bed.place()).stele()
    await say(stele, numbered(2_300))
    await indexed(stele)
    const before = Date.now() - 5_000
    const hits = await pagesOf(stele, 'message', 100, page =>
      begin(stele, chatBody([user(`an older message ${page}`)]), { createdAt: before }),
    )
    const original = hits.filter(({ snippet }) => snippet.text.startsWith('message number'))
    expect(new Set(ids(original)).size).toBe(2_300)
    expect(new Set(ids(hits)).size).toBe(hits.length)
  })

  test('what a process recorded before it was killed is found', async () => {
    const place = await bed.place()
    await (await place.stele()).close()
    const child = startChild('begin-calls.ts', place, { begin: 7, settle: 0 })
    await child.next()
    await child.kill()
    const stele = await place.stele()
    // Its row is still there and tells from which call on to look.
    expect(await found(stele, 'question')).toHaveLength(7)
    expect(await countOf(stele, 'search_queue')).toBe(0)
  })

  test('what a process had in mind when it was killed is queued by whoever takes it for dead', async () => {
    const place = await bed.place()
    await (await place.stele()).close()
    const callTime = Date.now() - 3_600_000
    const child = startChild('begin-calls.ts', place, { begin: 3, settle: 1, callTime })
    await child.next()
    await child.kill()
    const stele = await place.stele()
    expect(await stele.recorder.start()).toBe(2)
    expect(await countOf(stele, 'instances')).toBe(1)
    expect((await stele.recorder.waitingFor('ada')).isQueued).toBe(true)
    expect(await found(stele, 'question')).toHaveLength(3)
  })

  test('calls queue nothing, and what another process records is found at once, calls of old ids too', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const { settled } = await exchange(other, [user('a first word')], 'a second word')
    const callId = lowestIdAt('call', Date.now() - 3_600_000)
    await begin(other, chatBody([user('a third word')]), { callId })
    await other.saveInteraction({
      userId: 'ada',
      model: 'm',
      messages: [user('a fourth word')],
      responseText: 'said',
    })
    expect(await countOf(stele, 'search_queue')).toBe(0)
    expect((await stele.search({ userId: 'ada', query: 'word' })).hits).toHaveLength(4)
    // Of the conversation as it went on, whoever indexed it up to here.
    const { conversationId } = settled
    const said = [user('a first word'), assistant('a second word'), user('a fifth word')]
    await exchange(stele, said, 'a sixth word', { conversationId })
    for (const one of [other, stele])
      expect((await one.search({ userId: 'ada', query: 'word' })).hits).toHaveLength(6)
    expect(await indexedCount(stele)).toBe(7)
  })

  test('what is left when a process ends is queued', async () => {
    const place = await bed.place()
    const first = await place.stele()
    await exchange(first, [user('a word')], 'another word')
    await first.close()
    const stele = await place.stele()
    expect([await countOf(stele, 'instances'), await countOf(stele, 'search_queue')]).toEqual([0, 1])
    expect(await found(stele, 'word')).toHaveLength(2)
  })

  test('what applications append is queued, and indexed up to the end whatever came first', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const { settled } = await exchange(stele, [user('a first word')], 'a second word')
    const { conversationId } = settled
    const messages = [{ message: user('a third word') }]
    await stele.messages.append({ userId: 'ada', conversationId, messages })
    expect(await countOf(stele, 'search_queue')).toBe(1)
    expect(await other.recorder.index({ limit: 10 })).toBe(true)
    expect(await indexedCount(stele)).toBe(3)
    expect(await found(stele, 'word')).toHaveLength(3)
  })

  test('what was being indexed by a process that was killed, and by others at once, is found once', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await say(stele, numbered(200))
    await Promise.all(numbered(20, 'single').map(text => say(stele, [text])))
    await queueEverything(stele.database)
    const child = startChild('index-messages.ts', place)
    for (let pieces = 0; pieces < 5; pieces++) await child.next()
    await child.kill()
    expect(await indexedCount(stele)).toBeGreaterThanOrEqual(15)
    expect(await waitingForSearch(stele.database)).toBeLessThan(220)
    const other = await place.stele()
    const results = await Promise.all([stele, other, stele].map(one => found(one, 'number')))
    for (const texts of results) expect(new Set(texts).size).toBe(220)
    expect(await indexedCount(stele)).toBe(220)
  })

  test('an operation indexes no more than it is told to, and puts the rest back', async () => {
    const stele = await (await bed.place()).stele()
    await say(stele, numbered(50))
    await say(stele, ['another'])
    await queueEverything(stele.database)
    expect(await stele.recorder.index({ limit: 10 })).toBe(false)
    expect([await indexedCount(stele), await waitingForSearch(stele.database)]).toEqual([10, 41])
    expect(await stele.recorder.index({ userId: 'bob', limit: 10 })).toBe(true)
    expect(await indexedCount(stele)).toBe(10)
  })

  test('a search does not wait long for the index, and says what it may have missed', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await say(stele, ['an old word'])
    expect(await found(stele, 'word')).toEqual(['an old word'])
    const conversation_id = await say(stele, ['a new word'])
    const page = await place.database().batch(async batch => {
      await batch.insertAbsent('search_progress', [
        { user_id: 'ada', conversation_id, next_seq: 0, key_id: '' },
      ])
      return stele.search({ userId: 'ada', query: 'word' })
    })
    expect(page.isComplete).toBe(false)
    expect(page.hits.map(({ snippet }) => snippet.text)).toEqual(['an old word'])
    await expect
      .poll(async () => (await stele.search({ userId: 'ada', query: 'word' })).isComplete)
      .toBe(true)
    expect(await found(stele, 'word')).toHaveLength(2)
  })

  test('what is deleted is hidden, what is restored is shown, what is removed is gone', async () => {
    const { database, ...stele } = await (await bed.place()).stele()
    const whole = { database, ...stele }
    const conversationId = await say(whole, ['one word', 'two word'])
    const other = await say(whole, ['three word'])
    const mark = async (table: 'messages' | 'conversations', deletedAt: number | null, seq?: number) => {
      const key =
        table === 'messages'
          ? sql`conversation_id = ${conversationId} AND seq = ${seq}`
          : sql`id = ${conversationId}`
      await sql`UPDATE ${sql.table(table)} SET deleted_at = ${deletedAt} WHERE ${key}`.execute(
        database.kysely,
      )
    }
    await mark('conversations', 1)
    expect(await found(whole, 'word')).toEqual(['three word'])
    await mark('conversations', null)
    await mark('messages', 1, 0)
    expect(await found(whole, 'word')).toEqual(expect.arrayContaining(['two word', 'three word']))
    expect(await found(whole, 'word')).toHaveLength(2)
    await mark('messages', null, 0)
    expect(await found(whole, 'word')).toHaveLength(3)
    await inBatch(whole, batch => removeFromSearch(batch, 'bob', conversationId))
    expect(await found(whole, 'word')).toHaveLength(3)
    await inBatch(whole, batch => removeFromSearch(batch, 'ada', conversationId))
    expect(await found(whole, 'word')).toEqual(['three word'])
    expect(await indexedCount(whole)).toBe(1)
    await inBatch(whole, batch => removeFromSearch(batch, 'ada', other))
    expect(await countOf(whole, 'search_progress')).toBe(0)
    const { settled } = await exchange(whole, [user('a fourth word')], 'its answer')
    await whole.conversations.purge('ada', settled.conversationId ?? '')
    expect(await found(whole, 'word')).toEqual([])
    expect(await countOf(whole, 'search_progress')).toBe(0)
  })

  test('content that is not kept is not found and keeps nothing else from being found', async () => {
    const stele = await (await bed.place()).stele()
    const conversationId = await say(stele, ['one word', 'two word', 'three word'])
    const put = (seq: number, content: Uint8Array) =>
      sql`UPDATE messages SET content = ${content} WHERE conversation_id = ${conversationId} AND seq = ${seq}`.execute(
        stele.database.kysely,
      )
    await put(0, absentContent())
    expect((await found(stele, 'word')).sort()).toEqual(['three word', 'two word'])
    await put(1, absentContent())
    expect(await found(stele, 'word')).toEqual(['three word'])
    // One that cannot be read is another thing: whoever would be shown it is told.
    await put(2, Buffer.from([0x7f, 1]))
    await failure('content_unreadable', stele.search({ userId: 'ada', query: 'word' }))
  })

  test('a message that cannot be read when it is indexed keeps no other out of the index', async () => {
    const stele = await (await bed.place()).stele()
    const conversationId = await say(stele, ['one word', 'two word', 'three word'])
    await sql`UPDATE messages SET content = ${Buffer.from([0x7f, 1])} WHERE conversation_id = ${conversationId} AND seq = 1`.execute(
      stele.database.kysely,
    )
    expect((await found(stele, 'word')).sort()).toEqual(['one word', 'three word'])
  })

  test('turned off, nothing is queued and nothing found; turned on later, everything can be indexed', async () => {
    const place = await bed.place()
    const off = await place.stele({ search: false })
    await exchange(off, [user('a word')], 'another word')
    expect(await countOf(off, 'search_queue')).toBe(0)
    await failure('search_disabled', off.search({ userId: 'ada', query: 'word' }))
    await failure(
      'search_disabled',
      indexEverything(off.database, off.recorder, () => undefined),
    )
    await off.close()
    const stele = await place.stele()
    await say(stele, ['a third word'])
    expect(await found(stele, 'word')).toEqual(['a third word'])
    const told: [number, number][] = []
    await indexEverything(stele.database, stele.recorder, (done, total) => told.push([done, total]))
    expect(told.at(-1)).toEqual([3, 3])
    expect(await found(stele, 'word')).toHaveLength(3)
    await indexEverything(stele.database, stele.recorder, () => undefined)
    expect(await indexedCount(stele)).toBe(3)
  })

  test('a copy of the database is searched like it', async () => {
    const source = await bed.place()
    const target = withKeyOf(await bed.place(), source)
    const stele = await source.stele()
    await say(stele, ['an old word'])
    expect(await found(stele, 'word')).toHaveLength(1)
    await say(stele, ['a new word'])
    await copyDatabase(source.database(), target.database())
    expect((await found(await target.stele(), 'word')).sort()).toEqual(['a new word', 'an old word'])
  })

  test('what is imported is found', async () => {
    const source = await (await bed.place()).stele()
    const { settled } = await exchange(source, [user('a word')], 'its answer')
    let text = ''
    await exportLines(source.database, async lines => {
      text += lines
    })
    const target = await (await bed.place()).stele()
    await importLines(target.database, target.hashes, Readable.from([Buffer.from(text)]))
    await indexed(target)
    const { hits } = await target.search({ userId: 'ada', query: 'answer' })
    expect(hits).toMatchObject([{ conversationId: settled.conversationId, seq: 1 }])
    expect(await found(target, 'word')).toEqual(['a word'])
    await importLines(target.database, target.hashes, Readable.from([Buffer.from(text)]))
    expect(await countOf(target, 'search_queue')).toBe(0)
  })

  test('a long message is found by its words and phrases far behind the start, and by no other', async () => {
    const stele = await (await bed.place()).stele()
    const filler = Array.from({ length: 17_000 }, (_, index) => (index % 2 === 0 ? 'one' : 'two')).join(' ')
    await say(stele, [`${filler} needle found here`])
    await say(stele, ['x'.repeat(70_000), `${'y'.repeat(100)} end`])
    expect(await found(stele, '"needle found"')).toHaveLength(1)
    expect(await found(stele, '"found needle"')).toEqual([])
    expect(await found(stele, 'needle -"found needle"')).toHaveLength(1)
    expect(await found(stele, 'needle -"two two"')).toHaveLength(1)
    expect(await found(stele, 'needle -"one two"')).toEqual([])
    expect(await found(stele, 'y'.repeat(100))).toHaveLength(1)
    expect(await found(stele, 'y'.repeat(99))).toEqual([])
    expect(await found(stele, `end -${'y'.repeat(99)}`)).toHaveLength(1)
    expect(await found(stele, `${'y'.repeat(80)}*`)).toHaveLength(1)
  })

  test('messages of any time are found, and of one moment as many as there are', async () => {
    const stele = await (await bed.place()).stele()
    for (const createdAt of [0, 1, Date.UTC(2200, 0), Date.now()])
      await begin(stele, chatBody([user(`word ${createdAt}`)]), {
        createdAt,
        callId: lowestIdAt('call', createdAt),
      })
    await say(stele, numbered(30, 'word'))
    expect(new Set(await found(stele, 'word')).size).toBe(34)
  })
}
