import type { SearchItem, SearchQuery } from './search-query.ts'
import { type Word, wordsOf } from './search-words.ts'

/** Where a text holds what was looked for, as half-open ranges of its UTF-16 units, in order and apart. */
export type Ranges = readonly (readonly [start: number, end: number])[]

export interface TextMatch {
  readonly ranges: Ranges
  /** Higher is better. Of the text and the query alone, so it does not change while others write. */
  readonly rank: number
}

/** Of BM25 (Robertson and Zaragoza 2009): how soon more of the same word says no more, and how much length counts. */
const saturation = 1.2
const lengthWeight = 0.75

/** Words of a message that counts as neither long nor short. */
const typicalWords = 100

/** The words from `first` to `last`, counted from 0. */
interface Occurrence {
  readonly first: number
  readonly last: number
}

/**
 * Whether a text is found by a query; undefined when it is not. Ranked by BM25's count of words against length, and by how
 * near to each other different ones stand. How rare a word is in all messages is left out: every message that is found
 * holds every word, and it would change with each that is written.
 */
export function matchText(query: SearchQuery, text: string): TextMatch | undefined {
  const words = wordsOf(text)
  const wanted = query.wanted.map(item => occurrencesOf(item, words))
  if (wanted.some(found => found.length === 0)) return undefined
  if (query.unwanted.some(item => occurrencesOf(item, words).length > 0)) return undefined
  const norm = saturation * (1 - lengthWeight + (lengthWeight * words.length) / typicalWords)
  const frequency = wanted.reduce((sum, { length }) => sum + (length * (saturation + 1)) / (length + norm), 0)
  const nearness = wanted.length === 1 ? 0 : wanted.length / shortestSpan(wanted)
  return { ranges: rangesOf(wanted.flat(), words), rank: Math.round((frequency + nearness) * 1e6) / 1e6 }
}

function occurrencesOf({ words: looked, isPrefix }: SearchItem, words: readonly Word[]): Occurrence[] {
  const found: Occurrence[] = []
  const end = looked.length - 1
  const [head] = looked
  for (let first = 0; first + end < words.length; first++) {
    // Most words differ from the first already.
    if (end > 0 && words[first]?.folded !== head) continue
    const isHere = looked.every((word, index) => {
      const there = words[first + index]?.folded
      return isPrefix && index === end ? there?.startsWith(word) : there === word
    })
    if (isHere) found.push({ first, last: first + end })
  }
  return found
}

/** Words in the shortest stretch that holds one occurrence of every item. */
function shortestSpan(wanted: readonly (readonly Occurrence[])[]): number {
  const places = wanted
    .flatMap((found, item) => found.map(({ first, last }) => ({ item, first, last })))
    .sort((a, b) => a.first - b.first)
  const held = new Map<number, number>()
  let shortest = Number.POSITIVE_INFINITY
  let from = 0
  let reach = 0
  for (const { item, last } of places) {
    held.set(item, (held.get(item) ?? 0) + 1)
    reach = Math.max(reach, last)
    for (let start = places[from]; held.size === wanted.length && start !== undefined; start = places[from]) {
      shortest = Math.min(shortest, reach - start.first + 1)
      const left = (held.get(start.item) ?? 0) - 1
      if (left === 0) held.delete(start.item)
      else held.set(start.item, left)
      from++
    }
  }
  return Math.max(shortest, wanted.length)
}

function rangesOf(found: readonly Occurrence[], words: readonly Word[]): Ranges {
  const ranges: [number, number][] = []
  for (const { first, last } of found.toSorted((a, b) => a.first - b.first || a.last - b.last)) {
    const start = words[first]?.start ?? 0
    const end = words[last]?.end ?? 0
    const before = ranges.at(-1)
    if (before !== undefined && start <= before[1]) before[1] = Math.max(before[1], end)
    else ranges.push([start, end])
  }
  return ranges
}
