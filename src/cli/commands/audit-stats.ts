import type { AuditCount } from '../../store/audit-stats.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { type Column, formatTable } from '../table.ts'

export interface AuditStatsOptions extends GlobalOptions {
  readonly user?: string
  /** Milliseconds since 1970. */
  readonly since?: number
  readonly until?: number
  readonly json?: boolean
}

const columns: readonly Column<AuditCount>[] = [
  { title: 'DAY', text: ({ day }) => day ?? '' },
  { title: 'ACTION', text: ({ action }) => action, elastic: true },
  { title: 'CATEGORY', text: ({ category }) => category },
  { title: 'SEVERITY', text: ({ severity }) => severity },
  { title: 'EVENTS', text: ({ events }) => String(events), align: 'right' },
  { title: 'WAITING', text: ({ pending }) => String(pending), align: 'right' },
]

/** Counts events. */
export async function auditStatistics(options: AuditStatsOptions): Promise<void> {
  const { user: userId, since, until } = options
  const counts = await withStele(options, ({ auditEvents }) => auditEvents.stats({ userId, since, until }))
  if (options.json === true)
    return writeJson(counts.map(({ day, ...count }) => ({ day: day ?? null, ...count })))
  if (counts.length === 0) return say('No events.')
  const shown = userId === undefined ? columns : columns.slice(1)
  await write(formatTable(shown, counts, outputWidth()))
}
