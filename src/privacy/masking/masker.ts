import { apart, type DetectorOptions, findEntities, pieceLength } from './detect.ts'
import type { Finding } from './finding.ts'
import { type Edit, eachString, edited, escaped, type JsonString, unquoted } from './json-strings.ts'
import { Placeholders } from './placeholders.ts'

/** Finds in texts what the detectors know nothing of; one list of findings for each text. */
export type Analyzer = (texts: readonly string[]) => Promise<readonly (readonly Finding[])[]>

/** Members whose strings are words of the protocol or bytes, and never what somebody said. */
const protocolMembers: ReadonlySet<string> = new Set([
  'role',
  'type',
  'encrypted_content',
  'b64_json',
  'file_data',
])
/** Members of a request that hold the conversation. What stands beside it is looked at before it, since it does not grow. */
const conversationMembers: ReadonlySet<string> = new Set(['messages', 'input', 'prompt', 'choices', 'output'])
/** Members that hold a JSON text as a string. */
const jsonMembers: ReadonlySet<string> = new Set(['arguments'])
/** A value of so many characters is looked at together with the name of its member, which may tell what it is. */
const longestNamed = 200

/** Masks the texts of one request and of its reply. */
export class Masker {
  readonly placeholders: Placeholders
  readonly #options: DetectorOptions
  readonly #analyze: Analyzer | undefined
  readonly #analyzed = new Map<string, readonly Finding[]>()
  #sinceYield = 0

  constructor(options: DetectorOptions, analyze?: Analyzer) {
    this.#options = options
    this.#analyze = analyze
    this.placeholders = this.noPlaceholders()
  }

