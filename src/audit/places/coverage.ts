import { type DayFile, inOrder } from './day-file.ts'

/** A file and the leaves in it: from `first` on and before `next`, the same when there are none. */
export interface HeldFile extends DayFile {
  readonly first: number
  readonly next: number
}

/** Leaves that no file has, and the day with whose files they belong. */
export interface Gap {
  readonly day: string
  readonly from: number
  readonly to: number
}

export interface Coverage {
  readonly gaps: readonly Gap[]
  /** The leaf that comes after all that the files have. */
  readonly next: number
}

/**
 * What leaves the files of a folder have. A later file of a day that begins no later than an earlier one stands in for that, which
 * was damaged and is left as it is. Files that were taken elsewhere, and left a marker, count as held.
 */
export function coverageOf(files: readonly HeldFile[], archived: readonly DayFile[]): Coverage {
  const held = files.filter(file => file.next > file.first).sort(inOrder)
  const counted = held.filter(
    file =>
      !held.some(other => other.day === file.day && other.part > file.part && other.first <= file.first),
  )
  const gaps: Gap[] = []
  let next = 0
  let before: HeldFile | undefined
  for (const file of counted) {
    const isArchived = archived.some(
      marker => inOrder(marker, file) < 0 && (before === undefined || inOrder(before, marker) < 0),
    )
    if (file.first > next && !isArchived)
      gaps.push({ day: before?.day ?? dayBefore(file.day), from: next, to: file.first })
    next = Math.max(next, file.next)
    before = file
  }
  return { gaps, next }
}

function dayBefore(day: string): string {
  return new Date(Date.parse(day) - 86_400_000).toISOString().slice(0, 10)
}
