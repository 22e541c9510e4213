import type { Finding } from '../../src/privacy/masking/finding.ts'
import type { LabelledText } from './pii-corpus.ts'

export interface Score {
  readonly precision: number
  readonly recall: number
  readonly f: number
  /** How many there were to find. */
  readonly labels: number
}

/** How far an address reaches is a matter of taste: half of it in common is enough. Anything else must be found exactly. */
const loose: ReadonlySet<string> = new Set(['ADDRESS'])

/** How well texts were searched, by kind. A finding of the wrong kind counts as wrong, and as nothing found. */
export function scoreOf(
  corpus: readonly LabelledText[],
  find: (text: string) => readonly Finding[],
  onMiss: (text: string, what: string) => void = () => undefined,
): Map<string, Score> {
  const tally = new Map<string, { right: number; found: number; labels: number }>()
  const of = (kind: string) => {
    const known = tally.get(kind) ?? { right: 0, found: 0, labels: 0 }
    tally.set(kind, known)
    return known
  }
  for (const { text, labels } of corpus) {
    const found = find(text)
    for (const label of labels) {
      const isRight = found.some(one => one.kind === label.kind && isSame(one, label))
      const counts = of(label.kind)
      counts.labels++
      if (isRight) counts.right++
      else onMiss(text, `missed ${label.kind} ${text.slice(label.start, label.end)}`)
    }
    for (const one of found) {
      of(one.kind).found++
      if (!labels.some(label => label.kind === one.kind && isSame(one, label)))
        onMiss(text, `wrong ${one.kind} ${text.slice(one.start, one.end)}`)
    }
  }
  return new Map(
    [...tally].map(([kind, { right, found, labels }]) => {
      const precision = found === 0 ? 1 : right / found
      const recall = labels === 0 ? 1 : right / labels
      const f = precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall)
      return [kind, { precision, recall, f, labels }]
    }),
  )
}

function isSame(a: Finding, b: Finding): boolean {
  if (!loose.has(a.kind)) return a.start === b.start && a.end === b.end
  const common = Math.min(a.end, b.end) - Math.max(a.start, b.start)
  return common * 2 >= Math.max(a.end - a.start, b.end - b.start)
}
