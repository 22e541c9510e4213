import fc from 'fast-check'

/** White space as JSON allows it. */
const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\t', '\r'), maxLength: 3 })

/** A JSON text of this value with random white space between its tokens, and characters of strings escaped at random. */
export function spelled(value: unknown): fc.Arbitrary<string> {
  return fc
    .record({
      spaces: fc.array(space, { minLength: 1, maxLength: 8 }),
      escapes: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
    })
    .map(({ spaces, escapes }) => write(value, cycle(spaces), cycle(escapes)))
}

/** A text whose string may hold anything that JSON can: quotes, escapes, half surrogate pairs. */
export const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '"', '\\', '\\"', '[{', '}]', ',', '\u001e', '\u2028', 'null', '\u0000'),
)

/**
 * A name of a member. A lone backslash is left out: once V8 (Node 24.21) has read objects like `{"a":1,"\\":2}`, its
 * JSON.parse makes a backslash of the escaped comma in `{"a":1,"\u002c":2}`, in every test of the process.
 */
export const name: fc.Arbitrary<string> = text.filter(chosen => chosen !== '\\')

/** Any JSON value, without such names. */
export function jsonValue(constraints?: fc.JsonSharedConstraints): fc.Arbitrary<unknown> {
  return fc.jsonValue(constraints).filter(value => !JSON.stringify(value).includes('"\\\\":'))
}

/** The same, with any characters. */
export const json: fc.Arbitrary<unknown> = jsonValue({ stringUnit: 'binary' })

function cycle<T>(items: readonly T[]): () => T {
  let at = 0
  return () => items[at++ % items.length] as T
}

function write(value: unknown, space: () => string, mustEscape: () => boolean): string {
  const inner = (part: unknown): string => write(part, space, mustEscape)
  if (typeof value === 'string') return writeString(value, mustEscape)
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) {
    return `[${space()}${value.map(inner).join(`${space()},${space()}`)}${space()}]`
  }
  const members = Object.entries(value).map(
    ([name, member]) => `${writeString(name, mustEscape)}${space()}:${space()}${inner(member)}`,
  )
  return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`
}

function writeString(value: string, mustEscape: () => boolean): string {
  const chars = Array.from({ length: value.length }, (_, index) => value.charAt(index))
  const written = chars.map(char => {
    const code = char.charCodeAt(0)
    const isSpecial = code < 0x20 || char === '"' || char === '\\' || (code >= 0xd800 && code <= 0xdfff)
    return isSpecial || mustEscape() ? `\\u${code.toString(16).padStart(4, '0')}` : char
  })
  return `"${written.join('')}"`
}
