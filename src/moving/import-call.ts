import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { parseChatRequest, withPreface } from '../model/chat-request.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { type PreparedRequest, prepareRequest } from '../model/prepared-request.ts'
import { recordedRequest } from '../model/recorded-request.ts'
import { cutContent } from '../model/reply.ts'
import { absentContent, decodeText, encodeCompressed, encodeContent, isAbsent } from '../privacy/content.ts'
import type { Store } from '../store/contents.ts'
import { conversationStore } from '../store/conversations.ts'
import { importingInstance } from '../store/instances.ts'
import { rawMessages } from '../store/raw-messages.ts'
import type { CallUsage } from '../store/usage.ts'
import { fromContent } from './content-text.ts'
import type { LineOf } from './export-format.ts'

interface ImportedCall {
  readonly rows: { readonly llm_requests: Row<'llm_requests'>; readonly llm_responses?: Row<'llm_responses'> }
  readonly usage: CallUsage | undefined
}

/**
 * The rows of a call. Its request is stored as any other: as a frame where the messages on record reproduce it, else whole.
 * @throws SteleError import_invalid, and those of a request that cannot be read
 */
export async function importedCall(
  database: Store,
  hashes: ConversationHashes,
  line: number,
  record: LineOf<'call'>,
): Promise<ImportedCall> {
  const { id, user_id, conversation_id, up_to_seq, created_at, response } = record
  const content = await requestContent(database, hashes, line, record)
  const request: Row<'llm_requests'> = {
    user_id,
    id,
    conversation_id: conversation_id ?? '',
    up_to_seq,
    api_key_id: record.api_key_id,
    instance_id: importingInstance,
    provider: record.provider,
    request_model: record.request_model,
    operation: record.operation,
    group_id: record.group_id,
    route_mode: record.route_mode,
    document_type: record.document_type,
    document_version: record.document_version,
    reserved_tokens: null,
    reserved_nanousd: null,
    compression: record.compression,
    sent: record.sent === null ? null : encodeContent(record.sent),
    ...content,
    created_at,
  }
  if (response === null) return { rows: { llm_requests: request }, usage: undefined }
  return {
    rows: { llm_requests: request, llm_responses: await responseRow(database, record, response) },
    usage: {
      userId: user_id,
      model: response.response_model ?? record.request_model,
      status: response.status,
      inputTokens: response.input_tokens ?? undefined,
      outputTokens: response.output_tokens ?? undefined,
      costNanousd: response.cost_nanousd ?? undefined,
      settledAt: response.created_at,
    },
  }
}

type RequestContent = Pick<
  Row<'llm_requests'>,
  'params' | 'messages_at' | 'separator' | 'body' | 'prompt_hash'
>

const inOnePiece = { params: null, messages_at: null, separator: null }

async function requestContent(
  database: Store,
  hashes: ConversationHashes,
  line: number,
  record: LineOf<'call'>,
): Promise<RequestContent> {
  if (record.request === null) return { ...inOnePiece, body: absentContent(), prompt_hash: '' }
  const text = fromContent(record.request)
  const request = await preparedRequest(database, hashes, line, record, text)
  const { promptHash: prompt_hash, frame, messagesAt, separator } = request
  if (!(await canBeReproduced(database, record, request)))
    return { ...inOnePiece, body: encodeContent(text), prompt_hash }
  return {
    params: encodeContent(frame),
    messages_at: messagesAt ?? null,
    separator: separator === ',' ? null : separator,
    body: null,
    prompt_hash,
  }
}

/**
 * A request taken apart as it was when it was recorded: one that was made for a response may begin with messages that are
 * its own, or leave out deleted ones; one that was passed on as a request for a response is no chat.
 */
async function preparedRequest(
  database: Store,
  hashes: ConversationHashes,
  line: number,
  { user_id, conversation_id, up_to_seq, operation }: LineOf<'call'>,
  content: string | Buffer,
): Promise<PreparedRequest> {
  const text = content.toString()
  if (operation === 'responses')
    return {
      frame: text,
      messagesAt: undefined,
      separator: ',',
      messages: [],
      promptHash: hashes.prompt('', text),
      contentDigest: undefined,
      keepsContent: true,
    }
  const { request: prepared } = recordedRequest(content, operation, hashes)
  const further = prepared.messages.length - (up_to_seq + 1)
  if (further === 0) return prepared
  const request = parseChatRequest(content)
  if (further > 0 && request.messages.slice(0, further).every(({ role }) => role === 'system'))
    return prepareRequest(withPreface(request, further), hashes)
  const history =
    conversation_id === null
      ? []
      : await conversationStore(database).history(user_id, conversation_id, up_to_seq)
  const deleted = history.filter(row => row.deleted_at !== null).length
  if (further > 0 || deleted < -further)
    throw new SteleError('import_invalid', { line, reason: 'up_to_seq: its request has other messages' })
  return { ...prepared, messagesAt: undefined }
}

async function canBeReproduced(
  database: Store,
  { user_id, conversation_id, up_to_seq }: LineOf<'call'>,
  { messages, messagesAt }: PreparedRequest,
): Promise<boolean> {
  if (messagesAt === undefined || conversation_id === null) return false
  const history = await conversationStore(database).history(user_id, conversation_id, up_to_seq)
  // A history with gaps reproduces nothing.
  if (history.length !== messages.length || history.some(({ content }) => isAbsent(content))) return false
  const raws = rawMessages(history, up_to_seq)
  return messages.every(({ raw }, index) => raw === raws[index])
}

async function responseRow(
  database: Store,
  { id, user_id, request }: LineOf<'call'>,
  response: NonNullable<LineOf<'call'>['response']>,
): Promise<Row<'llm_responses'>> {
  const { body, finish_reasons, ...facts } = response
  const content = body === null ? undefined : fromContent(body)
  // What a provider had answered, and was not kept.
  const isAbsentHere = request === null && content === undefined && facts.http_status !== null
  const cut = await cutOut(database, user_id, response, content)
  return {
    user_id,
    request_id: id,
    ...facts,
    body: isAbsentHere
      ? absentContent()
      : cut === undefined
        ? await storedBody(content)
        : encodeContent(cut.frame),
    content_at: cut?.contentAt ?? null,
    finish_reasons: finish_reasons.length === 0 ? null : JSON.stringify(finish_reasons),
  }
}

/** A JSON reply is stored without the text that its message holds already. */
async function cutOut(
  database: Store,
  userId: string,
  { conversation_id, seq, content_type }: NonNullable<LineOf<'call'>['response']>,
  content: string | Buffer | undefined,
): Promise<ReturnType<typeof cutContent>> {
  if (typeof content !== 'string' || conversation_id === null || seq === null) return undefined
  if (content_type?.includes('event-stream') === true) return undefined
  const stored = await database.kysely
    .selectFrom('messages')
    .select(['conversation_id', 'user_id', 'seq', 'content'])
    .where('conversation_id', '=', conversation_id)
    .where('user_id', '=', userId)
    .where('seq', '=', seq)
    .executeTakeFirst()
  const row = await database.contents.openOne(database.kysely, 'messages', stored)
  if (row === undefined || isAbsent(row.content)) return undefined
  const message = JSON.parse(decodeText(row.content)) as { content?: unknown }
  return cutContent(content, typeof message.content === 'string' ? message.content : undefined)
}

async function storedBody(content: string | Buffer | undefined): Promise<Uint8Array | null> {
  return content === undefined ? null : encodeCompressed(Buffer.from(content))
}
