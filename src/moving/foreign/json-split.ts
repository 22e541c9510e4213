/** Where the text of an array or an object is cut. */
const outside = /["[\]{},]/g
const inside = /["\\]/g

const closing: Readonly<Record<string, string>> = { '[': ']', '{': '}' }

/**
 * Cuts the text of an array or an object into its elements, each parsed as soon as it has come whole: in memory for one of
 * them, and with everything that stands before a damage.
 */
export class ElementSplitter {
  /** The bracket that ends it, once it has begun. */
  #end: string | undefined
  #depth = 0
  #isInString = false
  /** Whether the next character belongs to an escape. */
  #isEscaped = false
  #pieces: string[] = []
  #count = 0
  #isOver = false

  /** The text ends here. @throws SyntaxError when it must not */
  finish(): void {
    if (!this.#isOver) throw new SyntaxError('it ends too early')
  }

  /** The elements that end in this piece of the text. @throws SyntaxError */
  *push(text: string): Generator<readonly [key: string | number, value: unknown]> {
    let from = 0
    let at = this.#isEscaped ? 1 : 0
    this.#isEscaped = false
    for (let found = this.#next(text, at); found !== undefined; found = this.#next(text, at)) {
      at = found + 1
      const character = text[found] ?? ''
      if (this.#isInString) {
        if (character === '"') this.#isInString = false
        else if (++at > text.length) this.#isEscaped = true
        continue
      }
      if (character === '"') this.#isInString = true
      else if (character === '[' || character === '{') {
        if (this.#depth === 0) {
          this.#begin(character, text.slice(from, found))
          from = at
        }
        this.#depth++
      } else if (character === ',') {
        if (this.#depth > 1) continue
        yield this.#element(text.slice(from, found))
        from = at
      } else if (--this.#depth === 0) {
        yield* this.#last(character, text.slice(from, found))
        from = at
      }
    }
    this.#pieces.push(text.slice(from))
    if (this.#isOver) this.#requireNothing()
  }

  #next(text: string, from: number): number | undefined {
    const pattern = this.#isInString ? inside : outside
    pattern.lastIndex = from
    return pattern.exec(text)?.index
  }

  #begin(bracket: string, before: string): void {
    this.#pieces.push(before)
    this.#requireNothing()
    if (this.#isOver) throw new SyntaxError('more than one value')
    this.#end = closing[bracket]
  }

  #requireNothing(): void {
    const text = this.#pieces.join('').trim()
    this.#pieces = []
    if (text !== '') throw new SyntaxError('it is neither an array nor an object')
  }

  #element(end: string): readonly [string | number, unknown] {
    if (this.#depth < 1) throw new SyntaxError('it is neither an array nor an object')
    const text = this.#pieces.join('') + end
    this.#pieces = []
    const index = this.#count++
    if (this.#end === ']') return [index, JSON.parse(text)]
    const [entry] = Object.entries(JSON.parse(`{${text}}`) as object)
    if (entry === undefined) throw new SyntaxError('a member is missing')
    return entry
  }

  *#last(bracket: string, end: string): Generator<readonly [string | number, unknown]> {
    const isEmpty = this.#count === 0 && (this.#pieces.join('') + end).trim() === ''
    this.#depth = 1
    if (!isEmpty) yield this.#element(end)
    if (bracket !== this.#end) throw new SyntaxError('it does not end as it began')
    this.#depth = 0
    this.#pieces = []
    this.#isOver = true
  }
}
