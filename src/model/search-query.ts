import { SteleError } from '../errors.ts'
import { isUnspaced, type Word, wordsOf } from './search-words.ts'

/** One thing that is looked for: a word, or words that follow each other. */
export interface SearchItem {
  /** Folded, at least one. */
  readonly words: readonly string[]
  /** The last word may go on. */
  readonly isPrefix: boolean
}

/** A message is found that holds all of `wanted` and none of `unwanted`. */
export interface SearchQuery {
  /** At least one. */
  readonly wanted: readonly SearchItem[]
  readonly unwanted: readonly SearchItem[]
}

const longestQuery = 1_000
const mostItems = 32

/** Of a word that may go on so many letters must be given: fewer would be nearly every word. */
const shortestPrefix = 2

/** A minus, then a phrase in quotes (that of the end may be missing) or whatever stands between spaces. */
const item = /(?<minus>(?<!\S)-)?(?:["“”„](?<phrase>[^"“”„]*)(?:["“”„]|$)|(?<word>[^\s"“”„]+))/gu

/**
 * Reads what a person typed: words (all of them), "phrases", -not, prefix*. What joins letters (hyphens, dots,
 * underscores) makes a phrase of them; everything else that is no letter or digit says nothing.
 * @throws SteleError invalid_value
 */
export function parseSearchQuery(text: string): SearchQuery {
  if (text.length > longestQuery) throw invalid(`it is longer than ${longestQuery} characters.`)
  const wanted: SearchItem[] = []
  const unwanted: SearchItem[] = []
  for (const { groups } of text.matchAll(item)) {
    const { minus, phrase, word } = groups ?? {}
    const given = phrase ?? word ?? ''
    const words = wordsOf(given)
    const last = words.at(-1)
    if (last === undefined) continue
    const isPrefix = phrase === undefined && mayGoOn(given, last)
    const found = { words: words.map(({ folded }) => folded), isPrefix }
    if (minus === undefined) wanted.push(found)
    else unwanted.push(found)
  }
  if (wanted.length + unwanted.length > mostItems)
    throw invalid(`it has more than ${mostItems} words and phrases.`)
  if (wanted.length === 0)
    throw invalid(
      unwanted.length === 0
        ? 'it has no word to look for.'
        : 'besides what is not wanted it must have a word that is.',
    )
  return { wanted, unwanted }
}

/** Whether a star follows the last word. A character that is a word by itself cannot go on. */
function mayGoOn(given: string, { folded, end }: Word): boolean {
  if (given[end] !== '*' || isUnspaced(folded)) return false
  if ([...folded].length < shortestPrefix)
    throw invalid(`before * it must have at least ${shortestPrefix} letters.`)
  return true
}

function invalid(reason: string): SteleError {
  return new SteleError('invalid_value', { name: 'query', reason }, { param: 'query' })
}
