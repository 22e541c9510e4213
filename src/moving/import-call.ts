import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { parseChatRequest } from '../model/chat-request.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { type PreparedRequest, prepareRequest } from '../model/prepared-request.ts'
import { cutContent } from '../model/reply.ts'
import { decodeText, encodeCompressed, encodeContent } from '../privacy/content.ts'
import { conversationStore } from '../store/conversations.ts'
import { rawMessages } from '../store/raw-messages.ts'
import type { CallUsage } from '../store/usage.ts'
import { fromContent } from './content-text.ts'
import type { Content, LineOf } from './export-format.ts'

/** Stands for the process that made an imported call: none that this database knows. */
const importingInstance = 'import'

interface ImportedCall {
  readonly rows: { readonly llm_requests: Row<'llm_requests'>; readonly llm_responses?: Row<'llm_responses'> }
  readonly usage: CallUsage | undefined
}

/**
 * The rows of a call. Its request is stored as any other: as a frame where the messages on record reproduce it, else whole.
 * @throws SteleError import_invalid, and those of a request that cannot be read
 */
export async function importedCall(
  database: Database,
  hashes: ConversationHashes,
  line: number,
  record: LineOf<'call'>,
): Promise<ImportedCall> {
  const { id, user_id, conversation_id, up_to_seq, created_at, response } = record
  const request: Row<'llm_requests'> = {
    user_id,
    id,
    conversation_id,
    up_to_seq,
    api_key_id: record.api_key_id,
    instance_id: importingInstance,
    provider: record.provider,
    request_model: record.request_model,
    operation: record.operation,
    group_id: record.group_id,
    route_mode: record.route_mode,
    ...(record.request === null
      ? purged
      : await storedRequest(database, hashes, line, record, record.request)),
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

type StoredRequest = Pick<
  Row<'llm_requests'>,
  'params' | 'messages_at' | 'separator' | 'body' | 'prompt_hash'
>

/** Of a call whose content was purged before it was exported. */
const purged: StoredRequest = {
  params: null,
  messages_at: null,
  separator: null,
  body: null,
  prompt_hash: '',
}

async function storedRequest(
  database: Database,
  hashes: ConversationHashes,
  line: number,
  record: LineOf<'call'>,
  content: Content,
): Promise<StoredRequest> {
  const text = fromContent(content)
  const prepared = prepareRequest(parseChatRequest(text), hashes)
  if (record.up_to_seq !== prepared.messages.length - 1)
    throw new SteleError('import_invalid', { line, reason: 'up_to_seq: its request has other messages' })
  const isReproducible = await canBeReproduced(database, record, prepared)
  return {
    params: isReproducible ? encodeContent(prepared.frame) : null,
    messages_at: isReproducible ? (prepared.messagesAt ?? null) : null,
    separator: isReproducible && prepared.separator !== ',' ? prepared.separator : null,
    body: isReproducible ? null : encodeContent(text),
    prompt_hash: prepared.promptHash,
  }
}

async function canBeReproduced(
  database: Database,
  { user_id, conversation_id, up_to_seq }: LineOf<'call'>,
  { messages, messagesAt }: PreparedRequest,
): Promise<boolean> {
  if (messagesAt === undefined) return false
  const history = await conversationStore(database).history(user_id, conversation_id, up_to_seq)
  // A history with gaps reproduces nothing.
  if (history.length !== messages.length) return false
  const raws = rawMessages(history, up_to_seq)
  return messages.every(({ raw }, index) => raw === raws[index])
}

async function responseRow(
  database: Database,
  { id, user_id }: LineOf<'call'>,
  response: NonNullable<LineOf<'call'>['response']>,
): Promise<Row<'llm_responses'>> {
  const { body, finish_reasons, ...facts } = response
  const content = body === null ? undefined : fromContent(body)
  const cut = await cutOut(database, user_id, response, content)
  return {
    user_id,
    request_id: id,
    ...facts,
    body: cut === undefined ? await storedBody(content) : encodeContent(cut.frame),
    content_at: cut?.contentAt ?? null,
    finish_reasons: finish_reasons.length === 0 ? null : JSON.stringify(finish_reasons),
  }
}

/** A JSON reply is stored without the text that its message holds already. */
async function cutOut(
  database: Database,
  userId: string,
  { conversation_id, seq, content_type }: NonNullable<LineOf<'call'>['response']>,
  content: string | Buffer | undefined,
): Promise<ReturnType<typeof cutContent>> {
  if (typeof content !== 'string' || conversation_id === null || seq === null) return undefined
  if (content_type?.includes('event-stream') === true) return undefined
  const row = await database.kysely
    .selectFrom('messages')
    .select('content')
    .where('conversation_id', '=', conversation_id)
    .where('user_id', '=', userId)
    .where('seq', '=', seq)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const message = JSON.parse(decodeText(row.content)) as { content?: unknown }
  return cutContent(content, typeof message.content === 'string' ? message.content : undefined)
}

async function storedBody(content: string | Buffer | undefined): Promise<Uint8Array | null> {
  return content === undefined ? null : encodeCompressed(Buffer.from(content))
}
