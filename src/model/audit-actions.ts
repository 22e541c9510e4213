/**
 * Every action that Stele puts on record by itself, in one table. Nothing else can be written but what applications say, under
 * names of their own (`applicationAction`). docs/audit.md lists the same rows and a test keeps the two equal.
 */

export const auditCategories = ['security', 'compliance', 'access', 'system', 'general'] as const

export type AuditCategory = (typeof auditCategories)[number]

/** From the least to the most. */
export const auditSeverities = ['info', 'warning', 'error', 'critical'] as const

export type AuditSeverity = (typeof auditSeverities)[number]

interface ActionFacts {
  readonly category: AuditCategory
  /** What it is unless the one who writes it says otherwise, as of a call that failed. */
  readonly severity: AuditSeverity
  readonly tells: string
  /** What its details hold; '' when there are none. */
  readonly details: string
}

/** In the order of the documentation. */
export const auditActions = {
  'call.begun': access('info', 'a call is about to be sent to its provider', ''),
  'call.settled': access('info', 'a call has ended; warning unless it was completed', ''),
  'call.refused': access(
    'warning',
    'a call was not let in: a limit, or its record could not be kept',
    'code, model, what, limit, used, requested',
  ),
  'call.imported': access(
    'info',
    'a call came from another system, or without its own events',
    'where it came from, and what has no place of its own; none in the second case',
  ),
  'document.generated': access('info', 'the same of a document', 'as above'),
  'comparison.settled': access('info', 'which reply of a comparison the conversation gets', ''),
  'masking.applied': security(
    'info',
    'something was masked in a request, or in a reply that is kept',
    'kinds: how many of each kind; in: provider, storage',
  ),
  'content.read': security('warning', 'the operator read what was said', 'command'),
  'break_glass.granted': security(
    'warning',
    'an administrator may read what is stored of a user',
    'holder, reason, expires_at',
  ),
  'break_glass.used': security(
    'warning',
    'an administrator does so; on record before anything is read',
    'route',
  ),
  'break_glass.revoked': security('info', 'such a grant was ended', ''),
  'login.succeeded': security('info', 'somebody logged in', ''),
  'login.failed': security('warning', 'a password was wrong, or there is no such user', ''),
  'login.refused': security(
    'warning',
    'the password was right and is only good for choosing another',
    'reason',
  ),
  'login.delayed': security('warning', 'further attempts have to wait', 'of, failures, seconds'),
  'login.ended': security('info', 'a session was ended', ''),
  'api_key.rejected': security(
    'warning',
    'a key or a session was not let in',
    'reason, further: how many more since the last such event',
  ),
  'permission.denied': security(
    'warning',
    'a key or a session may not do what it asked for',
    'permission, route, further',
  ),
  'api_key.created': security('info', 'a key was made', ''),
  'api_key.rotated': security('info', 'a key got a new secret', ''),
  'api_key.updated': security('warning', 'what holds for a key was changed', 'what was set'),
  'api_key.revoked': security('info', 'a key was revoked', ''),
  'user.created': security('info', 'an account was made', 'role'),
  'user.role_changed': security('warning', 'a user got another role', 'from, to'),
  'user.status_changed': security('warning', 'a user was suspended, or let in again', 'from, to'),
  'user.updated': security(
    'info',
    'what is kept of a user was changed',
    'changed: the names of the fields; content_mode',
  ),
  'password.changed': security('warning', 'a user has a new password', ''),
  'data_key.rotation_begun': security('info', 'the content of a user gets a new key', ''),
  'data_key.rotated': security(
    'info',
    'nothing is sealed with the old keys any more, and they are destroyed',
    'keys',
  ),
  'data_keys.backed_up': security('warning', 'the wrapped keys of all users were written to a file', ''),
  'data_keys.restored': security('warning', 'such keys were put into the database they are of', ''),
  'master_key.rotation_begun': security(
    'warning',
    'the secrets of the store are wrapped by another master key',
    '',
  ),
  'master_key.rotated': security('warning', 'every key is wrapped by it', 'rewrapped'),
  'audit.key_rotated': security('warning', 'another key signs checkpoints from now on', 'vkey, retired'),
  'audit.file_failed': security('error', 'the files of the trail cannot be written', 'reason'),
  'audit.file_recovered': security('info', 'they can be written again', ''),
  'audit.file_tampered': security(
    'critical',
    'somebody changed, cut or removed a file of the trail; it is kept and written anew beside',
    'how, from, to',
  ),
  'audit.file_archived': security('info', 'a file of the trail was moved away, as its marker says', ''),
  'audit.log_rolled_back': security(
    'critical',
    'the log does not go on from a checkpoint that is known outside: nothing is signed',
    'standing, size',
  ),
  'audit.log_consistent': security('info', 'it does again', ''),
  'audit.log_held_up': security(
    'critical',
    'the log, or what waits for it, is not as it was written: nothing is added to it',
    'since, reason',
  ),
  'audit.log_recovered': security(
    'critical',
    'the log goes on after that: somebody has put it in order, or taken away what held it up',
    'since, until, reason',
  ),
  'audit.checkpoint_failed': security('warning', 'a checkpoint did not reach a place outside', 'reason'),
  'audit.checkpoint_recovered': security('info', 'checkpoints reach it again', ''),
  'conversation.deleted': compliance('info', 'a conversation was deleted; it can be restored', ''),
  'conversation.restored': compliance('info', 'a deleted conversation is back', ''),
  'conversation.purged': compliance(
    'warning',
    'what was said in a conversation was removed for good; of a long one, or of one with many calls, there are several',
    'calls: those whose content went',
  ),
  'message.deleted': compliance('info', 'a message was hidden wherever it is shown', ''),
  'item.deleted': compliance('info', 'an item of a message was taken away for good', ''),
  'snapshot.deleted': compliance('info', 'a summary of a conversation was removed for good', ''),
  'document.deleted': compliance('info', 'a document was deleted', ''),
  'response.deleted': compliance('info', 'a response was deleted', ''),
  'completion.deleted': compliance('info', 'a stored completion was taken off the list', ''),
  'cache.cleared': compliance('info', 'answers that may be given again were removed', 'entries'),
  'user.erasure_begun': compliance(
    'warning',
    'the keys of a user are destroyed: nothing that was said is readable',
    'reason',
  ),
  'user.erased': compliance(
    'warning',
    'everything of a user that is to go has gone',
    'reason, and how much went',
  ),
  'retention.set': compliance('info', 'a user has periods of retention of their own', 'the periods'),
  'retention.unset': compliance('info', 'a user has the periods of everybody', ''),
  'retention.begun': compliance(
    'info',
    'what has expired is being let go',
    'now, periods: those of everybody',
  ),
  'retention.run': compliance('info', 'what has expired was let go', 'now, periods, expired, dropped_months'),
  'record.exported': compliance(
    'warning',
    'the record, or what belongs to one user, is written out with its content readable',
    'command, with_keys',
  ),
  'audit.exported': compliance('warning', 'audit events are written out', 'format, since, until, contents'),
  'record.backed_up': compliance('warning', 'a backup is made', ''),
  'record.restored': compliance('warning', 'a backup took the place of the database', ''),
  'record.copied': compliance('warning', 'the whole record is copied into another database', ''),
  'record.import_begun': compliance('warning', 'records are read in from a file or another system', 'source'),
  'record.imported': compliance('warning', 'they have been read in', 'source, imported, present'),
  'calls.repriced': system(
    'info',
    'costs on record were computed anew',
    'calls, first_call, last_call, cost_nanousd_before, cost_nanousd_after, unpriced_before',
  ),
  'usage.repaired': system('warning', 'sums of calls that were wrong were put right', 'day, model'),
  'limit.set': system('warning', 'what may be taken was limited', 'what it is for, caps'),
  'limit.removed': system('warning', 'a limit was taken away', 'what it was for'),
  'limit.time_zone_changed': system(
    'warning',
    'days and months of limits are counted in another time zone',
    'from, to',
  ),
  'limit.repaired': system('warning', 'counters of limits that were wrong were put right', ''),
  'document_type.registered': system('info', 'a document type has a new version', 'version'),
  'configuration.changed': system(
    'info',
    'a gateway was started with other settings than the last one',
    'digest, settings (nothing secret)',
  ),
  'schema.migrated': system('warning', 'a migration was applied', ''),
  'schema.reverted': system('warning', 'a migration was undone', ''),
  'spool.drained': system('warning', 'calls that waited outside the database are in it', 'drained, rejected'),
  'spool.adopted': system(
    'warning',
    'what a process that died had left in its spool is in the database',
    'drained, rejected, orphaned',
  ),
} as const satisfies Readonly<Record<string, ActionFacts>>

