/** A stretch of two sequences: in both, in the first alone, or in the second alone. */
export interface Stretch {
  readonly kind: 'same' | 'removed' | 'added'
  readonly items: readonly string[]
}

/** Cells of a table of longest common subsequences: 64 MiB of memory, and a second of time. */
const mostCells = 16_000_000

/**
 * How one sequence becomes another, by their longest common subsequence; of two that are too long for that, what stands
 * between their common beginning and end counts as replaced.
 */
function sequenceDiff(before: readonly string[], after: readonly string[]): Stretch[] {
  const most = Math.min(before.length, after.length)
  let start = 0
  while (start < most && before[start] === after[start]) start++
  let end = 0
  while (end < most - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++
  const removed = before.slice(start, before.length - end)
  const added = after.slice(start, after.length - end)
  const middle: Stretch[] =
    removed.length * added.length > mostCells
      ? [
          { kind: 'removed', items: removed },
          { kind: 'added', items: added },
        ]
      : commonSubsequence(removed, added)
  return joined([
    { kind: 'same', items: before.slice(0, start) },
    ...middle,
    { kind: 'same', items: before.slice(before.length - end) },
  ])
}

/** The same for texts: by words, and by lines first where there are too many words. */
export function textDiff(before: string, after: string): Stretch[] {
  const [a, b] = [wordsOf(before), wordsOf(after)]
  if (a.length * b.length <= mostCells) return sequenceDiff(a, b)
  const stretches = sequenceDiff(linesOf(before), linesOf(after))
  return joined(
    stretches.flatMap((stretch, index): Stretch[] => {
      const next = stretches[index + 1]
      if (stretch.kind === 'removed' && next?.kind === 'added')
        return sequenceDiff(wordsOf(stretch.items.join('')), wordsOf(next.items.join('')))
      return stretch.kind === 'added' && stretches[index - 1]?.kind === 'removed' ? [] : [stretch]
    }),
  )
}

function commonSubsequence(before: readonly string[], after: readonly string[]): Stretch[] {
  const width = after.length + 1
  // The length of what is common from each pair of places on.
  const lengths = new Uint32Array((before.length + 1) * width)
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
  const stretches: Stretch[] = []
  let [i, j] = [0, 0]
  while (i < before.length || j < after.length) {
    const [old, fresh] = [before[i], after[j]]
    if (old !== undefined && old === fresh) {
      stretches.push({ kind: 'same', items: [old] })
      i++
      j++
    } else if (old !== undefined && (fresh === undefined || at(i + 1, j) >= at(i, j + 1))) {
      stretches.push({ kind: 'removed', items: [old] })
      i++
    } else if (fresh !== undefined) {
      stretches.push({ kind: 'added', items: [fresh] })
      j++
    }
  }
  return stretches
}

/** Neighbours of one kind in one, those without items left out. */
function joined(stretches: readonly Stretch[]): Stretch[] {
  const whole: { kind: Stretch['kind']; items: string[] }[] = []
  for (const { kind, items } of stretches) {
    if (items.length === 0) continue
    const last = whole.at(-1)
    if (last?.kind !== kind) whole.push({ kind, items: [...items] })
    else for (const item of items) last.items.push(item)
  }
  return whole
}

function wordsOf(text: string): string[] {
  return text.match(/\n|[^\S\n]+|\S+/g) ?? []
}

function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+/g) ?? []
}
