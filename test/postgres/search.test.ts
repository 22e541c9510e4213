import { expect, test } from 'vitest'
import type { SearchHit } from '../../src/store/search.ts'
import { indexed, say } from '../conformance/search.suite.ts'
import { postgresPlace } from '../harness/databases.ts'

const count = 8_500

/** Message 4, one of the oldest, alone has these words in this order; three have a rare one. */
function textOf(number: number): string {
  const words = number === 4 ? 'beta alpha' : 'alpha beta'
  return `${words} ${number % 3_000 === 5 ? 'rare' : 'usual'} m${number}`
}

test('more messages than are looked at one by one: common words, rare ones and rare phrases are found, each once', async () => {
  const stele = await (await postgresPlace()).stele()
  for (let from = 0; from < count; from += 1_000)
    await say(
      stele,
      Array.from({ length: Math.min(1_000, count - from) }, (_, index) => textOf(from + index)),
    )
  await indexed(stele)
  const pages = async (query: string, limit = 100): Promise<{ hits: SearchHit[]; pages: number }> => {
    const hits: SearchHit[] = []
    for (let cursor: string | undefined, number = 1; ; number++) {
      const page = await stele.search({ userId: 'ada', query, limit, cursor })
      hits.push(...page.hits)
      cursor = page.cursor
      if (cursor === undefined) return { hits, pages: number }
    }
  }
  const all = await pages('usual')
  expect(all.hits).toHaveLength(count - 3)
  expect(new Set(all.hits.map(({ messageId }) => messageId)).size).toBe(count - 3)
  const rare = await pages('alpha rare')
  expect([rare.hits.length, rare.pages]).toEqual([3, 1])
  expect((await pages('alpha rare', 1)).hits.map(({ seq }) => seq).sort()).toEqual([5, 5, 5])
  const phrase = await pages('"beta alpha"')
  expect(phrase.hits.map(({ snippet }) => snippet.text)).toEqual([textOf(4)])
  expect(await pages('"beta alpha" rare')).toEqual({ hits: [], pages: 1 })
  expect((await pages('usual -alpha')).hits).toEqual([])
})
