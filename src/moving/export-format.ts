import { z } from 'zod'
import { type IdKind, isId } from '../ids.ts'
import { routeModes } from '../model/call.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { pairs } from '../model/metadata.ts'
import { isFields } from '../model/reply.ts'
import { isItemList } from '../model/responses/kept-items.ts'
import { contentModes } from '../privacy/sealed-content.ts'
import { documentStatuses } from '../store/documents.ts'

/** The lines of an export: docs/export-format.md tells what they mean. */

export const formatName = 'stele-export'
export const formatVersion = 1

/** The last millisecond of the year 9999: what is later has no day to be counted on. */
const lastTime = 253_402_300_799_999

const id = (kind: IdKind) =>
  z.string().refine(value => isId(kind, value), `it must be an id of the kind ${kind}`)
const time = z.int().min(0).max(lastTime)
const count = z.int().min(0)
const seq = z
  .int()
  .min(0)
  .max(2 ** 31)

/** Text of a column: not every database can hold a NUL, and none half a surrogate pair. */
const text = z
  .string()
  .max(100_000)
  .refine(value => value.isWellFormed(), 'it holds half a surrogate pair')
  .refine(value => !value.includes('\0'), 'it holds a NUL character')
const word = text.refine(value => value.length > 0 && value.length <= 512, 'it must have 1 to 512 characters')

/** Content: text, or bytes that are no UTF-8. */
const content = z.union([
  z.string().refine(value => value.isWellFormed(), 'it holds half a surrogate pair'),
  z.strictObject({ base64: z.base64() }),
])

export type Content = z.infer<typeof content>

export const headerLine = z.strictObject({
  format: z.literal(formatName),
  version: z.literal(formatVersion),
  created_at: time,
  source: z.string(),
})

/** How content is kept, where that differs from everybody's. */
const contentMode = z.enum(contentModes).nullable().default(null)

const user = z.strictObject({
  type: z.literal('user'),
  id: word,
  email: text.nullable(),
  username: text.nullable(),
  role: word,
  status: word,
  created_at: time,
  deleted_at: time.nullable(),
  preferences: text.nullable().default(null),
  content_mode: contentMode,
  erased_at: time.nullable().default(null),
})

const apiKey = z.strictObject({
  type: z.literal('api_key'),
  id: id('apiKey'),
  user_id: word,
  name: text,
  prefix: text,
  key_hash: word,
  scopes: text,
  created_at: time,
  expires_at: time.nullable(),
  revoked_at: time.nullable(),
  last_used_at: time.nullable(),
  content_mode: contentMode,
  previous_hash: word.nullable().default(null),
  previous_expires_at: time.nullable().default(null),
  rotated_at: time.nullable().default(null),
  issued_by: word.nullable().default(null),
  masking: text.nullable().default(null),
  cache: text.nullable().default(null),
  compression: text.nullable().default(null),
})

const conversation = z
  .strictObject({
    type: z.literal('conversation'),
    id: id('conversation'),
    user_id: word,
    title: text.nullable(),
    status: word,
    metadata: text.nullable(),
    next_seq: seq,
    parent_id: id('conversation').nullable(),
    parent_seq: z.int().min(-1).nullable(),
    created_at: time,
    updated_at: time,
    deleted_at: time.nullable(),
    intent: text.nullable().default(null),
    preferences: text.nullable().default(null),
    session_id: word.nullable().default(null),
  })
  .refine(
    ({ parent_id, parent_seq }) => (parent_id === null) === (parent_seq === null),
    'parent_id and parent_seq go together',
  )
  .refine(({ parent_seq, next_seq }) => (parent_seq ?? -1) < next_seq, 'next_seq must be above parent_seq')

const message = z
  .strictObject({
    type: z.literal('message'),
    id: id('message'),
    user_id: word,
    conversation_id: id('conversation'),
    seq,
    role: word,
    /** The message as JSON text, as it was sent or received; null when it was not kept. */
    message: z.string().nullable(),
    model: word.nullable(),
    call_id: id('call').nullable(),
    created_at: time,
    intent: text.nullable().default(null),
    cost_nanousd: z.int().nullable().default(null),
    metadata: text.nullable().default(null),
    deleted_at: time.nullable().default(null),
    /** The items that it stands for as JSON text, where the message does not tell. */
    items: z.string().refine(isItemList, 'it must be a JSON list of items').nullable().default(null),
    /** How the messages before it were spelled when it was sent, from `from` on, where that differs. */
    echo: z.strictObject({ from: seq, messages: z.array(z.string()).min(1) }).nullable(),
  })
  .refine(
    ({ echo, seq: at }) => echo === null || echo.from + echo.messages.length === at,
    'the messages of the echo must end right before this one',
  )
  .refine(
    ({ echo, message: raw }) => echo === null || raw !== null,
    'a message that was not kept has no echo',
  )

const response = z.strictObject({
  status: z.enum(['completed', 'failed', 'aborted', 'orphaned', 'cached']),
  http_status: count.nullable(),
  content_type: text.nullable(),
  body: content.nullable(),
  conversation_id: id('conversation').nullable(),
  seq: seq.nullable(),
  response_model: word.nullable(),
  provider_response_id: text.nullable(),
  finish_reasons: z.array(z.string()),
  input_tokens: count.nullable(),
  output_tokens: count.nullable(),
  cache_read_input_tokens: count.nullable(),
  reasoning_output_tokens: count.nullable(),
  /** Written to the provider's cache, and what else few calls use, as a JSON object. */
  cache_creation_input_tokens: count.nullable().default(null),
  usage_details: text.nullable().default(null),
  /** Who counted; null when nobody said or did. */
  usage_source: z.enum(['reported', 'estimated']).nullable().default(null),
  cost_nanousd: z.int().nullable(),
  latency_ms: z.int().nullable(),
  time_to_first_chunk_ms: z.int().nullable(),
  error_code: text.nullable(),
  error_message: text.nullable(),
  created_at: time,
  cache_hit: text.nullable().default(null),
  saved_input_tokens: count.nullable().default(null),
  saved_output_tokens: count.nullable().default(null),
  saved_nanousd: z.int().nullable().default(null),
})

