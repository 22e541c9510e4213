import { blocksOf } from './blocks.ts'

/**
 * Says repeated passages once: where one stands first it gets a name, and after that the name stands for it. A model can read it,
 * a line in front says how, and `expandRepeats` gives back exactly the text that there was: whatever string it is.
 */
const introduction = (mark: string): string =>
  `[${mark}1(text${mark}) gives the text between the name ${mark}1; from there on ${mark}1; stands for it.]\n`

const introduced = /^\[(§[a-z]*)1\(text/

/** Words of a passage at least, and how many passages get names. */
const leastWords = 6
const mostNames = 64
/** What a passage is worth, and what names cost in the same measure: each use, each definition, the line in front. */
export interface Costs {
  readonly size: (passage: string) => number
  readonly use: number
  readonly definition: number
  readonly introduction: number
}

/** In characters, of four to a token: right on average, too little for words of many letters. */
export const byCharacters: Costs = {
  size: ({ length }) => length,
  use: 16,
  definition: 20,
  introduction: 110,
}

/** In tokens: no word has less than one, so what this finds to pay does. A text that holds the usual mark needs a longer one. */
export function byWords(text: string): Costs {
  const size = (passage: string): number => passage.match(/\S+/g)?.length ?? 0
  return text.includes('§')
    ? { size, use: 5, definition: 7, introduction: 30 }
    : { size, use: 3, definition: 5, introduction: 26 }
}

interface Part {
  readonly text: string
  /** Not to be looked into: no prose, or a passage that has a name. */
  readonly passage?: string
  readonly isFixed: boolean
}

/** The inverse is `expandRepeats`: of every string. */
export function nameRepeats(text: string, costs: Costs): string {
  const parts = named(text, costs)
  const isWorth = savedBy(parts, costs) > costs.introduction
  if (!isWorth && !introduced.test(text)) return text
  const mark = unusedMark(text)
  if (!isWorth) return introduction(mark) + text
  const numbers = new Map<string, number>()
  const told = parts.map(({ text: said, passage }) => {
    if (passage === undefined) return said
    const number = numbers.get(passage)
    if (number !== undefined) return `${mark}${number};`
    numbers.set(passage, numbers.size + 1)
    return `${mark}${numbers.size}(${passage}${mark})`
  })
  return introduction(mark) + told.join('')
}

/** The text that `nameRepeats` has made this one of. */
export function expandRepeats(text: string): string {
  const mark = introduced.exec(text)?.[1]
  if (mark === undefined || !text.startsWith(introduction(mark))) return text
  const body = text.slice(introduction(mark).length)
  const passages = new Map<string, string>()
  const used = new RegExp(`${mark}(\\d+)(?:;|\\(([\\s\\S]*?)${mark}\\))`, 'g')
  return body.replace(used, (found, number: string, passage: string | undefined) => {
    if (passage !== undefined) passages.set(number, passage)
    return passages.get(number) ?? found
  })
}

/** A mark that the text does not hold. */
function unusedMark(text: string): string {
  if (!text.includes('§')) return '§'
  for (let number = 0; ; number++) {
    const mark = `§${letters(number)}`
    if (!text.includes(mark)) return mark
  }
}

/** a … z, aa … : a name in letters for every number. */
function letters(number: number): string {
  const last = String.fromCharCode(0x61 + (number % 26))
  return number < 26 ? last : letters(Math.floor(number / 26) - 1) + last
}

/** What names save, but for the line in front. */
function savedBy(parts: readonly Part[], { size, use, definition }: Costs): number {
  const uses = new Map<string, number>()
  for (const { passage } of parts) if (passage !== undefined) uses.set(passage, (uses.get(passage) ?? 0) + 1)
  return [...uses].reduce(
    (sum, [passage, times]) => sum + (times - 1) * (size(passage) - use) - definition,
    0,
  )
}

/** The text in parts, repeated passages apart. */
function named(text: string, { size, use, definition }: Costs): Part[] {
  let parts: Part[] = blocksOf(text).map(({ text: said, isProse }) => ({
    text: said,
    isFixed: !isProse,
  }))
  for (const passage of repeatedPassages(parts)) {
    const split = parts.map(part => (part.isFixed ? [part] : apart(part.text, passage)))
    const uses = split.reduce((sum, some) => sum + some.filter(part => part.passage === passage).length, 0)
    if ((uses - 1) * size(passage) > uses * use + definition) parts = split.flat()
  }
  return parts
}

function apart(text: string, passage: string): Part[] {
  const parts: Part[] = []
  let from = 0
  let next = 0
  for (let at = text.indexOf(passage); at !== -1; at = text.indexOf(passage, next)) {
    next = at + 1
    if (!standsAlone(text, at, at + passage.length)) continue
    next = at + passage.length
    if (at > from) parts.push({ text: text.slice(from, at), isFixed: false })
    parts.push({ text: passage, passage, isFixed: true })
    from = next
  }
  if (from < text.length) parts.push({ text: text.slice(from), isFixed: false })
  return parts
}

/** Whether a stretch cuts no word in two. */
function standsAlone(text: string, start: number, end: number): boolean {
  const isSpace = (at: number): boolean => at < 0 || at >= text.length || /\s/.test(text.charAt(at))
  return (isSpace(start - 1) || isSpace(start)) && (isSpace(end) || isSpace(end - 1))
}

/** Where some words stand first, and how many from there on were found again; 0 for none yet. */
interface FirstPlace {
  readonly words: readonly string[]
  readonly at: number
  length: number
}

/** Passages that are said more than once, those first that save most. */
function repeatedPassages(parts: readonly Part[]): string[] {
  const uses = new Map<string, number>()
  const firsts = new Map<string, FirstPlace>()
  for (const { text, isFixed } of parts) {
    if (isFixed) continue
    const words = text.match(/\S+\s*/g) ?? []
    for (let at = 0; at + leastWords <= words.length; ) {
      const key = words
        .slice(at, at + leastWords)
        .join('')
        .trimEnd()
      const first = firsts.get(key)
      const most = first === undefined ? 0 : lengthOfMatch(first, words, at)
      if (first === undefined || most < leastWords) {
        if (first === undefined) firsts.set(key, { words, at, length: 0 })
        at++
        continue
      }
      // What is said over and over is one passage many times, not a longer one a few times.
      const length = first.length > 0 && most >= 2 * first.length ? first.length : most
      if (first.length === 0) first.length = length
      const passage = words
        .slice(at, at + length)
        .join('')
        .trimEnd()
      uses.set(passage, (uses.get(passage) ?? 1) + 1)
      at += length
    }
  }
  return [...uses]
    .sort(
      ([one, ones], [other, others]) => others * other.length - ones * one.length || (one < other ? -1 : 1),
    )
    .slice(0, mostNames)
    .map(([passage]) => passage)
}

/** How many words from `at` are those from the first place on; the two do not overlap. White space after the last one is none of it. */
function lengthOfMatch(first: FirstPlace, words: readonly string[], at: number): number {
  const most = first.words === words ? at - first.at : Number.POSITIVE_INFINITY
  let length = 0
  while (length < most && at + length < words.length) {
    const [known, said] = [first.words[first.at + length], words[at + length]]
    if (known === said) length++
    else return known?.trimEnd() === said?.trimEnd() ? length + 1 : length
  }
  return length
}
