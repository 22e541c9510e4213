/** A word of a text as search compares it, and where it stands. */
export interface Word {
  /** In lower case, without accents. */
  readonly folded: string
  /** The half-open range of its UTF-16 units in the text. */
  readonly start: number
  readonly end: number
}

/** Characters of a text that are searched; what stands behind them in a longer one is not found. */
export const searchedLength = 131_072

/** Scripts that are written without spaces between words: every character counts as a word, and a word is a phrase. */
const unspaced = '\\p{scx=Han}\\p{scx=Hira}\\p{scx=Kana}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmer}\\p{sc=Myanmar}'

/** Marks belong to the letter before them, those that half-width kana are voiced with too. */
const character = `(?=[${unspaced}])[\\p{L}\\p{N}][\\p{M}\\uff9e\\uff9f]*`
const anyWord = new RegExp(
  `${character}|(?![${unspaced}])[\\p{L}\\p{N}](?:(?![${unspaced}])[\\p{L}\\p{N}]|\\p{M})*`,
  'gu',
)

const unspacedFirst = new RegExp(`^[${unspaced}]`, 'u')

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII, in which words are found sooner
const asciiOnly = /^[\u0000-\u007f]*$/
const asciiWord = /[a-z0-9]+/g

/** The words of a text in their order: runs of letters and digits in any script. */
export function wordsOf(text: string): Word[] {
  const searched = text.slice(0, searchedLength)
  if (asciiOnly.test(searched)) return asciiWordsOf(searched.toLowerCase())
  const words: Word[] = []
  for (const { 0: word, index } of searched.matchAll(anyWord)) {
    const folded = fold(word)
    if (folded !== '') words.push({ folded, start: index, end: index + word.length })
  }
  return words
}

/** Whether it is a character that counts as a word by itself. */
export function isUnspaced(word: string): boolean {
  return unspacedFirst.test(word)
}

function asciiWordsOf(text: string): Word[] {
  const words: Word[] = []
  asciiWord.lastIndex = 0
  for (let match = asciiWord.exec(text); match !== null; match = asciiWord.exec(text))
    words.push({ folded: match[0], start: match.index, end: asciiWord.lastIndex })
  return words
}

/**
 * Letters that differ in case, accent or width alone become the same. Compatibility forms may bring characters that are
 * no part of a word (a digit in parentheses, a fraction's bar): they go.
 */
function fold(word: string): string {
  return word
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f]|[^\p{L}\p{N}\p{M}]/gu, '')
    .replaceAll('ς', 'σ')
    .replaceAll('ß', 'ss')
    .normalize('NFC')
}
