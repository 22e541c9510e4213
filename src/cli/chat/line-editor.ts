import { printableText } from '../printable.ts'
import { graphemesOf, textWidth } from '../text-width.ts'
import { EditBuffer } from './edit-buffer.ts'
import type { Key, Keyboard } from './keyboard.ts'
import type { Cursor, LiveRegion } from './live-region.ts'
import type { Line, Span } from './styled.ts'
import { wrapWords } from './wrap.ts'

/** What came of asking for a text: the text, Ctrl-C on an empty line, or the end of the input. */
export type Typed =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'interrupt' }
  | { readonly kind: 'end' }

export interface Completion {
  /** What the word before the cursor may become. */
  readonly choices: readonly string[]
  /** Where the word begins. */
  readonly from: number
}

export interface PromptOptions {
  readonly prompt: Span
  /** What was typed before, oldest first; the arrow keys bring it back. */
  readonly history?: readonly string[]
  readonly complete?: (before: string) => Completion | undefined
  /** Whether a text may have several lines. */
  readonly isMultiline?: boolean
}

export interface EditorParts {
  readonly keyboard: Keyboard
  readonly region: LiveRegion
  readonly size: () => { readonly columns: number; readonly rows: number }
}

const fence = '"""'

/** Lets a person type a text. What was typed stays on the screen. */
export class LineEditor {
  readonly #parts: EditorParts
  readonly #options: PromptOptions
  readonly #buffer = new EditBuffer()
  readonly #done = Promise.withResolvers<Typed>()
  /** Where in the history, counted from its end; 0 is what is being typed. */
  #back = 0
  #draft = ''
  #hint: readonly string[] = []
  #isFinished = false

