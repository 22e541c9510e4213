import { SteleError } from '../../errors.ts'
import type { AuditEvent } from '../../store/audit-reading.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { formatFacts } from '../table.ts'
import { none, timeText } from '../values.ts'

export interface ShowAuditOptions extends GlobalOptions {
  readonly user?: string
  readonly content?: boolean
  readonly json?: boolean
}

/** Why what an application said of a user is not among what is shown. */
const notShown: Readonly<Record<AuditEvent['content'], string | undefined>> = {
  none: undefined,
  read: undefined,
  kept: 'kept; --content shows it',
  gone: 'erased, or never kept',
}

/** Shows an event. What an application said of a user is content: reading it is on record first. */
export async function showAudit(id: string, options: ShowAuditOptions): Promise<void> {
  const { user, content: withContent = false, json } = options
  const event = await withStele(options, async stele => {
    const one = (events: readonly AuditEvent[]): AuditEvent => {
      const found = events.find(({ userId }) => user === undefined || userId === user)
      if (found === undefined) throw new SteleError('audit_event_not_found', { event: id })
      return found
    }
    const found = one(await stele.auditEvents.get(id))
    if (!withContent || found.content !== 'kept') return found
    await noteReading(stele, { userId: found.userId, target: id, command: 'audit show' }, options)
    return one(await stele.auditEvents.get(id, { withContent }))
  })
  if (json === true) return writeJson(toRecord(event))
  await write(formatFacts(factsOf(event)))
}

function factsOf(event: AuditEvent): (readonly [string, string])[] {
  const { description, details } = event
  const hidden = notShown[event.content]
  return [
    ['event', event.id],
    ['log', event.logIndex === undefined ? 'waits to be taken in' : `entry ${event.logIndex}`],
    ['time', timeText(event.createdAt)],
    ['action', event.action],
    ['category', event.category],
    ['severity', event.severity],
    ['outcome', event.outcome],
    ['user', event.userId || none],
    ['actor', event.actor || none],
    ['target', event.target ?? none],
    ...(description === undefined ? [] : [['description', description] as const]),
    ...Object.entries(details ?? {}).map(
      ([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const,
    ),
    ...(hidden === undefined ? [] : [['said', hidden] as const]),
  ]
}
