import { SteleError } from '../errors.ts'
import { type AuditCategory, type AuditSeverity, applicationAction } from '../model/audit-actions.ts'
import type { AuditConditions } from '../store/audit-queries.ts'
import type { AuditEvent } from '../store/audit-reading.ts'
import type { GlobalOptions } from './open-store.ts'
import type { Column } from './table.ts'
import { none, timeText } from './values.ts'

/** Which events are meant, as the command line says it. */
export interface AuditFilterOptions extends GlobalOptions {
  readonly user?: string
  readonly action?: string
  readonly type?: string
  readonly category?: AuditCategory
  readonly severity?: AuditSeverity
  readonly outcome?: string
  readonly actor?: string
  readonly target?: string
}

export function auditConditions({ user, action, type, ...options }: AuditFilterOptions): AuditConditions {
  if (action !== undefined && type !== undefined)
    throw new SteleError('usage', { reason: 'Give --action or --type, not both.' })
  const { category, severity, outcome, actor, target } = options
  return {
    userId: user,
    action: type === undefined ? action : applicationAction(type),
    category,
    severity,
    outcome,
    actor,
    target,
  }
}

/** With widths, so that a tail's lines stand below each other. */
export const auditColumns: readonly Column<AuditEvent>[] = [
  { title: 'TIME', text: ({ createdAt }) => timeText(createdAt), width: 20 },
  { title: 'ID', text: ({ id }) => id, width: 30 },
  { title: 'LOG', text: ({ logIndex }) => String(logIndex ?? 'waits'), width: 7 },
  { title: 'ACTION', text: ({ action }) => action, width: 24 },
  { title: 'SEVERITY', text: ({ severity }) => severity, width: 8 },
  { title: 'OUTCOME', text: ({ outcome }) => outcome, width: 9 },
  { title: 'USER', text: ({ userId }) => userId || none, width: 16, elastic: true },
  { title: 'ACTOR', text: ({ actor }) => actor || none, width: 16, elastic: true },
  { title: 'TARGET', text: ({ target }) => target ?? none, elastic: true },
]