  /** What keys do, by their names. */
  readonly #actions: Readonly<Record<string, () => void>> = {
    return: () => this.#enter(),
    enter: () => this.#enter(),
    'meta-return': () => this.#newLine(),
    'meta-enter': () => this.#newLine(),
    tab: () => this.#complete(),
    up: () => this.#above(),
    down: () => this.#below(),
    left: () => this.#buffer.left(),
    right: () => this.#buffer.right(),
    home: () => this.#buffer.lineStart(),
    end: () => this.#buffer.lineEnd(),
    backspace: () => this.#buffer.eraseLeft(),
    delete: () => this.#buffer.eraseRight(),
    'ctrl-c': () => this.#interrupt(),
    'ctrl-d': () => this.#endOrErase(),
    'ctrl-a': () => this.#buffer.lineStart(),
    'ctrl-e': () => this.#buffer.lineEnd(),
    'ctrl-b': () => this.#buffer.left(),
    'ctrl-f': () => this.#buffer.right(),
    'ctrl-p': () => this.#recall(1),
    'ctrl-n': () => this.#recall(-1),
    'ctrl-u': () => this.#buffer.eraseLineLeft(),
    'ctrl-k': () => this.#buffer.eraseLineRight(),
    'ctrl-w': () => this.#buffer.eraseWordLeft(),
    'ctrl-left': () => this.#buffer.wordLeft(),
    'ctrl-right': () => this.#buffer.wordRight(),
    'meta-left': () => this.#buffer.wordLeft(),
    'meta-right': () => this.#buffer.wordRight(),
    'meta-b': () => this.#buffer.wordLeft(),
    'meta-f': () => this.#buffer.wordRight(),
    'meta-backspace': () => this.#buffer.eraseWordLeft(),
  }

  constructor(parts: EditorParts, options: PromptOptions) {
    this.#parts = parts
    this.#options = options
  }

  async read(): Promise<Typed> {
    this.draw()
    this.#parts.keyboard.listen(
      (key, release) => {
        this.#take(key)
        if (this.#isFinished) release()
      },
      { onEnd: () => this.#finish({ kind: 'end' }), takesAhead: true },
    )
    return this.#done.promise
  }

  /** Shows what is typed; again when the terminal has another size. */
  draw(): void {
    const { region, size } = this.#parts
    const { columns, rows } = size()
    const { lines, cursor } = this.#laidOut(columns - 1)
    const hint =
      this.#hint.length === 0
        ? []
        : wrapWords([{ text: this.#hint.join('  '), style: { dim: true } }], columns - 1)
    // As much as the screen holds, around the cursor.
    const room = Math.max(1, rows - 1 - hint.length)
    const from = Math.max(0, Math.min(cursor.row - room + 1, lines.length - room))
    region.update([...lines.slice(from, from + room), ...hint], {
      cursor: { ...cursor, row: cursor.row - from },
    })
  }

  #take(key: Key): void {
    this.#hint = []
    this.#apply(key)
    if (!this.#isFinished) this.draw()
  }

  #finish(typed: Typed): void {
    if (this.#isFinished) return
    this.#isFinished = true
    const { region, size } = this.#parts
    region.clear()
    if (typed.kind !== 'end') region.print(this.#laidOut(size().columns - 1).lines)
    this.#done.resolve(typed)
  }

  #apply({ name, text, ctrl, meta }: Key): void {
    const action = this.#actions[`${ctrl ? 'ctrl-' : ''}${meta ? 'meta-' : ''}${name}`]
    if (action !== undefined) action()
    else if (name === 'paste')
      this.#buffer.insert(this.#options.isMultiline === true ? text : text.replaceAll('\n', ' '))
    // A key that writes nothing, and one that Node does not know, is no text.
    else if (!ctrl && !meta && !text.startsWith('\u001b')) this.#buffer.insert(text)
  }

  #interrupt(): void {
    if (this.#buffer.text === '') this.#finish({ kind: 'interrupt' })
    else this.#buffer.set('')
  }

  #endOrErase(): void {
    if (this.#buffer.text === '') this.#finish({ kind: 'end' })
    else this.#buffer.eraseRight()
  }

  #above(): void {
    if (!this.#buffer.up()) this.#recall(1)
  }

  #below(): void {
    if (!this.#buffer.down()) this.#recall(-1)
  }

  /** Ends the text, unless it is to have another line. */
  #enter(): void {
    const { text, before } = this.#buffer
    if (this.#options.isMultiline === true && this.#goesOn()) this.#newLine()
    else if (this.#options.isMultiline === true && this.#buffer.isAtEnd && text.endsWith('\\')) {
      this.#buffer.replaceBefore(before.slice(0, -1))
      this.#newLine()
    } else this.#finish({ kind: 'text', text: unfenced(text) })
  }

  /** Whether a fence is open. */
  #goesOn(): boolean {
    const text = this.#buffer.text.trim()
    return text.startsWith(fence) && (text.length < 2 * fence.length || !text.endsWith(fence))
  }

  #newLine(): void {
    if (this.#options.isMultiline === true) this.#buffer.insert('\n')
  }

  #recall(step: number): void {
    const { history = [] } = this.#options
    const back = this.#back + step
    if (back < 0 || back > history.length) return
    if (this.#back === 0) this.#draft = this.#buffer.text
    this.#back = back
    this.#buffer.set(back === 0 ? this.#draft : (history[history.length - back] ?? ''))
  }

  #complete(): void {
    const { before, isAtEnd } = this.#buffer
    const found = isAtEnd ? this.#options.complete?.(before) : undefined
    if (found === undefined || found.choices.length === 0) return
    const [only] = found.choices
    const word = found.choices.length === 1 ? `${only} ` : commonStart(found.choices)
    this.#buffer.replaceBefore(before.slice(0, found.from) + word)
    if (found.choices.length > 1) this.#hint = found.choices
  }

  /** The lines as they are shown, and where among them the cursor stands. */
  #laidOut(width: number): { lines: Line[]; cursor: Cursor } {
    const { prompt } = this.#options
    const indent = textWidth(prompt.text)
    const room = Math.max(2, width - indent)
    const rows: string[] = ['']
    let used = 0
    let cursor: Cursor = { row: 0, column: indent }
    let seen = 0
    const { text, before } = this.#buffer
    for (const grapheme of graphemesOf(text)) {
      if (seen === before.length) cursor = { row: rows.length - 1, column: indent + used }
      seen += grapheme.length
      if (grapheme === '\n') {
        rows.push('')
        used = 0
        continue
      }
      const shown = grapheme === '\t' ? '    ' : printableText(grapheme)
      const columns = textWidth(shown)
      if (used + columns > room) {
        rows.push('')
        used = 0
        if (seen - grapheme.length === before.length) cursor = { row: rows.length - 1, column: indent }
      }
      rows[rows.length - 1] += shown
      used += columns
    }
    if (seen === before.length) cursor = { row: rows.length - 1, column: indent + used }
    const lines = rows.map(
      (row, index): Line => [index === 0 ? prompt : { text: ' '.repeat(indent) }, { text: row }],
    )
    return { lines, cursor }
  }
}

/** What stands between the fences, if there are any. */
function unfenced(text: string): string {
  const trimmed = text.trim()
  if (!trimmed.startsWith(fence) || !trimmed.endsWith(fence) || trimmed.length < 2 * fence.length) return text
  return trimmed.slice(fence.length, -fence.length).replace(/^\n|\n$/g, '')
}

function commonStart(words: readonly string[]): string {
  const [first = '', ...others] = words
  let length = first.length
  for (const word of others) while (!word.startsWith(first.slice(0, length))) length--
  return first.slice(0, length)
}