const call = z
  .strictObject({
    type: z.literal('call'),
    id: id('call'),
    user_id: word,
    /** Null, and -1, of a call that is no chat. */
    conversation_id: id('conversation').nullable(),
    up_to_seq: z
      .int()
      .min(-1)
      .max(2 ** 31),
    api_key_id: word.nullable(),
    provider: text,
    request_model: text,
    operation: text,
    group_id: id('call').nullable(),
    route_mode: z.enum(routeModes).nullable(),
    /** Of a call that a document is made by. */
    document_type: word.nullable().default(null),
    document_version: word.nullable().default(null),
    created_at: time,
    /** The request exactly as it was received; null when it was not kept. */
    request: content.nullable(),
    /** How it was compressed for its provider, and what the request does not tell of that; null when it was sent as it is. */
    compression: text.nullable().default(null),
    sent: z.string().nullable().default(null),
    /** Null while the call is under way. */
    response: response.nullable(),
  })
  .refine(
    ({ conversation_id, up_to_seq }) => (conversation_id === null) === (up_to_seq === -1),
    'up_to_seq must be -1 in no conversation, and in no other',
  )

const madeResponse = z.strictObject({
  type: z.literal('response'),
  user_id: word,
  id: id('response'),
  call_id: id('call'),
  conversation_id: id('conversation'),
  seq: seq.nullable(),
  previous_response_id: id('response').nullable(),
  status: z.enum(['in_progress', 'cancelling', 'completed', 'incomplete', 'failed', 'cancelled']),
  /** Its input items and the `Response` object as JSON text; null when they were not kept. */
  input: z.string().refine(isItemList, 'it must be a JSON list of items').nullable(),
  body: z.string().refine(isResponse, 'it must be the JSON text of a response').nullable(),
  metadata: text.refine(isMetadata, 'it must be the JSON text of an object of strings').nullable(),
  created_at: time,
  deleted_at: time.nullable(),
})

const documentType = z.strictObject({
  type: z.literal('document_type'),
  name: word,
  version: word,
  number: z.int().min(1),
  /** JSON text. */
  definition: z.string().refine(isDefinition, 'it must be the JSON text of a document type'),
  created_by: text,
  created_at: time,
})

const document = z.strictObject({
  type: z.literal('document'),
  user_id: word,
  id: id('document'),
  call_id: id('call'),
  document_type: word,
  document_version: word,
  root_id: id('document'),
  previous_id: id('document').nullable(),
  number: z.int().min(1),
  status: z.enum(documentStatuses),
  api_key_id: word.nullable(),
  /** JSON texts; null when they were not kept, or there is none. */
  input: z.string().refine(isJson, 'it must be JSON text').nullable(),
  output: z.string().refine(isJson, 'it must be JSON text').nullable(),
  error_code: text.nullable(),
  error_message: text.nullable(),
  total_tokens: count.nullable(),
  created_at: time,
  ended_at: time.nullable(),
  deleted_at: time.nullable(),
})

const storedCompletion = z.strictObject({
  type: z.literal('stored_completion'),
  user_id: word,
  /** As its client got it. */
  id: word,
  call_id: id('call'),
  model: word,
  /** JSON text of an object of strings. */
  metadata: text.refine(isMetadata, 'it must be the JSON text of an object of strings'),
  created_at: time,
  deleted_at: time.nullable(),
})

const contextSnapshot = z.strictObject({
  type: z.literal('context_snapshot'),
  id: id('snapshot'),
  user_id: word,
  conversation_id: id('conversation'),
  up_to_seq: seq,
  content,
  created_at: time,
})

const auditEvent = z.strictObject({
  type: z.literal('audit_event'),
  id: id('audit'),
  /** '' when it concerns nobody that is known. */
  user_id: text,
  actor: text,
  action: text,
  category: text,
  severity: text,
  target: text.nullable(),
  outcome: text,
  details: text.nullable(),
  /** Hexadecimal; of an event with content beside it. Of a call it would say nothing without the salt, which stays with its store. */
  commitment: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullish(),
  /** What an application said of a user, with its salt, as JSON text; what is committed to. */
  content: text.nullish(),
  created_at: time,
})

/** What else is held on the user whose export it is: for reading, and not taken in by an import. */
const held = z.strictObject({
  type: z.literal('held'),
  user_id: word,
  table: word,
  row: z.record(z.string(), z.union([z.string(), z.number(), z.null()])),
})

const end = z.strictObject({ type: z.literal('end'), records: count })

export const recordLine = z.discriminatedUnion('type', [
  user,
  apiKey,
  conversation,
  message,
  call,
  madeResponse,
  documentType,
  document,
  storedCompletion,
  contextSnapshot,
  auditEvent,
  held,
  end,
])

function isResponse(value: string): boolean {
  try {
    const response: unknown = JSON.parse(value)
    return isFields(response) && Array.isArray(response['output'])
  } catch {
    return false
  }
}

function isJson(value: string): boolean {
  return maybeJson(value) !== undefined
}

function isDefinition(value: string): boolean {
  return isFields(maybeJson(value))
}

function isMetadata(value: string): boolean {
  try {
    return pairs.safeParse(JSON.parse(value)).success
  } catch {
    return false
  }
}

export type RecordLine = z.infer<typeof recordLine>
export type LineOf<K extends RecordLine['type']> = Extract<RecordLine, { type: K }>
