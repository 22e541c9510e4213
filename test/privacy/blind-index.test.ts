import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { matchText } from '../../src/model/search-match.ts'
import { parseSearchQuery, type SearchQuery } from '../../src/model/search-query.ts'
import {
  type IndexedText,
  type IndexItem,
  indexedText,
  indexQuery,
  type Tokens,
} from '../../src/model/search-terms.ts'
import { BlindIndex } from '../../src/privacy/blind-index.ts'

const newKey = (id = 'k') => ({ id, key: createSecretKey(randomBytes(32)) })

/** Words that stand for themselves. */
const plain: Tokens = { word: word => word, start: letters => `${letters}*` }

test('a token is the first 60 bits of an HMAC of what it stands for, as letters and digits', () => {
  const key = newKey()
  const tokens = new BlindIndex().tokens(key)
  const bits = createHmac('sha256', key.key).update('wneedle').digest().readBigUInt64BE()
  // The first 30 bits of each 32, five at a time.
  const groups = [bits >> 34n, (bits >> 2n) & 0x3fff_ffffn].flatMap(half =>
    [25n, 20n, 15n, 10n, 5n, 0n].map(shift => Number((half >> shift) & 31n)),
  )
  const expected = groups.map(digit => 'abcdefghijklmnopqrstuvwxyz234567'[digit]).join('')
  expect(tokens.word('needle')).toBe(expected)
  expect(tokens.word('needle')).toBe(expected)
})

test('tokens differ by word, by key, and by what they stand for; the same key makes the same', () => {
  const index = new BlindIndex()
  const [first, second] = [newKey('1'), newKey('2')]
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      const { word, start } = index.tokens(first)
      expect(word(a)).toMatch(/^[a-z2-7]{12}$/)
      expect(word(a) === word(b)).toBe(a === b)
      expect(start(a)).not.toBe(word(a))
      expect(index.tokens(second).word(a)).not.toBe(word(a))
      expect(new BlindIndex().tokens(first).word(a)).toBe(word(a))
    }),
    { numRuns: 30 },
  )
})

test('more keys and words than are remembered get the same tokens as ever', () => {
  const index = new BlindIndex()
  const key = newKey()
  const before = Array.from({ length: 17_000 }, (_, number) => index.tokens(key).word(`w${number}`))
  const again = () => [0, 9_000, 16_999].map(number => index.tokens(key).word(`w${number}`))
  expect(again()).toEqual([before[0], before[9_000], before[16_999]])
  for (let number = 0; number < 300; number++) index.tokens(newKey(`k${number}`)).word('w')
  expect(again()).toEqual([before[0], before[9_000], before[16_999]])
  expect(new Set(before).size).toBe(before.length)
})

const word = fc.constantFrom(
  'a',
  'ab',
  'abc',
  'abcd',
  'abcde',
  'abd',
  'éclair',
  'ecl',
  '東',
  '京',
  '😀',
  '𝒜𝒷𝒸',
)
const sentence = fc.array(word, { minLength: 1, maxLength: 12 }).map(words => words.join(' '))
const asked = fc
  .array(fc.tuple(fc.constantFrom('', '-'), sentence, fc.constantFrom('word', 'phrase', 'start')), {
    minLength: 1,
    maxLength: 4,
  })
  .map(items =>
    items
      .map(([minus, text, kind]) => {
        const [first = ''] = text.split(' ')
        return `${minus}${kind === 'phrase' ? `"${text}"` : kind === 'start' ? `${first}*` : first}`
      })
      .join(' '),
  )

test('an index of tokens leads to the same texts as one of words, and to all that the query finds', () => {
  const tokens = new BlindIndex().tokens(newKey())
  fc.assert(
    fc.property(sentence, asked, (text, query) => {
      const parsed = readable(query)
      if (parsed === undefined) return
      const found = isFound(indexedText(tokens, text), indexQuery(tokens, parsed))
      expect(found).toBe(isFound(indexedText(plain, text), indexQuery(plain, parsed)))
      if (matchText(parsed, text) !== undefined) expect(found).toBe(true)
    }),
    { numRuns: 500 },
  )
})

function readable(query: string): SearchQuery | undefined {
  try {
    return parseSearchQuery(query)
  } catch {
    return undefined
  }
}

function isFound(text: IndexedText, { wanted, unwanted }: ReturnType<typeof indexQuery>): boolean {
  return wanted.every(item => holds(text, item)) && !unwanted.some(item => holds(text, item))
}

function holds({ words, starts }: IndexedText, item: IndexItem): boolean {
  const isThere = words.some((_, at) => item.words.every((each, index) => words[at + index] === each))
  return isThere && (item.start === undefined || starts.includes(item.start))
}
