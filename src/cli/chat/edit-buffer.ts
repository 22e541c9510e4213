import { graphemesOf } from '../text-width.ts'

/** Text being typed, of one line or several, and where the cursor stands in it. */
export class EditBuffer {
  #before = ''
  #after = ''

  get text(): string {
    return this.#before + this.#after
  }

  /** What stands before the cursor. */
  get before(): string {
    return this.#before
  }

  get isAtEnd(): boolean {
    return this.#after === ''
  }

  set(text: string): void {
    this.#before = text
    this.#after = ''
  }

  insert(text: string): void {
    this.#before += text
  }

  /** Puts something else in place of what stands before the cursor. */
  replaceBefore(text: string): void {
    this.#before = text
  }

  eraseLeft(): void {
    this.#before = this.#before.slice(0, -lastGrapheme(this.#before).length || undefined)
  }

  eraseRight(): void {
    this.#after = this.#after.slice(firstGrapheme(this.#after).length)
  }

  eraseWordLeft(): void {
    this.#before = this.#before.replace(/\S*\s*$/u, '')
  }

  eraseLineLeft(): void {
    this.#before = this.#before.slice(0, this.#before.lastIndexOf('\n') + 1)
  }

  eraseLineRight(): void {
    const end = this.#after.indexOf('\n')
    this.#after = end === -1 ? '' : this.#after.slice(end)
  }

  left(): void {
    this.#moveLeft(lastGrapheme(this.#before).length)
  }

  right(): void {
    this.#moveRight(firstGrapheme(this.#after).length)
  }

  wordLeft(): void {
    this.#moveLeft(/\S*\s*$/u.exec(this.#before)?.[0].length ?? 0)
  }

  wordRight(): void {
    this.#moveRight(/^\s*\S*/u.exec(this.#after)?.[0].length ?? 0)
  }

  lineStart(): void {
    this.#moveLeft(this.#before.length - this.#before.lastIndexOf('\n') - 1)
  }

  lineEnd(): void {
    const end = this.#after.indexOf('\n')
    this.#moveRight(end === -1 ? this.#after.length : end)
  }

  /** To the line above. False when there is none. */
  up(): boolean {
    const start = this.#before.lastIndexOf('\n')
    if (start === -1) return false
    const column = this.#before.length - start - 1
    const above = this.#before.lastIndexOf('\n', start - 1) + 1
    this.#moveLeft(this.#before.length - Math.min(above + column, start))
    return true
  }

  /** To the line below. False when there is none. */
  down(): boolean {
    const end = this.#after.indexOf('\n')
    if (end === -1) return false
    const column = this.#before.length - this.#before.lastIndexOf('\n') - 1
    const next = this.#after.indexOf('\n', end + 1)
    const length = (next === -1 ? this.#after.length : next) - end - 1
    this.#moveRight(end + 1 + Math.min(column, length))
    return true
  }

  #moveLeft(count: number): void {
    const at = this.#before.length - count
    this.#after = this.#before.slice(at) + this.#after
    this.#before = this.#before.slice(0, at)
  }

  #moveRight(count: number): void {
    this.#before += this.#after.slice(0, count)
    this.#after = this.#after.slice(count)
  }
}

/** Looking at a few characters is enough: no character that a person sees is longer. */
const longest = 64

function lastGrapheme(text: string): string {
  return graphemesOf(text.slice(-longest)).at(-1) ?? ''
}

function firstGrapheme(text: string): string {
  return graphemesOf(text.slice(0, longest))[0] ?? ''
}
