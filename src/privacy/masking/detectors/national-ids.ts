import validator from 'validator'
import { follows } from '../finding.ts'

/** Numbers that states give to people. Those without a form of their own count where the words before them say so. */

interface NationalId {
  /** Sticky. */
  readonly form: RegExp
  /** Ends in `$`; left out when the form tells it already. */
  readonly words?: RegExp
  readonly isValid: (value: string) => boolean
}

const bare = (value: string): string => value.replace(/[^0-9A-Za-z]/g, '')
const tax =
  (locale: string) =>
  (value: string): boolean =>
    validator.isTaxID(bare(value), locale)
const words = (names: string): RegExp => new RegExp(`(?:${names})\\b[^\\n]{0,24}$`, 'i')

/** Of those that begin with a digit, in the order in which they are tried. */
export const numericIds = listOf([
  // Brazil: CPF.
  { form: /\d{3}\.\d{3}\.\d{3}-\d{2}(?!\w)/y, isValid: value => validator.isTaxID(value, 'pt-BR') },
  { form: /\d{11}(?!\w)/y, words: words('cpf'), isValid: tax('pt-BR') },
  // China: resident identity number.
  { form: /\d{17}[\dX](?!\w)/y, isValid: value => validator.isIdentityCard(value, 'zh-CN') },
  // France: number of social security.
  { form: /[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}(?!\w)/y, isValid: isFrench },
  // India: Aadhaar.
  { form: /[2-9]\d{3}[ -]\d{4}[ -]\d{4}(?![\w]|[ -]\d)/y, isValid: isIndian },
  { form: /[2-9]\d{11}(?!\w)/y, words: words('aadhaar|uidai'), isValid: isIndian },
  // South Korea: resident registration number.
  { form: /\d{2}(?:0[1-9]|1[0-2])[0-3]\d-[1-8]\d{6}(?!\w)/y, isValid: isKorean },
  // Sweden and Finland: personal identity numbers.
  {
    form: /\d{2}(?:0[1-9]|1[0-2])[0-3]\d[-+]\d{4}(?!\w)/y,
    isValid: value => validator.isTaxID(value, 'sv-SE'),
  },
  {
    form: /[0-3]\d(?:0[1-9]|1[0-2])\d{2}[-+A]\d{3}[0-9A-Y](?!\w)/y,
    isValid: value => validator.isTaxID(value, 'fi-FI'),
  },
  // Spain: DNI.
  { form: /\d{8}-?[A-HJ-NP-TV-Z](?!\w)/y, isValid: value => validator.isIdentityCard(bare(value), 'ES') },
  // Those that are no more than digits.
  {
    form: /\d{2} ?\d{3} ?\d{3} ?\d{3}(?!\w)/y,
    words: words('steuer-?(?:id|identifikationsnummer|nummer)|idnr|tax id'),
    isValid: tax('de-DE'),
  },
  { form: /\d{11}(?!\w)/y, words: words('pesel'), isValid: value => validator.isIdentityCard(value, 'PL') },
  { form: /\d{9}(?!\w)/y, words: words('bsn|burgerservicenummer|sofinummer'), isValid: tax('nl-NL') },
  {
    form: /\d{3}[ -]?\d{3}[ -]?\d{3}(?!\w)/y,
    words: words('sin|social insurance'),
    isValid: value => validator.isLuhnNumber(bare(value)),
  },
  { form: /\d{3}[ -]?\d{3}[ -]?\d{4}(?!\w)/y, words: words('nhs'), isValid: isBritishHealth },
  { form: /\d{3} ?\d{3} ?\d{3}(?!\w)/y, words: words('tfn|tax file'), isValid: isAustralianTax },
  {
    form: /\d{11}(?!\w)/y,
    words: words('f[øo]dselsnummer|personnummer'),
    isValid: value => validator.isIdentityCard(value, 'NO'),
  },
])

/** Of those that begin with a capital letter. */
export const letteredIds = listOf([
  // United Kingdom: National Insurance.
  {
    form: /(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)/y,
    isValid: () => true,
  },
  // Italy: codice fiscale.
  {
    form: /[A-Z]{6}[0-9L-V]{2}[ABCDEHLMPRST][0-9L-V]{2}[A-Z][0-9L-V]{3}[A-Z](?!\w)/y,
    isValid: value => validator.isTaxID(value, 'it-IT'),
  },
  // Spain: NIE.
  { form: /[XYZ]-?\d{7}-?[A-Z](?!\w)/y, isValid: value => validator.isIdentityCard(bare(value), 'ES') },
  // Singapore: NRIC and FIN.
  { form: /[STFG]\d{7}[A-Z](?!\w)/y, isValid: isSingaporean },
  // India: PAN.
  {
    form: /[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z](?!\w)/y,
    words: words('pan|permanent account'),
    isValid: () => true,
  },
])

interface NationalIds {
  readonly ids: readonly NationalId[]
  /** All forms in one, sticky: most numbers have none of them. */
  readonly anyForm: RegExp
}

function listOf(ids: readonly NationalId[]): NationalIds {
  return { ids, anyForm: new RegExp(ids.map(({ form }) => `(?:${form.source})`).join('|'), 'y') }
}

/** The end of such a number at `at`. */
export function nationalIdAt({ ids, anyForm }: NationalIds, text: string, at: number): number | undefined {
  anyForm.lastIndex = at
  if (!anyForm.test(text)) return undefined
  for (const { form, words: before, isValid } of ids) {
    form.lastIndex = at
    if (!form.test(text) || (before !== undefined && !follows(before, text, at))) continue
    const end = form.lastIndex
    if (isValid(text.slice(at, end))) return end
  }
  return undefined
}

function isFrench(value: string): boolean {
  const digits = bare(value)
  return 97 - (Number(digits.slice(0, 13)) % 97) === Number(digits.slice(13))
}

function isIndian(value: string): boolean {
  return validator.isIdentityCard(bare(value), 'IN')
}

const koreanWeights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]

function isKorean(value: string): boolean {
  const digits = bare(value)
  return (11 - (weighted(digits, koreanWeights) % 11)) % 10 === Number(digits[12])
}

function isBritishHealth(value: string): boolean {
  const digits = bare(value)
  return (11 - (weighted(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11 === Number(digits[9])
}

function isAustralianTax(value: string): boolean {
  return weighted(bare(value), [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 === 0
}

function isSingaporean(value: string): boolean {
  const sum = weighted(value.slice(1), [2, 7, 6, 5, 4, 3, 2]) + ('TG'.includes(value.charAt(0)) ? 4 : 0)
  return ('ST'.includes(value.charAt(0)) ? 'JZIHGFEDCBA' : 'XWUTRQPNMLK')[sum % 11] === value.at(-1)
}

function weighted(digits: string, weights: readonly number[]): number {
  return weights.reduce((sum, weight, index) => sum + weight * Number(digits[index]), 0)
}
