import type { StoredBatch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { idTime } from '../ids.ts'
import type { Leaf } from './audit-queue.ts'

const key = ['day', 'action', 'category', 'severity'] as const

/** Counts events that are taken into the log: few rows, however many events there are. */
export function addCounts(batch: StoredBatch, leaves: readonly Leaf[]): Promise<void> {
  return batch.insertOrAdd('audit_counts', key, ['events'], countsOf(leaves))
}

/** How many there are of each day and kind, in the order of their keys. */
export function countsOf(leaves: readonly Leaf[]): Row<'audit_counts'>[] {
  const counts = new Map<string, Row<'audit_counts'>>()
  let lastTime = ''
  let day = ''
  for (const { eventId, action, category, severity } of leaves) {
    // The first eight digits of an id change every second: those of one batch have hardly two.
    const time = eventId.slice(0, -18)
    if (time !== lastTime) {
      lastTime = time
      day = dayOf(eventId)
    }
    const name = `${day} ${action} ${category} ${severity}`
    const known = counts.get(name)
    if (known === undefined) counts.set(name, { day, action, category, severity, events: 1 })
    else known.events++
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
}

/** The day on which an event was written, UTC; of one that was imported, that on which it happened. */
function dayOf(eventId: string): string {
  try {
    return new Date(idTime(eventId)).toISOString().slice(0, 10)
  } catch {
    // Somebody else has written it.
    return ''
  }
}
