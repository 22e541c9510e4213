/** One file of a day of the log: the first is `audit-2026-11-22.jsonl`, those beside it `audit-2026-11-22_02.jsonl` and so on. */
export interface DayFile {
  readonly name: string
  /** YYYY-MM-DD, UTC: when it was begun. */
  readonly day: string
  /** 1 for the first of the day. */
  readonly part: number
}

/** A file that was taken elsewhere leaves an empty one with this added to its name. */
const archivedSuffix = '.archived'

const pattern = /^audit-(\d{4}-\d{2}-\d{2})(?:_(\d{2,}))?\.jsonl$/

export function dayFile(day: string, part: number): DayFile {
  const suffix = part === 1 ? '' : `_${String(part).padStart(2, '0')}`
  return { name: `audit-${day}${suffix}.jsonl`, day, part }
}

/** Undefined for a name that is not of such a file. */
export function parseDayFile(name: string): DayFile | undefined {
  const [, day, part] = pattern.exec(name) ?? []
  return day === undefined ? undefined : { name, day, part: part === undefined ? 1 : Number(part) }
}

/** The file that a marker stands for. */
export function parseArchived(name: string): DayFile | undefined {
  return name.endsWith(archivedSuffix) ? parseDayFile(name.slice(0, -archivedSuffix.length)) : undefined
}

/** For sorting in the order in which they were begun. */
export function inOrder(a: DayFile, b: DayFile): number {
  if (a.day !== b.day) return a.day < b.day ? -1 : 1
  return a.part - b.part
}

/** The day of a time in milliseconds since 1970, UTC. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}
