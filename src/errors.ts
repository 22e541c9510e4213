/**
 * Every error that Stele raises on purpose, in one table. `status` is the HTTP status, `retryable` says whether the
 * same request may succeed later, `type` is OpenAI's error type, `{name}` in a message is filled from the details.
 * docs/errors.md lists the same rows and a test keeps the two equal.
 */
export const errorTable = {
  invalid_json: row(400, 'The request body is not valid JSON: {reason}'),
  invalid_http: row(400, '{reason}'),
  invalid_utf8: row(400, 'The request body is not valid UTF-8.'),
  json_too_deep: row(400, 'The request body is nested deeper than {limit} levels.'),
  json_too_large: row(400, 'The request body holds more than {limit} values.'),
  duplicate_member: row(400, 'The request body names {name} more than once.'),
  missing_required_parameter: row(400, "Missing required parameter: '{name}'."),
  invalid_value: row(400, "Invalid value for '{name}': {reason}"),
  body_too_large: row(413, 'The request body is larger than {limit} bytes.'),
  unsupported_media_type: row(415, 'Send the request as application/json, not compressed.'),
  missing_api_key: row(401, 'No API key was given. Send it as "Authorization: Bearer <key>".'),
  invalid_api_key: row(401, 'The API key is not valid: it is unknown, revoked or expired.'),
  permission_denied: row(403, 'This API key may not {action}.'),
  host_not_allowed: row(
    403,
    "This gateway is not called '{host}'. Its names are set by STELE_ALLOWED_HOSTS.",
  ),
  break_glass_required: row(
    403,
    "What is stored of the user '{user}' is not this key's to read. A break-glass grant with a reason lets it: POST /v1/break_glass.",
  ),
  cross_origin_request: row(403, 'A request with a session cookie must come from this origin.'),
  invalid_session: row(401, 'The session has ended. Log in again.'),
  login_failed: row(401, 'The user or the password is not right.'),
  password_change_required: row(
    403,
    'This password was given by somebody else: send new_password with it to choose your own.',
  ),
  registration_closed: row(
    403,
    'Registration is closed here (STELE_REGISTRATION); an administrator makes users.',
  ),
  too_many_attempts: row(429, 'Too many attempts. Try again in {seconds} seconds.', true),
  login_busy: row(503, 'Too many logins are under way.', true),
  grant_not_found: row(404, "There is no break-glass grant '{grant}'."),
  route_not_found: row(404, 'There is no route {method} {path}.'),
  method_not_allowed: row(405, '{method} is not allowed here. Allowed: {allowed}.'),
  model_not_found: row(404, "The model '{model}' is not served here. {hint}"),
  replay_miss: row(404, "No recorded answer to exactly this request for the model '{model}'."),
  conversation_not_found: row(404, "There is no conversation '{conversation}' of this user."),
  conversation_locked: row(
    409,
    "The conversation '{conversation}' is being continued by another request.",
    true,
  ),
  response_not_found: row(404, "There is no response '{response}' of this user."),
  previous_response_not_found: row(400, "There is no previous response '{response}' of this user."),
  response_not_cancellable: row(400, "The response '{response}' cannot be cancelled: {reason}"),
  not_translatable: row(
    400,
    "The provider of the model '{model}' speaks chat completions, which cannot hold {what}.",
  ),
  response_cancelled: row(499, 'The response was cancelled.'),
  message_not_found: row(404, "There is no message '{message}' in this conversation."),
  item_not_found: row(404, "There is no item '{item}' in this conversation."),
  snapshot_not_found: row(404, "There is no context snapshot '{snapshot}' of this user."),
  sequence_conflict: row(
    409,
    "Another writer was first in the conversation '{conversation}': expected seq {expected}, it is at {actual}.",
  ),
  conversation_in_use: row(
    409,
    "A call is under way in the conversation '{conversation}'. Its content can be purged when that has ended.",
    true,
  ),
  comparison_not_found: row(404, "There is no comparison '{comparison}' of this user."),
  comparison_under_way: row(
    409,
    "The comparison '{comparison}' is under way: take one of its replies when all of them have ended.",
    true,
  ),
  comparison_settled: row(409, "Another choice was made for the comparison '{comparison}': {choice}."),
  rate_limit_exceeded: row(
    429,
    'Rate limit reached for {what}: limit {limit}, used {used}, requested {requested}. {advice}',
    true,
  ),
  insufficient_quota: row(
    429,
    'You exceeded your current quota of {what}: limit {limit}, used {used}, requested {requested}. {advice}',
    true,
  ),
  price_unknown: row(
    403,
    "The price of the model '{model}', or of a tool that the request lets its provider use, is not known, so it cannot be held against a limit of cost. Give it a price, or set limits.unpriced to allow.",
  ),
  limit_not_found: row(404, 'There is no such limit.'),
  call_not_found: row(404, "There is no call '{call}' of this user."),
  user_not_found: row(404, "There is no user '{user}'."),
  api_key_not_found: row(404, "There is no API key '{key}'."),
  completion_not_found: row(404, "There is no stored chat completion '{completion}' of this user."),
  document_not_found: row(404, "There is no document '{document}' of this user."),
  document_type_not_found: row(404, "There is no document type '{type}'."),
  document_type_not_in_force: row(400, "The document type '{type}' is not to be used now: {reason}"),
  document_type_invalid: row(400, 'The document type is not valid: {reason}'),
  document_type_conflict: row(
    409,
    "Version {version} of the document type '{type}' is registered with other content. Versions never change: register a new one.",
  ),
  document_input_invalid: row(400, "The input does not fit the document type '{type}': {problems}"),
  document_invalid: row(502, "What the model answered is no document of the type '{type}': {problems}", true),
  call_not_repeatable: row(400, "The call '{call}' cannot be made again: {reason}"),
  operation_not_served: row(404, "The provider of the model '{model}' does not offer {operation}."),
  not_compressible: row(
    400,
    'Only what users and systems say in chats is compressed, and {operation} are none: leave x-stele-compress out.',
  ),
  user_erasing: row(
    409,
    "The user '{user}' is being erased; nothing of theirs can be recorded until that is done.",
    true,
  ),
  content_erased: row(410, 'What was said was erased: its key has been destroyed.'),
  masking_unavailable: row(
    503,
    'What was said cannot be masked now, and must not be passed on or kept without: {reason}',
    true,
  ),
  content_not_kept: row(410, 'What was said was not kept, or is not kept any longer.'),
  audit_event_not_found: row(404, "There is no audit event '{event}'."),
  audit_event_pending: row(409, "The audit event '{event}' is not in the log yet.", true),
  audit_log_empty: row(409, 'Nothing is in the audit log yet.', true),
  note_invalid: row(400, 'The signed note is not valid: {reason}.'),
  checkpoint_invalid: row(400, 'The checkpoint is not valid: {reason}.'),
  vkey_invalid: row(400, 'The public key is not valid: {reason}.'),
  audit_log_part_not_found: row(404, "The audit log has no '{part}'."),
  audit_log_broken: row(
    500,
    'Nothing more is taken into the audit log, because it is not as it was signed: {reason}.',
  ),
  retention_invalid: row(400, 'These retention periods do not fit together: {reason}'),
  retention_running: row(409, 'Another run of the retention is under way.', true),
  rotation_running: row(409, 'Another rotation of the master key is under way.', true),
  already_exists: row(409, '{what} exists already.'),
  search_disabled: row(403, 'Search is turned off here (STELE_SEARCH).'),
  call_orphaned: row(503, "The call '{call}' was given up as lost before its reply was recorded.", true),
  call_id_conflict: row(409, "The call '{call}' is already recorded with a different request."),
  call_id_taken: row(
    500,
    "The id '{call}' is that of another call on record. Nothing was recorded of this one.",
  ),
  idempotency_key_reused: row(409, 'This Idempotency-Key was used with a different request.'),
  idempotency_key_in_use: row(409, 'A request with this Idempotency-Key is still under way.', true),
  request_timeout: row(408, 'The request did not arrive within {seconds} seconds.', true),
  client_stalled: row(499, 'The client took nothing of its reply for {seconds} seconds.'),
  client_closed_request: row(499, 'The client closed the connection before the reply was complete.'),
  internal_error: row(500, 'Stele failed to handle this request. The call id names it in the log.'),
  record_rejected: row(500, 'The call could not be recorded: {reason}'),
  content_unreadable: row(500, 'A stored value cannot be read: {reason}'),
  provider_unreachable: row(502, "The provider '{provider}' could not be reached: {reason}", true),
  provider_auth_failed: row(502, "The provider '{provider}' refused Stele's credentials ({status})."),
  provider_error: row(502, "The provider '{provider}' answered with status {status}.", true),
  provider_invalid_response: row(502, "The provider '{provider}' sent an unusable reply: {reason}", true),
  provider_stream_truncated: row(502, "The provider '{provider}' ended its stream early: {reason}", true),
  provider_reply_too_large: row(502, "The provider '{provider}' sent a reply larger than {limit} bytes."),
  provider_timeout: row(504, "The provider '{provider}' did not answer in time: {reason}", true),
  provider_unavailable: row(
    503,
    "The provider '{provider}' failed repeatedly and is not asked for now.",
    true,
  ),
  not_on_record: row(503, 'It is not done, as it cannot be put on record: {reason}', true),
  store_unavailable: row(503, 'The database is unavailable: {reason}', true),
  spool_full: row(
    503,
    'The database is away and {limit} bytes wait for it on disk already; no more calls are taken until it is back.',
    true,
  ),
  audit_unavailable: row(
    503,
    'Nothing is taken that is to be on record, because the files of the audit log are not up to it: {reason}.',
    true,
  ),
  shutting_down: row(503, 'Stele is shutting down.', true),
  config_invalid: row(500, 'The configuration is not valid:\n{problems}'),
  database_url_invalid: row(500, 'The database URL is not usable: {reason}'),
  database_not_writable: row(500, 'The database {database} cannot be opened for writing: {reason}'),
  database_damaged: row(
    500,
    'The database {database} is damaged: {reason}. Nothing was changed. Restore a backup; stele doctor tells more.',
  ),
  database_foreign: row(
    500,
    'The database {database} belongs to another program: it has the tables {tables}. Nothing was changed. Name another file.',
  ),
  database_unsuitable: row(
    500,
    'The database {database} cannot hold the record: {reason}. Nothing was changed.',
  ),
  schema_missing: row(500, 'The database has no Stele schema or an older one. Run: stele migrate up'),
  schema_newer: row(
    500,
    'The database schema ({found}) is newer than this version of Stele knows ({known}).',
  ),
  migration_failed: row(500, 'Migration {name} failed: {reason}'),
  partitions_missing: row(
    500,
    'The partitions {partitions} are missing, and this role may not make them: what belongs there goes to the default partition until the owner of the tables runs stele migrate up.',
  ),
  master_key_invalid: row(500, 'The master key is not usable: {reason}'),
  master_key_mismatch: row(500, 'The master key is not the one this database was made with.'),
  would_overwrite: row(500, '{path} is there already and is kept. To replace it: --force'),
  file_not_writable: row(500, 'The file {path} cannot be written: {reason}'),
  backup_elsewhere: row(500, 'This database is no file that Stele could copy. {advice}'),
  backup_invalid: row(500, '{path} is no usable backup: {reason}'),
  key_file_invalid: row(500, '{path} is no usable key file: {reason}'),
  database_in_use: row(500, 'Another process has the database {database} open. Stop it first.'),
  database_not_empty: row(500, 'The database {database} holds data already. {advice}'),
  copy_unfinished: row(
    500,
    'The database {database} holds an unfinished copy of {source}. To finish it run the same stele copy again.',
  ),
  copy_failed: row(500, 'The copy stopped in table {table}: {reason}'),
  import_invalid: row(500, 'Line {line} cannot be imported: {reason}'),
  source_unreadable: row(500, 'The source {source} cannot be read: {reason}'),
  source_unrecognized: row(500, 'The source {source} cannot be imported as {format}: {reason}'),
  source_invalid: row(
    500,
    'The source {source} is not valid JSON at {place}: {reason}. What stands before it is imported; the same import again goes on.',
  ),
  gateway_unreachable: row(502, 'The gateway at {gateway} could not be reached: {reason}', true),
  gateway_error: row(502, 'The gateway at {gateway} answered with status {status}: {reason}'),
  address_unavailable: row(500, 'Cannot listen on {host}:{port}: {reason}'),
  worker_failed: row(500, 'A worker process {reason}.'),
  usage: row(500, '{reason}'),
} as const

