import type { AuditCategory } from '../../model/audit-actions.ts'

/** How the words of an event's type begin that tell its category; the first category that has one counts. */
const beginnings: readonly (readonly [AuditCategory, readonly string[]])[] = [
  [
    'security',
    'attack auth block breach brute denied deny encrypt exploit filter flag forbid fraud guard inject intrusion jailbreak key lock login logon logout malicious moderat pii password permission privilege rate reject role secret secur session spam suspicious threat token toxic unauth violat'.split(
      ' ',
    ),
  ],
  [
    'compliance',
    'anonym approv attest audit complian consent delet eras export gdpr hipaa import legal mask policy privacy purge redact regulat retain retention sign terms'.split(
      ' ',
    ),
  ],
  [
    'access',
    'access call chat conversation document download fetch file list message open prompt query read record request respon retriev search share tool upload view'.split(
      ' ',
    ),
  ],
  [
    'system',
    'agent backup config connect crash deploy error exception fail health init job maintenance migrat model release restart restore schedul server service shutdown start stop system task timeout update upgrade worker workflow'.split(
      ' ',
    ),
  ],
]

/** The category that the type of an application's event speaks of, as of `blocked_content`; `general` when it speaks of none. */
export function categoryOf(eventType: string): AuditCategory {
  const words = eventType
    .replace(/(?<=[a-z0-9])(?=[A-Z])/g, '_')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
  const found = beginnings.find(([, starts]) =>
    words.some(word => starts.some(start => word.startsWith(start))),
  )
  return found?.[0] ?? 'general'
}
