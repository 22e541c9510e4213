import validator from 'validator'
import { follows, isDigit, isWord, matchAt, type Report } from '../finding.ts'
import { ipv4At } from './addresses.ts'
import { letteredIds, nationalIdAt, numericIds } from './national-ids.ts'
import { type PhoneOptions, phoneAt } from './phones.ts'
import { streetAt } from './streets.ts'

/** Everything in which there is a number. The text is gone through once, from number to number. */

const digit = /\d/g
/** How far the digits of one number can reach. */
const extent = /\d[\d()./ +-]{0,40}/y
const iban = /[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?/y
const card = /(?:\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5}|\d{13,19})(?!\w|[.,-]\d)/y
/** Of the networks that issue cards, with the lengths that they issue. */
const issued =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5\d{15}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14,17}|6\d{15,18})$/
const ssn = /(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?!\w|-\d)/y
const bareSsn = /(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}(?!\w)/y
const ssnWord = /(?:\bssn|social security)[^\n\d]{0,24}$/i
const prices: ReadonlySet<string> = new Set('$€£¥#')

export function findNumbers(text: string, report: Report, options: PhoneOptions): void {
  digit.lastIndex = 0
  while (digit.test(text)) {
    const at = digit.lastIndex - 1
    const start = tokenStart(text, at)
    const end = start < at ? lettered(text, start, report) : numbered(text, at, report, options)
    digit.lastIndex = end ?? tokenEnd(text, at)
  }
}

/** A token that begins with letters. Returns where to go on when something was found. */
function lettered(text: string, start: number, report: Report): number | undefined {
  if (!isCapital(text.charCodeAt(start)) || isJoined(text, start)) return undefined
  const account = ibanAt(text, start)
  if (account !== undefined) {
    report('IBAN', start, account)
    return account
  }
  const id = nationalIdAt(letteredIds, text, start)
  if (id !== undefined) report('NATIONAL_ID', start, id)
  return id
}

function numbered(text: string, at: number, report: Report, options: PhoneOptions): number | undefined {
  // The fraction of a number, a price, and what a name goes on with.
  if (isJoined(text, at) || prices.has(text.charAt(at - 1))) return undefined
  const told = (kind: string, end: number | undefined, start = at): number | undefined => {
    if (end !== undefined) report(kind, start, end)
    return end
  }
  if (standsAlone(text, at)) return undefined
  const reach = matchAt(extent, text, at) ?? ''
  const digits = countDigits(reach)
  if (digits >= 13) {
    const found = matchAt(card, text, at)
    if (found !== undefined && isCard(found)) return told('CARD', at + found.length)
  }
  if (digits >= 4 && reach.includes('.')) {
    const end = ipv4At(text, at)
    if (end !== undefined) return told('IP_ADDRESS', end)
  }
  if (digits >= 8) {
    const end = nationalIdAt(numericIds, text, at)
    if (end !== undefined) return told('NATIONAL_ID', end)
    const social = matchAt(ssn, text, at) ?? bareSsnAt(text, at)
    if (social !== undefined) return told('SSN', at + social.length)
  }
  if (digits >= 6 && text.charAt(at - 1) === ' ' && isCapital(text.charCodeAt(at - 2))) {
    const end = nationalIdAt(letteredIds, text, at - 3)
    if (end !== undefined && !isJoined(text, at - 3)) return told('NATIONAL_ID', end, at - 3)
  }
  if (digits >= 7) {
    const phone = phoneAt(text, at, options)
    if (phone !== undefined) return told('PHONE', phone.end, phone.start)
  }
  const street = streetAt(text, at)
  return street && told('ADDRESS', street.end, street.start)
}

/** A short number that nothing goes on from: it is no part of anything that is looked for. */
function standsAlone(text: string, at: number): boolean {
  let end = at + 1
  while (isDigit(text.charCodeAt(end))) end++
  const next = text.charCodeAt(end)
  // Spaces, the ends of lines and of texts, and the marks up to a slash may stand in or behind what is looked for.
  return end - at < 7 && next > 47 && !isWord(next)
}

function bareSsnAt(text: string, at: number): string | undefined {
  const found = matchAt(bareSsn, text, at)
  return found !== undefined && follows(ssnWord, text, at) ? found : undefined
}

function ibanAt(text: string, start: number): number | undefined {
  for (let found = matchAt(iban, text, start) ?? ''; found.length >= 15; ) {
    if (validator.isIBAN(found.replaceAll(' ', '')) && !isWord(text.charCodeAt(start + found.length)))
      return start + found.length
    // Words in capitals may follow.
    const shorter = found.slice(0, Math.max(0, found.lastIndexOf(' ')))
    if (shorter === found) break
    found = shorter
  }
  return undefined
}

function isCard(found: string): boolean {
  const digits = found.replace(/\D/g, '')
  return issued.test(digits) && validator.isLuhnNumber(digits)
}

function isCapital(code: number): boolean {
  return code >= 65 && code <= 90
}

/** Whether a token goes on from one before it: `3.14`, `ORD-4111`, `a_1`. */
function isJoined(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1)
  if (before === 95 || isWord(before)) return true
  if (before !== 45 && before !== 46 && before !== 44) return false
  const further = text.charCodeAt(at - 2)
  return before === 45 ? isWord(further) : isDigit(further)
}

function tokenStart(text: string, at: number): number {
  let start = at
  while (start > 0 && at - start < 32 && isWord(text.charCodeAt(start - 1))) start--
  return start
}

function tokenEnd(text: string, at: number): number {
  let end = at + 1
  while (isWord(text.charCodeAt(end))) end++
  return end
}

function countDigits(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at++) if (isDigit(text.charCodeAt(at))) count++
  return count
}