interface ErrorRow {
  readonly status: number
  readonly retryable: boolean
  readonly message: string
}

export type ErrorCode = keyof typeof errorTable

type Details = Readonly<Record<string, string | number>>

/** An expected failure with a code of `errorTable`. Branch on `code`, never on the message. */
export class SteleError extends Error {
  override readonly name = 'SteleError'
  readonly code: ErrorCode
  readonly status: number
  readonly retryable: boolean
  /** The request parameter at fault, as OpenAI's error body names it. */
  readonly param: string | null
  /** What the message was filled with. */
  readonly details: Details

  constructor(code: ErrorCode, details: Details = {}, options: { cause?: unknown; param?: string } = {}) {
    const { status, retryable, message }: ErrorRow = errorTable[code]
    super(
      message.replace(/\{(\w+)\}/g, (whole, name: string) => String(details[name] ?? whole)),
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.status = status
    this.retryable = retryable
    this.param = options.param ?? null
    this.details = details
  }
}

/** OpenAI's error body, the only shape in which Stele reports errors over HTTP. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string }
}

/** The error body of an expected failure. */
export function errorBody(error: SteleError): ErrorBody {
  return {
    error: { message: error.message, type: errorType(error), param: error.param, code: error.code },
  }
}

function errorType({ status, code, details }: SteleError): string {
  // As OpenAI calls them.
  if (code === 'insufficient_quota') return code
  if (code === 'rate_limit_exceeded') return String(details['metric'] ?? 'requests')
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status < 500) return 'invalid_request_error'
  return status === 502 || status === 504 ? 'provider_error' : 'server_error'
}

/** The message of anything thrown, in one line. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.split('\n', 1)[0] ?? text
}

function row(status: number, message: string, retryable = false): ErrorRow {
  return { status, retryable, message }
}
