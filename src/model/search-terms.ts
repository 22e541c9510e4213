import type { SearchItem, SearchQuery } from './search-query.ts'
import { wordsOf } from './search-words.ts'

/**
 * What stands for words in an index, which never sees one: a token for each word, and a token for each of the ways in which
 * a message's words begin, so that a word can be looked for by its first letters.
 */
export interface Tokens {
  /** @param word folded */
  word(word: string): string
  /** @param letters the first ones of a word, as many as one of `startLengths` */
  start(letters: string): string
}

/** How many letters of a word's beginning have a token, where the word has as many. */
const startLengths = [4, 2] as const

/** One thing to look for in an index. */
export interface IndexItem {
  /** Of words that follow each other; none when only the beginning of one is known. */
  readonly words: readonly string[]
  /** Of how the word behind them begins, which may stand anywhere in what is found. */
  readonly start: string | undefined
}

/** A query as an index is asked it. What it finds holds every message that the query does, and may hold others. */
export interface IndexQuery {
  readonly wanted: readonly IndexItem[]
  readonly unwanted: readonly IndexItem[]
}

/** A text as an index holds it. */
export interface IndexedText {
  /** In the order of the text. */
  readonly words: readonly string[]
  /** Each once. */
  readonly starts: readonly string[]
}

export function indexedText(tokens: Tokens, text: string): IndexedText {
  const words = wordsOf(text).map(({ folded }) => folded)
  const starts = new Set<string>()
  for (const word of new Set(words)) {
    const letters = [...word.slice(0, startLengths[0] * 2)]
    for (const length of startLengths)
      if (letters.length >= length) starts.add(letters.slice(0, length).join(''))
  }
  return { words: words.map(tokens.word), starts: [...starts].map(tokens.start) }
}

export function indexQuery(tokens: Tokens, { wanted, unwanted }: SearchQuery): IndexQuery {
  const asItem = ({ words, isPrefix }: SearchItem): IndexItem => ({
    words: (isPrefix ? words.slice(0, -1) : words).map(tokens.word),
    start: isPrefix ? tokens.start(startOf(words.at(-1) ?? '')) : undefined,
  })
  return {
    wanted: wanted.map(asItem),
    // What begins as an unwanted word does may go on otherwise; its text tells.
    unwanted: unwanted.filter(isWhole).map(asItem),
  }
}

/** As much of it as has a token. */
function startOf(prefix: string): string {
  const letters = [...prefix]
  const length = startLengths.find(each => each <= letters.length) ?? 0
  return letters.slice(0, length).join('')
}

/** Whether an index tells all that an item says. */
function isWhole({ words, isPrefix }: SearchItem): boolean {
  const [word = ''] = words
  return !isPrefix || (words.length === 1 && startOf(word) === word)
}
