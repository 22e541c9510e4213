import { hash } from 'node:crypto'
import type { SearchItem, SearchQuery } from './search-query.ts'
import { wordsOf } from './search-words.ts'

/**
 * What stands for words in an index: the one place that decides what an index gets to see. A term is a user's own: words
 * of other users are other terms, so a search goes through the user's share of the index alone, however many there are,
 * and nothing is learned from it about anybody else's.
 */

/** So many letters and digits of a user's hash. Users that share them see nothing of each other: rows say whose they are. */
const ownerLength = 5

/** Units of a word that its term holds; words that differ only behind them are told apart by their text. */
const longestWord = 64

/** One thing to look for in an index: a term, or terms that follow each other. */
export interface IndexItem {
  readonly terms: readonly string[]
  /** Every term that begins with the last. */
  readonly isPrefix: boolean
}

/** A query as an index is asked it. What it finds holds every message that the query does, and may hold others. */
export interface IndexQuery {
  readonly wanted: readonly IndexItem[]
  readonly unwanted: readonly IndexItem[]
}

/** The terms of a text in its order: letters, digits and marks alone, none of them in upper case. */
export function termsOf(userId: string, text: string): string[] {
  const owner = ownerOf(userId)
  return wordsOf(text).map(({ folded }) => owner + cut(folded))
}

export function indexQuery(userId: string, { wanted, unwanted }: SearchQuery): IndexQuery {
  const owner = ownerOf(userId)
  const asItem = ({ words, isPrefix }: SearchItem): IndexItem => ({
    terms: words.map(word => owner + cut(word)),
    isPrefix: isPrefix && (words.at(-1)?.length ?? 0) <= longestWord,
  })
  return {
    wanted: wanted.map(asItem),
    // By the term of a word that is cut others would be left out too.
    unwanted: unwanted.filter(({ words }) => words.every(word => word.length < longestWord - 1)).map(asItem),
  }
}

function ownerOf(userId: string): string {
  const number = Number.parseInt(hash('sha256', userId, 'hex').slice(0, 12), 16)
  return number.toString(36).padStart(ownerLength, '0').slice(-ownerLength)
}

/** Not between the two halves of a character. */
function cut(word: string): string {
  return word.length <= longestWord
    ? word
    : word.slice(0, longestWord).toWellFormed().replaceAll('\ufffd', '')
}
