import type { ExportedEvent } from '../export-line.ts'

/**
 * An event as the class API Activity (6003) of the Open Cybersecurity Schema Framework (https://schema.ocsf.io). What the schema has
 * no place for is in `unmapped`.
 */

/** The version of the schema. */
const schemaVersion = '1.3.0'

const activities = {
  1: { name: 'Create', verbs: ['created', 'begun', 'granted', 'registered', 'added', 'made', 'imported'] },
  2: { name: 'Read', verbs: ['read', 'used', 'exported', 'searched', 'listed', 'verified', 'shown'] },
  3: {
    name: 'Update',
    verbs: ['updated', 'changed', 'set', 'rotated', 'settled', 'renamed', 'restored', 'run', 'resealed'],
  },
  4: {
    name: 'Delete',
    verbs: ['deleted', 'erased', 'removed', 'purged', 'revoked', 'ended', 'cleared', 'unset'],
  },
} as const

const severities: Readonly<Record<string, readonly [id: number, name: string]>> = {
  info: [1, 'Informational'],
  low: [2, 'Low'],
  notice: [2, 'Low'],
  medium: [3, 'Medium'],
  warning: [3, 'Medium'],
  high: [4, 'High'],
  error: [4, 'High'],
  critical: [5, 'Critical'],
}

export function ocsfLine({ index, salt, event }: ExportedEvent, origin: string): string {
  const { action, outcome } = event
  const activity = activityOf(action)
  const [severityId, severity] = severities[event.severity] ?? [99, event.severity]
  const isSuccess = outcome === 'success'
  const isKnown = isSuccess || outcome === 'failure' || outcome === 'denied'
  return JSON.stringify({
    activity_id: activity.id,
    activity_name: activity.name,
    category_uid: 6,
    category_name: 'Application Activity',
    class_uid: 6003,
    class_name: 'API Activity',
    type_uid: 600_300 + activity.id,
    type_name: `API Activity: ${activity.id === 99 ? 'Other' : activity.name}`,
    severity_id: severityId,
    severity,
    status_id: isSuccess ? 1 : isKnown ? 2 : 99,
    status: isSuccess ? 'Success' : isKnown ? 'Failure' : outcome,
    status_detail: isSuccess ? undefined : outcome,
    time: event.created_at,
    message: `${event.actor}: ${action}${event.target === null ? '' : ` ${event.target}`} (${outcome})`,
    metadata: {
      version: schemaVersion,
      product: { name: 'Stele', vendor_name: 'Stele' },
      uid: event.id,
      event_code: action,
      log_name: origin,
      sequence: index,
      original_time: new Date(event.created_at).toISOString(),
    },
    actor: { user: actorOf(event.actor) },
    api: { operation: action, service: { name: 'stele' } },
    // Addresses are not kept. The schema wants to know some name.
    src_endpoint: { svc_name: origin },
    resources:
      event.target === null && event.user_id === ''
        ? undefined
        : [
            {
              uid: event.target ?? undefined,
              owner: event.user_id === '' ? undefined : { uid: event.user_id },
            },
          ],
    unmapped: {
      category: event.category,
      details: event.details,
      commitment: event.commitment === null ? null : Buffer.from(event.commitment).toString('hex'),
      salt: Buffer.from(salt).toString('base64'),
    },
  })
}

/** What an action does, by its last word. */
function activityOf(action: string): { readonly id: number; readonly name: string } {
  const verb = action.slice(action.lastIndexOf('.') + 1).replace(/^.*_/, '')
  for (const [id, { name, verbs }] of Object.entries(activities))
    if ((verbs as readonly string[]).includes(verb)) return { id: Number(id), name }
  return { id: 99, name: action }
}

/** Whoever did it: the operator of the machine, or a user. */
function actorOf(actor: string) {
  const operator = /^operator(?::(.*))?$/s.exec(actor)
  if (operator !== null) return { name: operator[1] ?? 'operator', type_id: 2, type: 'Admin' }
  return { uid: actor.replace(/^user:/, ''), type_id: 1, type: 'User' }
}
