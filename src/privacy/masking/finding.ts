/** A stretch of a text that tells of a person or opens a door. */
export interface Finding {
  /** Half-open, in UTF-16 code units. */
  readonly start: number
  readonly end: number
  /** What it is: upper-case letters and `_`, as placeholders name it. */
  readonly kind: string
}

/** Takes what a detector finds. */
export type Report = (kind: string, start: number, end: number) => void

/** What Stele itself finds. */
export const builtInKinds = [
  'PRIVATE_KEY',
  'JWT',
  'API_KEY',
  'URL',
  'EMAIL',
  'IBAN',
  'CARD',
  'MAC_ADDRESS',
  'IP_ADDRESS',
  'SSN',
  'NATIONAL_ID',
  'PASSPORT',
  'BIRTH_DATE',
  'PHONE',
  'ADDRESS',
] as const

/** Letters or digits, of ASCII. */
export function isWord(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
}

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** What a sticky pattern matches at a position; undefined when it does not. */
export function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** Calls `take` for every match of a global pattern from a place on: what `matchAll` does, without a copy of the pattern for each text. */
export function eachMatch(
  pattern: RegExp,
  text: string,
  take: (found: RegExpExecArray) => void,
  from = 0,
): void {
  pattern.lastIndex = from
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    const next = pattern.lastIndex
    take(found)
    pattern.lastIndex = found[0] === '' ? next + 1 : next
  }
}

/** Whether the words right before a position say so. @param pattern ends in `$` */
export function follows(pattern: RegExp, text: string, at: number, width = 40): boolean {
  return pattern.test(text.slice(Math.max(0, at - width), at))
}
