/**
 * One file of a day of the log: the first is `audit-2026-11-22_01.jsonl`, and those beside it count on, so that their names sort in the
 * order in which they were begun, in every language.
 */
export interface DayFile {
  readonly name: string
  /** YYYY-MM-DD, UTC: when it was begun. */
  readonly day: string
  /** 1 for the first of the day. */
  readonly part: number
}

/** A file that was taken elsewhere leaves an empty one with this added to its name. */
const archivedSuffix = '.archived'

const pattern = /^audit-(\d{4}-\d{2}-\d{2})_(\d{2,})\.jsonl$/

export function dayFile(day: string, part: number): DayFile {
  return { name: `audit-${day}_${String(part).padStart(2, '0')}.jsonl`, day, part }
}

/** Undefined for a name that is not of such a file. */
export function parseDayFile(name: string): DayFile | undefined {
  const [, day, part] = pattern.exec(name) ?? []
  return day === undefined || part === undefined ? undefined : { name, day, part: Number(part) }
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
