/** Characters that a node may begin with: one place for each of ASCII, and a last one for all others. */
type Characters = Uint8Array

interface Node {
  readonly first: Characters
  readonly isNullable: boolean
}
interface CharacterSet extends Node {
  readonly type: 'set'
  readonly source: string
}
interface Assertion extends Node {
  readonly type: 'assertion'
  readonly source: string
}
interface Sequence extends Node {
  readonly type: 'sequence'
  readonly parts: readonly PatternNode[]
}
interface Choice extends Node {
  readonly type: 'choice'
  readonly options: readonly PatternNode[]
}
export interface Repeat extends Node {
  readonly type: 'repeat'
  readonly body: PatternNode
  readonly min: number
  readonly max: number
  readonly isLazy: boolean
}
export type PatternNode = CharacterSet | Assertion | Sequence | Choice | Repeat

const size = 129
const longestSource = 1_000
const quantifier = /(?:[*+?]|\{(\d{1,4})(,(\d{0,4}))?\})(\?)?/y
const escapedClass = /\\(?:[dDwWsS]|[pP]\{[\w=]{1,40}\})/y
const escapedCharacter =
  /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|([tnrfv])|([\^$\\.*+?()[\]{}|/-]))/y
const controls: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f', v: '\v' }

/**
 * Reads a regular expression as far as it can be shown to be harmless: sets of characters, groups, alternatives,
 * repetitions, `\b`, `^` and `$`. @throws Error for anything else
 */
export function parsePattern(source: string): PatternNode {
  if (source.length > longestSource) throw new Error(`it is longer than ${longestSource} characters`)
  // The engine's own word on what is a pattern at all.
  new RegExp(source, 'u')
  return new Parser(source).parse()
}

class Parser {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  parse(): PatternNode {
    return this.#choice()
  }

  #choice(): PatternNode {
    const options = [this.#sequence()]
    while (this.#take('|')) options.push(this.#sequence())
    const [only] = options
    if (options.length === 1 && only !== undefined) return only
    return {
      type: 'choice',
      options,
      first: options.reduce(
        (all, { first }) => all.map((has, index) => has | (first[index] ?? 0)),
        new Uint8Array(size),
      ),
      isNullable: options.some(({ isNullable }) => isNullable),
    }
  }

  #sequence(): PatternNode {
    const parts: PatternNode[] = []
    while (this.#at < this.#source.length && !/[|)]/.test(this.#next)) parts.push(this.#repeated())
    const first = new Uint8Array(size)
    for (const part of parts) {
      for (const [index, has] of part.first.entries()) if (has === 1) first[index] = 1
      if (!part.isNullable) break
    }
    return { type: 'sequence', parts, first, isNullable: parts.every(({ isNullable }) => isNullable) }
  }

  #repeated(): PatternNode {
    const body = this.#atom()
    const found = this.#match(quantifier)
    if (found === undefined) return body
    const [all, least, range, most, lazy] = found
    if (body.type === 'assertion') throw new Error('it repeats an assertion')
    const min = least === undefined ? (all.startsWith('+') ? 1 : 0) : Number(least)
    const exact = range === undefined ? min : most === '' ? Number.POSITIVE_INFINITY : Number(most)
    const max = least === undefined ? (all.startsWith('?') ? 1 : Number.POSITIVE_INFINITY) : exact
    const { first } = body
    return {
      type: 'repeat',
      body,
      min,
      max,
      isLazy: lazy !== undefined,
      first,
      isNullable: min === 0 || body.isNullable,
    }
  }

  #atom(): PatternNode {
    if (this.#take('(')) {
      if (this.#next === '?' && !this.#take('?:')) throw new Error('of groups only ( ) and (?: ) are allowed')
      const inner = this.#choice()
      this.#take(')')
      return inner
    }
    const start = this.#at
    const assertion = this.#match(/\\[bB]|[\^$]/y)
    if (assertion !== undefined)
      return { type: 'assertion', source: assertion[0], first: new Uint8Array(size), isNullable: true }
    const first = new Uint8Array(size)
    if (this.#take('[')) this.#class(first)
    else this.#single(first)
    return { type: 'set', source: this.#source.slice(start, this.#at), first, isNullable: false }
  }

  /** What is outside a class: one character, or an escape that stands for several. */
  #single(into: Characters): void {
    const found = this.#match(escapedClass)
    if (found !== undefined) addClass(into, found[0])
    else if (this.#take('.')) into.fill(1)
    else add(into, this.#character())
  }

  #class(into: Characters): void {
    const isNegated = this.#take('^')
    while (!this.#take(']')) {
      const found = this.#match(escapedClass)
      if (found !== undefined) {
        addClass(into, found[0])
        continue
      }
      const from = this.#character()
      const to =
        this.#next === '-' && this.#source.charAt(this.#at + 1) !== ']' && this.#take('-')
          ? this.#character()
          : from
      for (let code = from; code <= Math.min(to, 127); code++) add(into, code)
      if (to > 127) add(into, to)
    }
    // What a class leaves out may still be in it in the other case; whatever is said here must not be too little.
    if (isNegated) for (const [index, has] of into.entries()) into[index] = has === 1 ? 0 : 1
    if (isNegated) into[size - 1] = 1
  }

  #character(): number {
    const found = this.#match(escapedCharacter)
    if (found !== undefined) {
      const [, hex, unit, point, control, itself] = found
      const code = hex ?? unit ?? point
      return code === undefined
        ? (controls[control ?? ''] ?? itself ?? '').charCodeAt(0)
        : Number.parseInt(code, 16)
    }
    if (this.#next === '\\')
      throw new Error('it refers back to a group, or holds an escape that is not known')
    const code = this.#source.codePointAt(this.#at) ?? 0
    this.#at += code > 0xffff ? 2 : 1
    return code
  }

  get #next(): string {
    return this.#source.charAt(this.#at)
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source) ?? undefined
    if (found !== undefined) this.#at += found[0].length
    return found
  }
}

function add(into: Characters, code: number): void {
  into[Math.min(code, size - 1)] = 1
}

function addClass(into: Characters, source: string): void {
  const isUnicode = /^\\p/i.test(source)
  const pattern = new RegExp(source, 'u')
  for (let code = 0; code < 128; code++)
    if (isUnicode || pattern.test(String.fromCharCode(code))) into[code] = 1
  if (isUnicode || /[A-Z]$/.test(source)) into[size - 1] = 1
  // Spaces there are beyond ASCII too.
  if (source === '\\s') into[size - 1] = 1
}