  /** Placeholders of the same kinds, none of them given out. */
  noPlaceholders(): Placeholders {
    return new Placeholders(this.#options.patterns.map(({ kind }) => kind))
  }

  /** A text, masked. */
  async text(text: string): Promise<string> {
    return edited(text, await this.edits(text))
  }

  /**
   * A JSON text with its strings masked. Whatever has nothing to mask stays as it was written.
   * @throws what the analyzer does
   */
  async json(text: string): Promise<string> {
    return edited(text, await this.jsonEdits(text))
  }

  /** Has a JSON text looked at by the analyzer, if there is one: masking it later asks for nothing. @throws what it does */
  async prepare(text: string): Promise<void> {
    if (this.#analyze !== undefined) await this.#prepare(saidIn(text).flatMap(lookedAt))
  }

  /** The same as what is to be replaced in it, in order. */
  async jsonEdits(text: string): Promise<Edit[]> {
    const values = saidIn(text)
    if (this.#analyze !== undefined) await this.#prepare(values.flatMap(lookedAt))
    const edits: Edit[] = []
    for (const { string, value } of values) {
      const { start, end, path } = string
      const masked = edited(value, await this.#memberEdits(value, path))
      if (masked !== value) edits.push({ start, end, text: JSON.stringify(masked) })
    }
    return edits.sort((a, b) => a.start - b.start)
  }

  /** What is to be replaced in a text, or in one that is a JSON text itself. */
  async edits(text: string, { isJson = false } = {}): Promise<Edit[]> {
    return isJson ? this.#memberEdits(text, ['arguments']) : this.#textEdits(text, '')
  }

  async #memberEdits(value: string, path: readonly string[]): Promise<Edit[]> {
    const name = path.at(-1) ?? ''
    if (jsonMembers.has(name) && isJsonText(value)) return this.#nestedEdits(value)
    return this.#textEdits(value, path[0] === 'metadata' ? name : '')
  }

  /** In the arguments of a tool: every value with the name it goes by. One that is a number becomes a string. */
  async #nestedEdits(text: string): Promise<Edit[]> {
    const edits: Edit[] = []
    for (const { start, end, value, name, isString } of valuesIn(text)) {
      const masked = edited(value, await this.#textEdits(value, name))
      if (masked === value) continue
      edits.push(
        isString
          ? { start: start + 1, end: end - 1, text: escaped(masked) }
          : { start, end, text: JSON.stringify(masked) },
      )
    }
    return edits
  }

  async #textEdits(text: string, name: string): Promise<Edit[]> {
    const edits: Edit[] = []
    for (const { start, end, kind } of await this.#find(text, name))
      edits.push({ start, end, text: this.placeholders.nameOf(kind, text.slice(start, end)) })
    return edits
  }

  /** @throws what the analyzer does: a text that it has not looked at is never taken for one in which there is nothing */
  async #find(text: string, name: string): Promise<Finding[]> {
    if (this.#analyze !== undefined) await this.#prepare([text])
    const found: (Finding & { rank: number })[] = []
    const add = (findings: readonly Finding[], shift: number, rank: number): void => {
      for (const { kind, start, end } of findings)
        if (start + shift >= 0) found.push({ kind, start: start + shift, end: end + shift, rank })
    }
    for (const finding of this.placeholders.lookalikes(text)) found.push({ ...finding, rank: 0 })
    if (name !== '' && text.length <= longestNamed) {
      const before = `${name.replace(/_/g, ' ')}: `
      add(findEntities(before + text, this.#options), -before.length, 1)
    } else if (text.length <= pieceLength) {
      this.#sinceYield += text.length
      add(findEntities(text, this.#options), 0, 1)
    } else {
      for (let from = 0; from < text.length; ) {
        const to = endOfPiece(text, from)
        await this.#breathe(to - from)
        add(findEntities(text.slice(from, to), this.#options), from, 1)
        from = to
      }
    }
    if (this.#sinceYield > pieceLength) await this.#breathe(0)
    const analyzed = this.#analyzed.get(text)
    if (analyzed !== undefined) add(analyzed, 0, 2)
    return found.length === 0 ? found : apart(found)
  }

  /** Lets others go on before a long text is gone on with. */
  async #breathe(length: number): Promise<void> {
    this.#sinceYield += length
    if (this.#sinceYield <= pieceLength) return
    this.#sinceYield = 0
    await new Promise(resolve => setImmediate(resolve))
  }

  async #prepare(texts: readonly string[]): Promise<void> {
    if (this.#analyze === undefined) return
    const fresh = [...new Set(texts)].filter(text => /\p{L}/u.test(text) && !this.#analyzed.has(text))
    if (fresh.length === 0) return
    const found = await this.#analyze(fresh)
    for (const [index, text] of fresh.entries()) this.#analyzed.set(text, found[index] ?? [])
  }
}

interface Said {
  readonly string: JsonString
  readonly value: string
}

/** The strings of a JSON text in which somebody may have said something, in the order in which their values are numbered. */
function saidIn(text: string): Said[] {
  const strings: JsonString[] = []
  eachString(
    text,
    string => {
      if (isSaid(text, string)) strings.push(string)
    },
    name => {
      if (name.path[0] === 'metadata') strings.push({ ...name, path: ['metadata', ''] })
    },
  )
  const beside: Said[] = []
  const talk: Said[] = []
  for (const string of strings) {
    const one = { string, value: unquoted(text.slice(string.start, string.end)) }
    if (conversationMembers.has(string.path[0] ?? '')) talk.push(one)
    else beside.push(one)
  }
  return beside.length === 0 ? talk : [...beside, ...talk]
}

/** The texts that are looked at one by one in the place of a string. */
function lookedAt({ string: { path }, value }: Said): string[] {
  const isNested = jsonMembers.has(path.at(-1) ?? '') && isJsonText(value)
  return isNested ? valuesIn(value).map(one => one.value) : [value]
}

interface NestedValue {
  readonly start: number
  readonly end: number
  readonly value: string
  /** The name it goes by; '' for one that is a name itself. */
  readonly name: string
  readonly isString: boolean
}

const number = /(?<![\w.+-])\d[\d.]*(?![\w.+-])/g

/** The strings and the numbers of a JSON text, and the names that values are filed under, which may tell as much as they do. */
function valuesIn(text: string): NestedValue[] {
  const found: NestedValue[] = []
  let from = 0
  let name = ''
  const numbersUpTo = (to: number): void => {
    for (const { index, 0: value } of text.slice(from, to).matchAll(number))
      found.push({ start: from + index, end: from + index + value.length, value, name, isString: false })
  }
  const take = (string: JsonString, isName: boolean): void => {
    const { start, end, path } = string
    numbersUpTo(start)
    const value = unquoted(text.slice(start, end))
    found.push({ start, end, value, name: isName ? '' : (path.at(-1) ?? ''), isString: true })
    if (isName) name = value
    from = end
  }
  eachString(
    text,
    string => take(string, false),
    string => take(string, true),
  )
  numbersUpTo(text.length)
  return found
}

/** Whether a string may hold what somebody said. */
function isSaid(text: string, { start, end, path }: JsonString): boolean {
  if (end - start <= 2) return false
  const name = path.at(-1) ?? ''
  if (path.length === 1 && name === 'model') return false
  if (protocolMembers.has(name) && path[0] !== 'metadata') return false
  if (name === 'data' && path.at(-2) === 'input_audio') return false
  return !isEncodedData(text, start + 1, end - 1)
}

const dataHead = /data:[\w.+/\\-]{0,100}(?:;[\w.+=-]{1,100}){0,8};base64,/y
const notEncoded = /[^A-Za-z0-9+/=_\\-]/g

/** Whether a stretch is a file in an address: bytes, and nothing that could be read behind them. */
function isEncodedData(text: string, start: number, end: number): boolean {
  if (!text.startsWith('data:', start)) return false
  dataHead.lastIndex = start
  if (!dataHead.test(text)) return false
  notEncoded.lastIndex = dataHead.lastIndex
  return (notEncoded.exec(text)?.index ?? text.length) >= end
}

function isJsonText(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null
  } catch {
    return false
  }
}

/** Where a long text is cut: at the end of a line or of a word, so that nothing that is looked for is cut in two. */
function endOfPiece(text: string, from: number): number {
  const to = from + pieceLength
  if (to >= text.length) return text.length
  const least = from + pieceLength / 2
  const key = text.lastIndexOf('-----BEGIN ', to)
  if (key >= least && text.indexOf('-----END ', key) > to) return key
  for (const end of ['\n', '. ', ' ']) {
    const at = text.lastIndexOf(end, to)
    if (at >= least) return at + end.length
  }
  return to
}
