import { createSecretKey, randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { BlindIndex, type BlindKey } from '../../src/privacy/blind-index.ts'
import { applyIndex } from '../../src/recorder/apply-index.ts'
import type { Stele } from '../../src/stele.ts'
import { prepareSearch } from '../../src/store/search.ts'
import type { SearchTokens } from '../../src/store/search-keys.ts'
import { queueEverything, removeUserFromSearch } from '../../src/store/search-queue.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { indexOf } from '../harness/every-kind.ts'
import { countOf, inBatch } from '../harness/rows.ts'
import { found, indexed, say } from './search.suite.ts'

const planted = ['Xylophonequartz', 'zwölfboxkämpfer', '東京タワー駅前']

/** Everything that the tables of the search index hold, as it is stored. */
async function indexBytes({ database }: Stele): Promise<Buffer> {
  const { kysely } = database
  const hasWords = await database.hasTable(kysely, 'message_words')
  const parts = hasWords ? ['data', 'idx', 'docsize', 'config'].map(part => `message_words_${part}`) : []
  const pieces: Buffer[] = []
  for (const table of ['message_search', ...parts, 'search_progress', 'search_queue']) {
    const { rows } = await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(table)}`.execute(kysely)
    for (const value of rows.flatMap(row => Object.values(row)))
      pieces.push(value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value)))
  }
  return Buffer.concat(pieces)
}

const newKey = (id: string): BlindKey => ({ id, key: createSecretKey(randomBytes(32)) })

/** Tokens made with the first of these keys, and looked for with all of them. */
function tokensWith(...keys: BlindKey[]): SearchTokens {
  const [key] = keys
  return {
    index: new BlindIndex(),
    keys: {
      current: async (_, userIds) => new Map(key === undefined ? [] : userIds.map(userId => [userId, key])),
      all: async () => keys,
    },
  }
}

/** True when nothing that is queued waits any more. */
async function indexSome(stele: Stele, tokens: SearchTokens, limit: number): Promise<boolean> {
  const { database } = stele
  const { isIndexed } = await inBatch(stele, batch =>
    applyIndex(batch, { kind: 'index', limit }, { ...database.capabilities, tokens }),
  )
  return isIndexed === true
}

/** Indexes everything with these keys. */
async function indexWith(stele: Stele, tokens: SearchTokens): Promise<void> {
  await queueEverything(stele.database)
  while (!(await indexSome(stele, tokens, 50)));
}

async function foundWith({ database }: Stele, tokens: SearchTokens, query = 'word'): Promise<string[]> {
  const { hits } = await prepareSearch(database, tokens, { userId: 'ada', query })()
  return hits.map(({ snippet }) => snippet.text).sort()
}

/** What the index tells whoever has it, and that it tells nothing without its keys. */
export function searchBlindSuite(bed: Bed): void {
  test('no byte of the index is of a word that was said', async () => {
    const stele = await (await bed.place()).stele()
    for (const text of planted) await exchange(stele, [user(`ask ${text}`)], `${text.toUpperCase()} told`)
    await indexed(stele)
    for (const text of planted) expect(await found(stele, text)).toHaveLength(2)
    const bytes = (await indexBytes(stele)).toString('latin1').toLowerCase()
    // What is there, and found by this: conversations and their users.
    expect(bytes).toContain('conv_')
    expect(bytes.length).toBeGreaterThan(1_000)
    for (const text of planted)
      for (const form of [
        text,
        text.toLowerCase(),
        text.slice(0, 4),
        text.normalize('NFKD'),
        'zwolfboxkampfer',
      ])
        expect(bytes, form).not.toContain(Buffer.from(form).toString('latin1').toLowerCase())
  })

  test('the same word of two users is two tokens', async () => {
    const stele = await (await bed.place()).stele()
    const words = ['xylophone quartz sphinx', 'xylophone quartz sphinx']
    await say(stele, words.slice(0, 1))
    await indexed(stele)
    const tokens = new Set((await indexBytes(stele)).toString('latin1').match(/[a-z2-7]{12}/g))
    await say(stele, words.slice(1), 'bob')
    await indexed(stele, 'bob')
    const both = new Set((await indexBytes(stele)).toString('latin1').match(/[a-z2-7]{12}/g))
    expect(both.size).toBeGreaterThan(tokens.size)
  })

  test('with a new key everything is found while the index is made anew, and then without the old one', async () => {
    const stele = await (await bed.place()).stele()
    const [old, young] = [newKey('old'), newKey('young')]
    const both = tokensWith(young, old)
    await say(stele, ['a first word'])
    await say(stele, ['a second word'])
    await indexWith(stele, tokensWith(old))
    expect(await foundWith(stele, tokensWith(old))).toHaveLength(2)
    expect(await foundWith(stele, tokensWith(young))).toEqual([])
    await queueEverything(stele.database, 'ada')
    expect(await indexSome(stele, both, 1)).toBe(false)
    for (const tokens of [tokensWith(old), tokensWith(young)])
      expect(await foundWith(stele, tokens)).toHaveLength(1)
    for (const query of ['word', 'wo*', 'word -third'])
      expect(await foundWith(stele, both, query), query).toEqual(['a first word', 'a second word'])
    await indexWith(stele, both)
    expect(await foundWith(stele, tokensWith(young))).toHaveLength(2)
    expect(await foundWith(stele, tokensWith(old))).toEqual([])
    expect((await indexOf(stele)).texts).toBe(2)
  })

  test('without a key nothing is found and nothing indexed; a user is removed from the index whole', async () => {
    const stele = await (await bed.place()).stele()
    const key = newKey('key')
    await say(stele, ['a first word'])
    await say(stele, ['a second word'])
    await say(stele, ['a word of bob'], 'bob')
    await indexWith(stele, tokensWith(key))
    expect(await foundWith(stele, tokensWith())).toEqual([])
    await removeUserFromSearch(stele.database, 'ada')
    expect((await indexOf(stele)).texts).toBe(1)
    expect(await countOf(stele, 'search_progress')).toBe(1)
    await indexWith(stele, tokensWith())
    expect(await indexOf(stele)).toEqual({ places: [], texts: 0 })
    expect(await foundWith(stele, tokensWith(key))).toEqual([])
  })
}
