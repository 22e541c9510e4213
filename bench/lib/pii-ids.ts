import { below, between, type Chance, day, digits, from, letters, luhn, pick, two } from './pii-values.ts'

/** National numbers that a form of their own tells, and those that only their names do, with these. */
export function nationalId(chance: Chance): { before: string; value: string } {
  const [year, month, date] = day(chance)
  const yymmdd = `${two(year % 100)}${two(month)}${two(date)}`
  const weighted = (text: string, weights: readonly number[]): number =>
    weights.reduce((sum, weight, at) => sum + weight * Number(text.charAt(at)), 0)
  switch (below(chance, 13)) {
    case 0: {
      const nine = digits(chance, 9)
      const check = (text: string): number => {
        const rest =
          ([...text].reduce((sum, one, at) => sum + Number(one) * (text.length + 1 - at), 0) * 10) % 11
        return rest === 10 ? 0 : rest
      }
      const ten = nine + check(nine)
      const all = ten + check(ten)
      return {
        before: 'CPF',
        value: `${all.slice(0, 3)}.${all.slice(3, 6)}.${all.slice(6, 9)}-${all.slice(9)}`,
      }
    }
    case 1: {
      const number = digits(chance, 8)
      return { before: 'DNI', value: number + 'TRWAGMYFPDXBNJZSQVHLCKE'.charAt(Number(number) % 23) }
    }
    case 2: {
      const body = `${pick(chance, ['1', '2'])}${two(year % 100)}${two(month)}${two(between(chance, 1, 95))}${digits(chance, 6)}`
      const all = body + two(97 - Number(BigInt(body) % 97n))
      return {
        before: 'numéro de sécurité sociale',
        value: `${all.slice(0, 1)} ${all.slice(1, 3)} ${all.slice(3, 5)} ${all.slice(5, 7)} ${all.slice(7, 10)} ${all.slice(10, 13)} ${all.slice(13)}`,
      }
    }
    case 3: {
      const eleven = `${between(chance, 2, 9)}${digits(chance, 10)}`
      const all = eleven + verhoeff(eleven)
      return { before: 'Aadhaar', value: (all.match(/.{4}/g) ?? []).join(' ') }
    }
    case 4: {
      const body = `${yymmdd}${digits(chance, 3)}`
      return { before: 'personnummer', value: `${yymmdd}-${body.slice(6)}${luhn(body)}` }
    }
    case 5: {
      const body = `${yymmdd}${pick(chance, ['1', '2'])}${digits(chance, 5)}`
      const check = (11 - (weighted(body, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11)) % 10
      return { before: 'RRN', value: `${body.slice(0, 6)}-${body.slice(6)}${check}` }
    }
    case 6: {
      const body = `${pick(chance, ['110101', '310104', '440106'])}${year}${two(month)}${two(date)}${digits(chance, 3)}`
      return {
        before: 'resident ID',
        value:
          body +
          '10X98765432'.charAt(weighted(body, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11),
      }
    }
    case 7: {
      const seven = digits(chance, 7)
      return {
        before: 'NRIC',
        value: `S${seven}${'JZIHGFEDCBA'.charAt(weighted(seven, [2, 7, 6, 5, 4, 3, 2]) % 11)}`,
      }
    }
    case 8: {
      for (;;) {
        const nine = `${between(chance, 4, 7)}${digits(chance, 8)}`
        const check = (11 - (weighted(nine, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11
        if (check < 10)
          return {
            before: 'NHS number',
            value: `${nine.slice(0, 3)} ${nine.slice(3, 6)} ${nine.slice(6)}${check}`,
          }
      }
    }
    case 9: {
      const ten = `${two(year % 100)}${two(month + (year >= 2000 ? 20 : 0))}${two(date)}${digits(chance, 4)}`
      return {
        before: 'PESEL',
        value: ten + ((10 - (weighted(ten, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)) % 10),
      }
    }
    case 10: {
      for (;;) {
        const eight = `${between(chance, 1, 9)}${digits(chance, 7)}`
        const check = weighted(eight, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
        if (check < 10) return { before: 'BSN', value: eight + check }
      }
    }
    case 11:
      return {
        before: 'NI number',
        value:
          `${pick(chance, ['AB', 'CE', 'JK', 'PW', 'SR'])}${pick(chance, [' ', ''])}${digits(chance, 2)} ${digits(chance, 2)} ${digits(chance, 2)} ${pick(chance, ['A', 'B', 'C', 'D'])}`.replace(
            /^(..)(\d\d) (\d\d) (\d\d) (.)$/,
            '$1$2$3$4$5',
          ),
      }
    default: {
      const body = `${from(chance, 'BCDFGLMPRST', 3)}${from(chance, 'BCDFGLMPRST', 3)}${two(year % 100)}${pick(chance, ['A', 'B', 'C', 'D', 'E', 'H', 'L', 'M', 'P', 'R', 'S', 'T'])}${two(date)}${pick(chance, ['H501', 'F205', 'L219'])}`
      return { before: 'codice fiscale', value: body + fiscalCheck(body) }
    }
  }
}

function verhoeff(payload: string): number {
  // The multiplication of the dihedral group of order ten, worked out instead of looked up.
  const times = (a: number, b: number): number =>
    a < 5 ? (b < 5 ? (a + b) % 5 : 5 + ((a + b) % 5)) : b < 5 ? 5 + ((a - b + 5) % 5) : (a - b + 10) % 5
  const permuted = (place: number, digit: number): number =>
    place === 0 ? digit : permuted(place - 1, [1, 5, 7, 6, 2, 8, 3, 0, 9, 4][digit] ?? 0)
  let state = 0
  for (const [at, one] of [...payload].reverse().entries())
    state = times(state, permuted((at + 1) % 8, Number(one)))
  return [0, 4, 3, 2, 1, 5, 6, 7, 8, 9][state] ?? 0
}

const oddValues: Readonly<Record<string, number>> = Object.fromEntries(
  [...'0123456789']
    .map((one, at) => [one, [1, 0, 5, 7, 9, 13, 15, 17, 19, 21][at] ?? 0] as const)
    .concat(
      [...letters].map(
        (one, at) =>
          [
            one,
            [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23][
              at
            ] ?? 0,
          ] as const,
      ),
    ),
)

function fiscalCheck(body: string): string {
  const sum = [...body].reduce(
    (all, one, at) =>
      all + (at % 2 === 0 ? (oddValues[one] ?? 0) : /\d/.test(one) ? Number(one) : one.charCodeAt(0) - 65),
    0,
  )
  return letters.charAt(sum % 26)
}
