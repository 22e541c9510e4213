/** What must hold, and what is wrong when it does not. */
export const checks = {
  missing: 'acknowledged and missing',
  double: 'double',
  unrecorded: 'dispatched and unrecorded',
  wrongBytes: 'wrong bytes',
  usage: 'wrong usage',
  sequence: 'gaps in sequences',
  fork: 'forks nobody asked for',
  open: 'left open',
  spooled: 'left in the spool',
  crash: 'crashes',
  error: 'errors clients saw',
} as const

export type Check = keyof typeof checks

export interface Violation {
  readonly check: Check
  /** The call, mark, conversation or user it is about. */
  readonly about: string
  readonly detail: string
}

/** How often something happened, by what it is called. */
export type Counts = Record<string, number>

/** Adds up. */
export function addTo(counts: Counts, more: Counts): void {
  for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count
}

export function countBy<T>(items: readonly T[], nameOf: (item: T) => string): Counts {
  const counts: Counts = {}
  for (const item of items) addTo(counts, { [nameOf(item)]: 1 })
  return counts
}

/** How many violations there are of each kind, those that did not occur included. */
export function violationCounts(violations: readonly Violation[]): Record<Check, number> {
  const counts = Object.fromEntries(Object.keys(checks).map(check => [check, 0])) as Record<Check, number>
  for (const { check } of violations) counts[check]++
  return counts
}