/** What Stele puts on record by itself. */
export type AuditAction = keyof typeof auditActions

const ofApplications = 'app.'

/** What an application says that happened. Never one of the table: those do not begin so. */
export type ApplicationAction = `${typeof ofApplications}${string}`

/** The action of an application's event, which can never be taken for one of Stele's own. */
export function applicationAction(eventType: string): ApplicationAction {
  return `${ofApplications}${eventType}`
}

/** What an action is by itself: an application's is nothing in particular. */
export function factsOf(action: AuditAction | ApplicationAction): Pick<ActionFacts, 'category' | 'severity'> {
  return isOwn(action) ? auditActions[action] : { category: 'general', severity: 'info' }
}

function isOwn(action: string): action is AuditAction {
  return Object.hasOwn(auditActions, action)
}

/** The inverse; undefined of Stele's own. */
export function eventTypeOf(action: string): string | undefined {
  return action.startsWith(ofApplications) ? action.slice(ofApplications.length) : undefined
}

export function isAuditCategory(word: unknown): word is AuditCategory {
  return (auditCategories as readonly unknown[]).includes(word)
}

export function isAuditSeverity(word: unknown): word is AuditSeverity {
  return (auditSeverities as readonly unknown[]).includes(word)
}

function access(severity: AuditSeverity, tells: string, details: string): ActionFacts {
  return { category: 'access', severity, tells, details }
}

function security(severity: AuditSeverity, tells: string, details: string): ActionFacts {
  return { category: 'security', severity, tells, details }
}

function compliance(severity: AuditSeverity, tells: string, details: string): ActionFacts {
  return { category: 'compliance', severity, tells, details }
}

function system(severity: AuditSeverity, tells: string, details: string): ActionFacts {
  return { category: 'system', severity, tells, details }
}
