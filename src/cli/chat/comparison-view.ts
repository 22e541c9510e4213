import type { Answer } from '../../chat/backend.ts'
import { printableLine } from '../printable.ts'
import { fitText } from '../text-width.ts'
import { answerNotes } from './answer-notes.ts'
import type { LiveRegion } from './live-region.ts'
import { markdownLines } from './markdown.ts'
import type { ComparisonView } from './screen.ts'
import { type Line, padded } from './styled.ts'
import { wrapWords } from './wrap.ts'

/** A column narrower than this is hard to read: the replies are then shown one under the other. */
const narrowestColumn = 30
const gap: Line = [{ text: ' │ ', style: { dim: true } }]
const drawInterval = 50

interface Size {
  readonly columns: number
  readonly rows: number
}

/** Replies of several models side by side, as they come; one under the other where there is no room for that. */
export class TerminalComparison implements ComparisonView {
  readonly #region: LiveRegion
  readonly #size: () => Size
  readonly #models: readonly string[]
  readonly #texts: string[]
  #timer: NodeJS.Timeout | undefined

  constructor(region: LiveRegion, size: () => Size, models: readonly string[]) {
    this.#region = region
    this.#size = size
    this.#models = models
    this.#texts = models.map(() => '')
    this.draw()
  }

  add(index: number, text: string): void {
    this.#texts[index] += text
    this.#timer ??= setTimeout(() => this.draw(), drawInterval)
  }

  /** The ends of all replies, as far as the screen holds them. */
  draw(): void {
    this.#timer = undefined
    const { rows } = this.#size()
    const isBeside = this.#columnWidth() !== undefined
    const room = isBeside ? rows - 3 : Math.floor((rows - 1) / this.#models.length) - 2
    this.#region.update(this.#laidOut(lines => lines.slice(-Math.max(1, room))))
  }

  async end(answers: readonly Answer[] | undefined): Promise<void> {
    clearTimeout(this.#timer)
    if (answers === undefined) this.#region.clear()
    else this.#region.update([], { settled: [...this.#laidOut(lines => lines, answers), []] })
  }

  /** Undefined when there is no room for columns. */
  #columnWidth(): number | undefined {
    const { columns } = this.#size()
    const count = this.#models.length
    const width = Math.floor((columns - 1 - 3 * (count - 1)) / count)
    return width < narrowestColumn ? undefined : width
  }

  #laidOut(shorten: (lines: Line[]) => Line[], answers: readonly Answer[] = []): Line[] {
    const columnWidth = this.#columnWidth()
    const width = columnWidth ?? this.#size().columns - 1
    const parts = this.#models.map((model, index): Line[] => {
      const answer = answers[index]
      const heading: Line = [
        {
          text: fitText(`${index + 1} ${printableLine(model)}`, width),
          style: { bold: true, color: 'cyan' },
        },
      ]
      const notes =
        answer === undefined ? [] : answerNotes(answer, model).flatMap(line => wrapWords(line, width))
      const said = markdownLines(this.#texts[index] ?? '', width)
      const apart: Line[] = notes.length > 0 && said.length > 0 ? [[]] : []
      return [heading, ...shorten(said), ...apart, ...notes]
    })
    if (columnWidth === undefined) return parts.flatMap((part, index) => (index === 0 ? part : [[], ...part]))
    const height = Math.max(...parts.map(part => part.length))
    return Array.from({ length: height }, (_, row) =>
      parts.flatMap((part, index): Line => {
        const cell = padded(part[row] ?? [], columnWidth)
        return index === 0 ? cell : [...gap, ...cell]
      }),
    )
  }
}
