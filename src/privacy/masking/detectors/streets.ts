import { isDigit, isWord, matchAt } from '../finding.ts'

/** Addresses of houses, found from the number that stands in them. */

const name = "[A-Z0-9ÀÂÄÉÈÊÎÔÖÜÇ][\\wÀ-ÿ'’.-]{0,30}"
const strong = 'Street|Avenue|Ave|Road|Rd|Boulevard|Blvd|Highway|Hwy|Parkway|Pkwy|Terrace|Crescent|Mews'
/** These are also other words: they count where the line, the sentence or the part of the address ends with them. */
const weak =
  'St|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Circle|Cir|Trail|Trl|Close|Row|Gardens|Grove'
const unit = '(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|#)\\.? ?#?[A-Za-z0-9-]{1,6})?'
const city = "(?:,? [A-Z][\\wÀ-ÿ'’.-]{1,30}(?: [A-Z][\\wÀ-ÿ'’.-]{1,30}){0,2})"
const zip = '(?:,? (?:[A-Z]{2} )?\\d{5}(?:-\\d{4})?|,? [A-Z]{1,2}\\d[A-Z\\d]? \\d[A-Z]{2})(?!\\w)'
const place = `(?:${city}${zip}|, [A-Z][\\w'’.-]{1,30}(?: [A-Z][\\w'’.-]{1,30}){0,2},? [A-Z]{2}(?![\\w])|${zip})?`

const english = new RegExp(
  `\\d{1,6}[A-Za-z]?(?:-\\d{1,4})? (?:${name} ){1,4}(?:(?:${strong})\\b\\.?|(?:${weak})\\b\\.?(?=[,;:!?)\\n"']|\\.?$|\\. | (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|in|and|with|is|was|near|for|on)\\b))${unit}${place}`,
  'y',
)
const french = new RegExp(
  `\\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|chemin|impasse|all[ée]e|quai|route)(?= )(?: (?:de|du|des|la|le|les|d'|l'))*(?: ?${name}){1,4}(?:,? \\d{5} ${name})?`,
  'y',
)
/** Where the number stands behind the street: what is before it. */
const behind =
  /(?:[A-ZÄÖÜ][\p{L}.-]{1,30} ){0,2}(?:[A-ZÄÖÜ][\p{L}-]{0,30}(?:stra(?:ß|ss)e|str\.|weg|gasse|platz|allee|damm|ufer)|(?:Calle|Avenida|Via|Viale|Piazza|Rua|Plaza|Paseo) (?:[\p{L}.'’]{1,20} ){0,3}[\p{L}'’]{2,20},?) $/u
const behindEnd = /\d{1,4}[a-z]?(?![\w]|[.,]\d)(?:,? (?:[A-Z]{1,2}-)?\d{4,5} [A-ZÄÖÜ][\p{L}-]{1,30})?/uy
const box = /P\.? ?O\.? ?Box $/i
const boxEnd = new RegExp(`\\d{1,6}(?!\\w)${place}`, 'y')

/** Any of the words that stand before a number in an address, for a first look. */
const streetWords =
  /stra(?:ß|ss)e|str\.|weg|gasse|platz|allee|damm|ufer|Calle|Avenida|Via|Piazza|Rua|Plaza|Paseo|Box/

const [space, comma, hyphen, lowerA, lowerZ] = [32, 44, 45, 97, 122] as const
/** Of what French streets are, and of `bis` and `ter`. */
const frenchFirst: ReadonlySet<number> = new Set([...'rabpciqt'].map(letter => letter.charCodeAt(0)))

/** The stretch of an address in which the number at `at` is the house's, or the box's. */
export function streetAt(text: string, at: number): { start: number; end: number } | undefined {
  const found = goesOn(text, at) ? (matchAt(english, text, at) ?? matchAt(french, text, at)) : undefined
  if (found !== undefined) return { start: at, end: at + found.replace(/[.,]$/, '').length }
  if (text.charAt(at - 1) !== ' ') return undefined
  const before = text.slice(Math.max(0, at - 80), at)
  if (!streetWords.test(before)) return undefined
  const [pattern, end] = box.test(before) ? [box, boxEnd] : [behind, behindEnd]
  const street = pattern.exec(before)?.[0]
  const rest = street === undefined ? undefined : matchAt(end, text, at)
  if (street === undefined || rest === undefined) return undefined
  return { start: at - street.length, end: at + rest.length }
}

/** Whether a word follows the number that the name of a street may begin with. */
function goesOn(text: string, at: number): boolean {
  let end = at + 1
  while (end - at < 8 && isDigit(text.charCodeAt(end))) end++
  if (end - at >= 8) return false
  const next = text.charCodeAt(end)
  if (next !== space) return next === comma || next === hyphen || isWord(next)
  const first = text.charCodeAt(end + 1)
  return first < lowerA || first > lowerZ || frenchFirst.has(first)
}
