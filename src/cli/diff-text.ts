import type { JsonDifference } from '../model/json-diff.ts'
import type { Stretch } from '../model/sequence-diff.ts'
import { printableLine, printableText } from './printable.ts'
import type { PartDiff } from './reply-diff.ts'

/** Lines around a change that are shown with it. */
const context = 2

/** Places of one part that are shown. */
const mostPlaces = 100

/** A difference as text that is safe to show: `[-gone-]`, `{+new+}`; places of JSON line by line. */
export function diffText(part: PartDiff): string {
  const lines = part.kind === 'text' ? wordLines(part.stretches) : placeLines(part.differences)
  return `── ${part.name} ──\n${lines.join('\n')}\n`
}

function wordLines(stretches: readonly Stretch[]): string[] {
  let text = ''
  for (const { kind, items } of stretches) text += marked(kind, printableText(items.join('')))
  const lines = text.split('\n')
  const isChanged = lines.map(line => line.includes(mark))
  const isNear = (at: number): boolean =>
    isChanged.slice(Math.max(0, at - context), at + context + 1).some(Boolean)
  const shown: string[] = []
  let hidden = 0
  const tell = (): void => {
    if (hidden > 0) shown.push(`@@ ${hidden} ${hidden === 1 ? 'line' : 'lines'} the same @@`)
    hidden = 0
  }
  for (const [at, line] of lines.entries())
    if (isNear(at)) {
      tell()
      shown.push(line.replaceAll(mark, ''))
    } else hidden++
  tell()
  return shown
}

/** Stands beside what is marked, to find its lines; nothing that is printable holds it. */
const mark = '\u0000'

/** Each line of a change has marks of its own; an end of line that is gone, or new, shows. */
function marked(kind: Stretch['kind'], text: string): string {
  if (kind === 'same') return text
  const [open, close] = kind === 'removed' ? ['[-', '-]'] : ['{+', '+}']
  const lines = text.split('\n')
  return lines
    .map((line, at) => {
      const isLast = at === lines.length - 1
      if (line === '' && isLast) return ''
      return `${mark}${open}${line}${isLast ? '' : '\u21b5'}${close}${isLast || kind === 'removed' ? '' : '\n'}`
    })
    .join('')
}

function placeLines(differences: readonly JsonDifference[]): string[] {
  const lines = differences.slice(0, mostPlaces).flatMap(difference => {
    const path = difference.path === '' ? '(all of it)' : difference.path
    const line = (sign: string, value: unknown): string =>
      printableLine(`${sign} ${path}: ${JSON.stringify(value)}`)
    return [
      ...('before' in difference ? [line('-', difference.before)] : []),
      ...('after' in difference ? [line('+', difference.after)] : []),
    ]
  })
  const more = differences.length - mostPlaces
  return more > 0 ? [...lines, `… and ${more} more`] : lines
}
