import { eachMatch, type Report } from '../finding.ts'

/** What only the words before it tell: a date of birth, the number of a passport. */

const birthWord =
  /\b(?:born|birth(?:day|date)?|d\.?o\.?b\b|geboren|geburts(?:datum|tag)|geb\.|n[ée]e? le|naissance|nacid[oa]|nacimiento|nat[oa] il|nascita|birth_?date|date_?of_?birth)/gi
const months =
  'jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?'
const year = '(?:19\\d{2}|20[0-2]\\d)'
const birthDate = new RegExp(
  [
    `\\b${year}[-/.](?:0?[1-9]|1[0-2])[-/.](?:3[01]|[12]\\d|0?[1-9])(?!\\d)`,
    `\\b(?:3[01]|[12]\\d|0?[1-9])[-/. ](?:3[01]|[12]\\d|0?[1-9])[-/. ](?:${year}|\\d{2})(?!\\d)`,
    `\\b(?:3[01]|[12]\\d|0?[1-9])(?:st|nd|rd|th)?\\.?(?: of)?[ -](?:${months})\\.?,?[ -]${year}(?!\\d)`,
    `\\b(?:${months})\\.? (?:3[01]|[12]\\d|0?[1-9])(?:st|nd|rd|th)?,? ${year}(?!\\d)`,
  ].join('|'),
  'i',
)
/** Characters in which a value follows the word that tells of it, and where it cannot follow any more. */
const reach = 48
const sentenceEnd = /(?<!\b(?:[Nn]o|[Nn]r|[Nn]um))[.!?]\s+[A-Z]|\n\s*\n/

function after(text: string, from: number): string {
  const near = text.slice(from, from + reach)
  const end = near.search(sentenceEnd)
  return end === -1 ? near : near.slice(0, end)
}

export function findBirthDates(text: string, report: Report): void {
  eachMatch(birthWord, text, ({ index, 0: word }) => {
    const from = index + word.length
    const found = birthDate.exec(after(text, from))
    if (found !== null) report('BIRTH_DATE', from + found.index, from + found.index + found[0].length)
  })
}

const passportWord = /passport|reisepass|passeport|pasaporte|passaporto/gi
const passport =
  /(?<![A-Za-z0-9]|\d\.)(?:[A-Z]{1,2}[0-9]{6,8}|[0-9]{8,9}|[A-Z0-9]{9}|[A-Z]{1,3}[0-9]{5,7}[A-Z]?)(?![A-Za-z0-9]|[-/.][0-9])/g

export function findPassports(text: string, report: Report): void {
  eachMatch(passportWord, text, ({ index, 0: word }) => {
    const from = index + word.length
    for (const found of after(text, from).matchAll(passport)) {
      if (found[0].replace(/\D/g, '').length < 4) continue
      report('PASSPORT', from + found.index, from + found.index + found[0].length)
      break
    }
  })
}
