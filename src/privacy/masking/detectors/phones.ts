import { type CountryCode, getCountryCallingCode, parsePhoneNumberFromString } from 'libphonenumber-js'
import { follows, isWord, matchAt } from '../finding.ts'

/** Numbers of telephones, international, as North America writes them, and any that the words before them tell. */

/** Every separator is one and must be there, so a match needs no second try. */
const run = /\+?\(?\d{1,15}(?:(?:\)[ -]?|[ ./-]|[ -]\()\d{1,12}){0,6}/y
const american = /(?:1[ .-])?(?:\([2-9]\d{2}\)[ -]?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?![\w]|[-.]\d)/y
const date = /^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:$| )/
const lastGroup = /(?:\)[ -]?|[ ./-]|[ -]\()\d+$/
const phoneWord =
  /(?:phone|\btel\b|\bmobile|\bmob\b|\bcell\b|\bfax\b|whats ?app|\bsms\b|\btext (?:me|us)|\b(?:call|ring|reach|dial|contact) (?:me|us|him|her|them)|\bdial\b|telefon|\bhandy\b|t[ée]l[ée]phone|tel[ée]fono|rufnummer)[^\n\d]{0,24}$/i
const otherNumber =
  /(?:order|invoice|ref(?:erence)?|ticket|case|serial|sku|part|model|tracking|batch|item|article|product|account|policy|customer|isbn|build|version|\bid)(?: (?:no|number|id|code))?\.?[\s:#=]*$/i
/** Where a number without its country's is looked for, beside the region of the installation. */
const regions: readonly CountryCode[] = ['GB', 'DE', 'FR', 'IT', 'NL', 'AU']

/** What is given is the number, not a text around it. */
const exactly = { extract: false } as const

export interface PhoneOptions {
  /** Where numbers are dialled that name no country. */
  readonly region: CountryCode
}

/** The stretch of a telephone's number whose first digit is at `at`. */
export function phoneAt(
  text: string,
  at: number,
  options: PhoneOptions,
): { start: number; end: number } | undefined {
  const start = startOf(text, at)
  if (start > 0 && isWord(text.charCodeAt(start - 1))) return undefined
  const local = matchAt(american, text, start)
  // Words before it are looked for only where they decide.
  let told: boolean | undefined
  const isTold = (): boolean => {
    told ??= follows(phoneWord, text, start)
    return told
  }
  if (local === undefined && !isPlain(text.charCodeAt(start)) && !isTold()) return undefined
  if (follows(otherNumber, text, start, 24) && !isTold()) return undefined
  if (local !== undefined) return { start, end: start + local.length }
  let found = matchAt(run, text, start) ?? ''
  for (let tries = 0; tries < 4 && found !== ''; tries++) {
    const end = start + found.length
    if (!isWord(text.charCodeAt(end)) && isPhone(found, isTold, options)) return { start, end }
    const shorter = found.replace(lastGroup, '')
    if (shorter === found) break
    found = shorter
  }
  return undefined
}

/** Whether a number begins as hardly any but those of telephones do: `+`, `(`, `0`. */
function isPlain(code: number): boolean {
  return code === 43 || code === 40 || code === 48
}

function startOf(text: string, at: number): number {
  let start = at
  if (text.charAt(start - 1) === '(') start--
  if (text.charAt(start - 1) === '+') start--
  return start
}

function isPhone(found: string, isTold: () => boolean, { region }: PhoneOptions): boolean {
  const digits = found.replace(/\D/g, '').length
  if (digits < 7 || digits > 15 || date.test(found)) return false
  if (found.startsWith('+')) {
    const parsed = parsePhoneNumberFromString(found, exactly)
    if (parsed === undefined) return false
    // Being possible costs less to find out than being valid.
    return ((digits >= 10 || isTold()) && parsed.isPossible()) || parsed.isValid()
  }
  if (isTold()) return !found.startsWith('(') || found.includes(')')
  if (digits < 10 || !/[ ()/-]/.test(found) || !/^\(?0/.test(found)) return false
  // No number there begins with the prefix of other countries' own calls.
  const isTried = (one: CountryCode): boolean => getCountryCallingCode(one) !== '1'
  return [...new Set([region, ...regions])]
    .filter(isTried)
    .some(one => parsePhoneNumberFromString(found, { ...exactly, defaultCountry: one })?.isValid() === true)
}
