import { eachMatch, follows, matchAt, type Report } from '../finding.ts'

/** Secrets: private keys, tokens, keys of services, addresses that hold a password. */

const keyHead = '-----BEGIN '
/** Longer than any key in use. */
const longestKey = 16_384
const keyEnd = /-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/
const isPrivateKey = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/y
/** The letters of a key whose end is missing; as they stand, or with line ends that are written as escapes. */
const keyLetters = /(?:[A-Za-z0-9+/=]{16,}(?:\s|\\r|\\n)*)*/y

export function findPrivateKeys(text: string, report: Report): void {
  for (let at = text.indexOf(keyHead); at !== -1; at = text.indexOf(keyHead, at + keyHead.length)) {
    isPrivateKey.lastIndex = at
    const head = isPrivateKey.exec(text)?.[0]
    if (head === undefined) continue
    const from = at + head.length
    const end = keyEnd.exec(text.slice(from, from + longestKey))
    if (end !== null) {
      report('PRIVATE_KEY', at, from + end.index + end[0].length)
      continue
    }
    const skipped = /^(?:\s|\\r|\\n)*/.exec(text.slice(from, from + 16))?.[0].length ?? 0
    keyLetters.lastIndex = from + skipped
    report('PRIVATE_KEY', at, from + skipped + (keyLetters.exec(text)?.[0].trimEnd().length ?? 0))
  }
}

const token = /(?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{8,8192}\.[\w-]{0,4096}(?:\.[\w-]{1,4096}\.[\w-]{1,4096})?/g

export function findTokens(text: string, report: Report): void {
  if (!text.includes('eyJ')) return
  eachMatch(token, text, ({ index, 0: found }) => report('JWT', index, index + found.length))
}

/** Keys that their services mark by a beginning of their own. */
const markedKey = new RegExp(
  `(?<![A-Za-z0-9])(?:${[
    'sk-[A-Za-z0-9_-]{20,200}',
    '[srp]k_(?:live|test)_[A-Za-z0-9]{16,200}',
    'gh[pousr]_[A-Za-z0-9]{30,255}',
    'github_pat_[A-Za-z0-9_]{30,255}',
    'glpat-[A-Za-z0-9_-]{18,100}',
    'xox[abeprs]-[A-Za-z0-9-]{10,200}',
    '(?:AKIA|ASIA)[A-Z0-9]{16}',
    'AIza[A-Za-z0-9_-]{35}',
    'ya29\\.[A-Za-z0-9_-]{20,300}',
    'SG\\.[A-Za-z0-9_-]{16,40}\\.[A-Za-z0-9_-]{16,80}',
    'hf_[A-Za-z0-9]{30,60}',
    'npm_[A-Za-z0-9]{36}',
    'pypi-[A-Za-z0-9_-]{32,255}',
    'dop_v1_[a-f0-9]{64}',
    'shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}',
    'whsec_[A-Za-z0-9+/=]{24,100}',
  ].join('|')})(?![A-Za-z0-9])`,
  'g',
)

/** What a name says to be a secret, and is long and mixed enough to be one: the words, what a key is called, the value. */
const secretWord = /key|secret|token|bearer/gi
/** Characters of what a key is called. */
const longestCall = 16
const calledKey = /(?:api|secret(?:[_ -]?access)?)[_ -]?$/i
const namedValue = /["']?(?:\s{0,3}(?:[:=]|[iI][sS])\s{0,3}|\s)["']?(?=[A-Za-z0-9])[\w.~+/-]{16,255}={0,2}/y
/** What of that is before the value. */
const introduction = /^["']?(?:\s{0,3}(?:[:=]|is)\s{0,3}|\s)["']?/i

/** The beginnings of those, for a first look. */
const marks =
  /sk[-_]|[pr]k_|gh[pousr]_|github_pat|glpat-|xox[a-z]-|AKIA|ASIA|AIza|ya29|SG\.|hf_|npm_|pypi-|dop_v1|shp[a-z]{2}_|whsec_/

/** What the marks have there. */
const beforeUnderscore: ReadonlySet<number> = new Set([...'kpousrtfmac'].map(letter => letter.charCodeAt(0)))
const beforeHyphen: ReadonlySet<string> = new Set(['sk', 'at', 'pi'])
/** Beginnings that no `-` and no `_` tells. */
const bareMark = /A(?:KIA|SIA|Iza)|ya29|SG\./

export function findKeys(text: string, report: Report): void {
  const mark = mayHaveMark(text) ? text.search(marks) : -1
  if (mark !== -1)
    eachMatch(markedKey, text, ({ index, 0: found }) => report('API_KEY', index, index + found.length), mark)
  eachMatch(secretWord, text, ({ index, 0: word }) => {
    const end = index + word.length
    const found = matchAt(namedValue, text, end)
    if (found === undefined || (word.length === 3 && !follows(calledKey, text, index, longestCall))) return
    const before = introduction.exec(found)?.[0].length ?? 0
    const value = found.slice(before).replace(/[.]+$/, '')
    if (isMixed(value)) report('API_KEY', end + before, end + before + value.length)
  })
}

/** A look that costs less than the marks themselves: at the letters before each `-` and `_`. */
function mayHaveMark(text: string): boolean {
  for (let at = text.indexOf('_'); at !== -1; at = text.indexOf('_', at + 1))
    if (beforeUnderscore.has(text.charCodeAt(at - 1))) return true
  for (let at = text.indexOf('-'); at !== -1; at = text.indexOf('-', at + 1))
    if (beforeHyphen.has(text.slice(at - 2, at)) || text.startsWith('xox', at - 4)) return true
  return bareMark.test(text)
}

/** Words and paths hold no digits among their letters; a secret of 16 characters and more nearly always does. */
function isMixed(value: string): boolean {
  const digits = value.length - value.replace(/\d/g, '').length
  const isMixedCase = /[a-z]/.test(value) && /[A-Z]/.test(value)
  return (
    value.length >= 16 && digits >= (isMixedCase ? 1 : 2) && /[A-Za-z]/.test(value) && !value.includes('://')
  )
}

/** What follows the scheme. */
const credentials = /[^\s/@:"'<>`]{0,256}:[^\s/@"'<>`]{1,256}@[^\s"'<>`)\]}]{1,2048}/y
const scheme = /[a-z][a-z0-9+.-]{1,20}$/i

export function findCredentialUrls(text: string, report: Report): void {
  for (let at = text.indexOf('://'); at !== -1; at = text.indexOf('://', at + 3)) {
    const found = matchAt(credentials, text, at + 3)
    if (found === undefined) continue
    const name = scheme.exec(text.slice(Math.max(0, at - 21), at))?.[0]
    if (name === undefined) continue
    const end = at + 3 + found.length
    report('URL', at - name.length, end - (/[.,;:!?]+$/.exec(found)?.[0].length ?? 0))
    at = end - 3
  }
}
