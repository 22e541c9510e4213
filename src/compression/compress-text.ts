import { bareCode } from './blocks.ts'
import type { CompressionLevel } from './levels.ts'
import { byCharacters, byWords, nameRepeats } from './lossless.ts'
import { compressLossily } from './lossy.ts'

/**
 * What the levels do, by number: what a provider got is made again from the request, so whoever changes what a level does to
 * any text adds a version and keeps the ones before it.
 */
export const versions: Readonly<Record<number, (text: string, level: CompressionLevel) => string>> = {
  1: (text, level) => {
    if (text.length > longestText) return text
    return level === 'lossless' ? nameRepeats(text, byCharacters) : compressLossily(text, level)
  },
  /** Leaves commands, rows of data and settings alone too, and names only what surely pays. */
  2: (text, level) => {
    if (text.length > longestText) return text
    return level === 'lossless' ? nameRepeats(text, byWords(text)) : compressLossily(text, level, bareCode)
  },
}

/** Characters of a text: a longer one is sent as it is, since nobody else is served while one is looked through. */
const longestText = 200_000

/** The one that requests are compressed with. */
export const currentVersion = 2
