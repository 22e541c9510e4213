import { type AuditFilterOptions, auditColumns, auditConditions } from '../audit-filter.ts'
import { withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { formatTable } from '../table.ts'

export interface ListAuditOptions extends AuditFilterOptions {
  /** Milliseconds since 1970. */
  readonly since?: number
  readonly until?: number
  readonly before?: string
  readonly limit: number
  readonly json?: boolean
}

/** Lists events, the newest first. What applications said of users is not among it. */
export async function listAudit(options: ListAuditOptions): Promise<void> {
  const { since, until, before, limit } = options
  const filter = { ...auditConditions(options), since, until, before, limit }
  const events = await withStele(options, ({ auditEvents }) => auditEvents.list(filter))
  if (options.json === true) return writeJson(events.map(event => toRecord(event)))
  if (events.length === 0) return say('No events.')
  await write(formatTable(auditColumns, events, outputWidth()))
}
