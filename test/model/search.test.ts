import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matchText, type Ranges } from '../../src/model/search-match.ts'
import { parseSearchQuery } from '../../src/model/search-query.ts'
import { searchedLength, wordsOf } from '../../src/model/search-words.ts'
import { searchedText } from '../../src/model/searched-text.ts'
import { snippetOf } from '../../src/model/snippet.ts'

const anyText = fc.string({ unit: 'binary', maxLength: 200 })

/** Words, some of them long, some in scripts without spaces, between spaces of all kinds. */
const prose = fc
  .array(
    fc.tuple(
      fc.constantFrom('needle', 'hay', '😀', '東京都', 'é'.repeat(90), 'x'.repeat(300), 'Straße'),
      fc.constantFrom(' ', '\n', '\t ', '. ', ''),
    ),
    { maxLength: 120 },
  )
  .map(pieces => pieces.flat().join(''))

function cutOut(text: string, ranges: Ranges): string[] {
  return ranges.map(([start, end]) => text.slice(start, end))
}

describe('words', () => {
  test('stand where they say, apart and in order, and hold nothing that a database could read as more', () => {
    fc.assert(
      fc.property(anyText, text => {
        let at = 0
        for (const { folded, start, end } of wordsOf(text)) {
          expect(start).toBeGreaterThanOrEqual(at)
          expect(end).toBeGreaterThan(start)
          at = end
          expect(folded).toMatch(/^[\p{L}\p{N}\p{M}]+$/u)
          expect(folded).not.toMatch(/[A-Z]/)
        }
      }),
    )
  })

  test('are the same whether a text is all ASCII or not', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 100 }), text => {
        expect(wordsOf(text)).toEqual(wordsOf(`${text} é`).slice(0, -1))
      }),
    )
  })

  test('of each form of a letter are one', () => {
    const folded = (text: string) => wordsOf(text).map(word => word.folded)
    for (const forms of [
      ['é', 'e\u0301', 'É', 'E'],
      ['İ', 'i'],
      ['ß', 'ẞ', 'SS'],
      ['ſ', 's'],
      ['が', 'か\u3099', 'ｶﾞ'.replace('ｶ', 'か')],
      ['ﬃ', 'ffi'],
      ['Σ', 'σ', 'ς'],
      ['½', '12'],
    ])
      expect(new Set(forms.map(form => folded(form).join('|'))).size, forms.join(' ')).toBe(1)
    expect(folded('か')).not.toEqual(folded('が'))
  })

  test('behind the length that is searched are left out', () => {
    expect(wordsOf(`${'a '.repeat(searchedLength)}end`).at(-1)?.folded).toBe('a')
    expect(wordsOf(`${'é '.repeat(searchedLength)}end`).at(-1)?.folded).toBe('e')
  })
})

describe('a query', () => {
  test.each([
    ['one two', [['one'], ['two']], []],
    ['"one two" three', [['one', 'two'], ['three']], []],
    ['-one two -"three four"', [['two']], [['one'], ['three', 'four']]],
    ['one-two', [['one', 'two']], []],
    ['„eins zwei” „drei', [['eins', 'zwei'], ['drei']], []],
    ['one"two three"four', [['one'], ['two', 'three'], ['four']], []],
    ['- one -- -! two', [['one'], ['two']], []],
  ] as const)('%s is read as a person means it', (text, wanted, unwanted) => {
    const query = parseSearchQuery(text)
    expect(query.wanted.map(({ words }) => words)).toEqual(wanted)
    expect(query.unwanted.map(({ words }) => words)).toEqual(unwanted)
  })

  test('with a star behind a word finds how it may go on; within quotes it says nothing', () => {
    const isPrefix = (text: string) => parseSearchQuery(text).wanted.at(-1)?.isPrefix
    expect(['pla*', '-x pla*', 'one-pla*', 'pla**', '"pla*"', 'pla', 'pla *', '東*'].map(isPrefix)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ])
  })
})

describe('a match', () => {
  const match = (query: string, text: string) => matchText(parseSearchQuery(query), text)
  const rank = (query: string, text: string) => match(query, text)?.rank ?? Number.NaN

  test('tells every place, in order, once', () => {
    const text = 'A needle, two NEEDLES, a needle case and Needle.'
    expect(cutOut(text, match('needle*', text)?.ranges ?? [])).toEqual([
      'needle',
      'NEEDLES',
      'needle',
      'Needle',
    ])
    expect(cutOut(text, match('"needle case" needle', text)?.ranges ?? [])).toEqual([
      'needle',
      'needle case',
      'Needle',
    ])
    expect(match('needle -case', text)).toBeUndefined()
  })

  test('is the better the more often, the shorter the text, the nearer the words', () => {
    expect(rank('cat', 'cat cat dog')).toBeGreaterThan(rank('cat', 'cat dog dog'))
    expect(rank('cat', 'a cat')).toBeGreaterThan(rank('cat', `a cat ${'and more '.repeat(50)}`))
    expect(rank('black cat', 'a black cat and one dog')).toBeGreaterThan(
      rank('black cat', 'a cat and one black dog'),
    )
    const far = `black ${'dog '.repeat(5)}cat`
    expect(rank('black cat', `${far} black cat`)).toBeGreaterThan(
      rank('black cat', `${far} cat black dog`) - 1,
    )
  })
})

describe('a snippet', () => {
  test('is one line of the text around what was found, which its ranges cut out', () => {
    fc.assert(
      fc.property(prose, text => {
        const found = matchText(parseSearchQuery('needle*'), text)
        if (found === undefined) return
        const snippet = snippetOf(text, found.ranges)
        expect(snippet.text).not.toMatch(/[\n\t]/)
        expect(snippet.text.isWellFormed()).toBe(true)
        expect(snippet.text.length).toBeLessThan(3 * (200 + 140) + 20 + 7 * found.ranges.length * 70)
        expect(snippet.ranges.length).toBeGreaterThan(0)
        for (const piece of cutOut(snippet.text, snippet.ranges)) expect(piece).toMatch(/^needle/)
        let at = 0
        for (const [start, end] of snippet.ranges) {
          expect(start).toBeGreaterThanOrEqual(at)
          at = end
        }
        expect(at).toBeLessThanOrEqual(snippet.text.length)
      }),
    )
  })

  test('says where something is left out, and leaves words whole', () => {
    const text = `${'before '.repeat(20)}needle ${'after '.repeat(40)}needle`
    const { ranges } = matchText(parseSearchQuery('needle'), text) ?? { ranges: [] }
    const snippet = snippetOf(text, ranges)
    expect(snippet.text).toMatch(/^… (before )+needle( after)+ … (after )+needle$/)
    expect(cutOut(snippet.text, snippet.ranges)).toEqual(['needle', 'needle'])
    expect(snippetOf('all of it', [[0, 3]])).toEqual({ text: 'all of it', ranges: [[0, 3]] })
  })
})

test('of what is no message there is nothing to search', () => {
  for (const raw of [
    '',
    '{',
    'null',
    '[]',
    '"text"',
    '{"content":null}',
    '{"content":[null,7,{"type":"x"}]}',
  ])
    expect(searchedText(raw)).toBe('')
})
