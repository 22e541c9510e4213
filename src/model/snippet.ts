import type { Ranges } from './search-match.ts'

/** Some of a text around what was found in it: plain text, to be escaped by whoever shows it. */
export interface Snippet {
  readonly text: string
  /** What was found, as half-open ranges of UTF-16 units of `text`, in order and apart. */
  readonly ranges: Ranges
}

const mostFragments = 3

/** UTF-16 units of text on either side of a range. */
const context = 60

/** Of a range that is longer than this only the beginning is shown. */
const longestRange = 200

const gap = ' … '

interface Fragment {
  readonly start: number
  end: number
  readonly ranges: [number, number][]
}

/** Cuts fragments around the ranges, between words where it can, and puts them on one line. */
export function snippetOf(text: string, ranges: Ranges): Snippet {
  const fragments = fragmentsOf(text, ranges)
  let line = ''
  const moved: [number, number][] = []
  for (const [index, { start, end, ranges: own }] of fragments.entries()) {
    if (index > 0) line += gap
    else if (start > 0) line += '… '
    const offset = line.length - start
    // Line ends become spaces, one for one, so that offsets stay.
    line += text.slice(start, end).replace(/\s/g, ' ')
    moved.push(...own.map(([from, to]): [number, number] => [from + offset, to + offset]))
  }
  const end = fragments.at(-1)?.end ?? 0
  return { text: end < text.length ? `${line} …` : line, ranges: moved }
}

function fragmentsOf(text: string, ranges: Ranges): Fragment[] {
  const fragments: Fragment[] = []
  for (const [from, to] of ranges) {
    const rangeEnd = backToCharacter(text, Math.min(to, from + longestRange))
    const start = wordStart(text, Math.max(0, from - context), from)
    const end = wordEnd(text, Math.min(text.length, rangeEnd + context), rangeEnd)
    const last = fragments.at(-1)
    if (last !== undefined && start <= last.end) {
      last.end = Math.max(last.end, end)
      last.ranges.push([from, rangeEnd])
    } else if (fragments.length < mostFragments) fragments.push({ start, end, ranges: [[from, rangeEnd]] })
    else break
  }
  return fragments
}

/** The first beginning of a word at or behind `at`, and not behind `latest`. */
function wordStart(text: string, at: number, latest: number): number {
  if (at === 0) return 0
  const space = text.slice(at - 1, latest).search(/\s/)
  return space < 0 ? backToCharacter(text, at) : at + space
}

/** The last end of a word at or before `at`, and not before `earliest`. */
function wordEnd(text: string, at: number, earliest: number): number {
  if (at === text.length) return at
  const space = /\s\S*$/.exec(text.slice(earliest, at + 1))
  return space === null ? backToCharacter(text, at) : earliest + space.index
}

/** Not between the two halves of a character. */
function backToCharacter(text: string, at: number): number {
  const isInside = /[\ud800-\udbff]/.test(text[at - 1] ?? '') && /[\udc00-\udfff]/.test(text[at] ?? '')
  return isInside ? at - 1 : at
}
