import type { Row, TableName } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { commitsToCall } from '../model/call-record.ts'
import { canonicalMessage } from '../model/canonical.ts'
import { type ChatMessage, parseChatRequest } from '../model/chat-request.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { absentContent, encodeContent } from '../privacy/content.ts'
import type { Store } from '../store/contents.ts'
import { echoSeparator } from '../store/echo.ts'
import { importingInstance } from '../store/instances.ts'
import { newMessageRow } from '../store/new-rows.ts'
import type { CallUsage } from '../store/usage.ts'
import { checkUserId, newUserRow } from '../store/users.ts'
import { fromContent } from './content-text.ts'
import type { LineOf, RecordLine } from './export-format.ts'
import { importedCall } from './import-call.ts'
import { ImportedHistory } from './imported-history.ts'

export type Rows = { readonly [T in TableName]?: Row<T> }

/** A line ready to be written. */
export interface PreparedLine {
  readonly line: number
  readonly kind: RecordLine['type']
  /** The table whose row says whether the record is new. */
  readonly table: TableName
  readonly rows: Rows
  /** What its response adds to the sums of its day. */
  readonly usage?: CallUsage | undefined
}

const telling = (role: string): boolean => !['system', 'developer', 'assistant'].includes(role)

/** Turns lines into the rows of this database. Lines come in the order of an export: what is built on comes first. */
export class ImportRows {
  readonly #database: Store
  readonly #hashes: ConversationHashes
  readonly #history: ImportedHistory
  readonly #users = new Set<string>()

  constructor(database: Store, hashes: ConversationHashes) {
    this.#database = database
    this.#hashes = hashes
    this.#history = new ImportedHistory(database)
  }

  /** What was prepared is written, and need not be kept in mind. */
  forget(): void {
    this.#history.forget()
    this.#users.clear()
  }

  /** @throws SteleError import_invalid, and those of a request that cannot be read */
  async prepare(line: number, record: RecordLine): Promise<PreparedLine> {
    switch (record.type) {
      case 'user': {
        const { type: kind, ...row } = record
        checkUserId(row.id, 'id')
        this.#users.add(row.id)
        return { line, kind, table: 'users', rows: { users: row } }
      }
      case 'api_key': {
        const { type: kind, ...row } = record
        return {
          line,
          kind,
          table: 'api_keys',
          rows: { api_keys: row, ...this.#userOf(record) },
        }
      }
      case 'conversation':
        return this.#conversation(line, record)
      case 'message':
        return this.#message(line, record)
      case 'call': {
        const { rows, usage } = await importedCall(this.#database, this.#hashes, line, record)
        const user = this.#userOf(record)
        return { line, kind: 'call', table: 'llm_requests', rows: { ...rows, ...user }, usage }
      }
      case 'response': {
        const { type: kind, ...row } = record
        const [input, body] = [storedText(row.input), storedText(row.body)]
        const rows = { responses: { ...row, input, body }, ...this.#userOf(record) }
        return { line, kind, table: 'responses', rows }
      }
      case 'document_type': {
        const { type: kind, ...row } = record
        return { line, kind, table: 'document_types', rows: { document_types: row } }
      }
      case 'document': {
        const { type: kind, ...row } = record
        const input = storedText(row.input)
        const output = row.output === null ? null : storedText(row.output)
        const documents = { ...row, input, output, instance_id: importingInstance }
        return { line, kind, table: 'documents', rows: { documents, ...this.#userOf(record) } }
      }
      case 'stored_completion': {
        const { type: kind, ...row } = record
        const rows = { stored_completions: row, ...this.#userOf(record) }
        return { line, kind, table: 'stored_completions', rows }
      }
      case 'context_snapshot':
        return this.#snapshot(line, record)
      case 'audit_event': {
        const { type: kind, commitment, content, ...row } = record
        // What came without its content says nothing here: why it is gone is told where it came from.
        const isTold = commitment != null && content != null && !commitsToCall(row.action)
        const committed = { ...row, commitment: isTold ? Buffer.from(commitment, 'hex') : null }
        const { user_id, id: event_id, created_at } = row
        const said = content == null ? {} : { audit_details: { user_id, event_id, content, created_at } }
        const rows = { audit_events: committed, ...said, ...(content == null ? {} : this.#userOf(record)) }
        return { line, kind, table: 'audit_events', rows }
      }
      case 'held':
      case 'end':
        throw new Error('the last line is no record')
    }
  }

  /** Whoever has a record is a user, whether or not a line of its own says so. */
  #userOf({ user_id, created_at }: { user_id: string; created_at: number }): Rows {
    if (this.#users.has(user_id)) return {}
    this.#users.add(checkUserId(user_id, 'user_id'))
    return { users: newUserRow(user_id, created_at) }
  }

  async #conversation(line: number, record: LineOf<'conversation'>): Promise<PreparedLine> {
    const { type: kind, ...row } = record
    if (row.parent_id !== null && row.parent_seq !== null) {
      const parent = await this.#history.conversation(row.user_id, row.parent_id)
      if (parent === undefined) throw invalid(line, 'the conversation it was forked from is missing')
      if (row.parent_seq >= parent.next_seq)
        throw invalid(line, 'it was forked from a message that its parent does not have')
    }
    const here = await this.#history.recordedConversation(row.user_id, row.id)
    if (here !== undefined && (here.parent_id !== row.parent_id || here.parent_seq !== row.parent_seq))
      throw invalid(line, 'the conversation is here already, with another beginning')
    const user = this.#userOf(record)
    // Not before it is known to be good: its messages must not be taken without it.
    this.#history.addConversation(row)
    return { line, kind, table: 'conversations', rows: { conversations: row, ...user } }
  }

  async #snapshot(line: number, record: LineOf<'context_snapshot'>): Promise<PreparedLine> {
    const { type: kind, ...row } = record
    if ((await this.#history.conversation(row.user_id, row.conversation_id)) === undefined)
      throw invalid(line, 'its conversation is missing')
    const content = encodeContent(fromContent(row.content))
    return { line, kind, table: 'context_snapshots', rows: { context_snapshots: { ...row, content } } }
  }

  async #message(line: number, record: LineOf<'message'>): Promise<PreparedLine> {
    const { user_id, conversation_id, seq, role, model, call_id, created_at, echo } = record
    const conversation = await this.#history.conversation(user_id, conversation_id)
    if (conversation === undefined) throw invalid(line, 'its conversation is missing')
    const first = (conversation.parent_seq ?? -1) + 1
    if (seq < first || seq >= conversation.next_seq)
      throw invalid(line, `its conversation has messages ${first} to ${conversation.next_seq - 1} of its own`)
    const linkAt = (at: number) => this.#history.linkOrLost(user_id, conversation_id, at)
    const before = await linkAt(seq - 1)
    const spelled = await linkAt((echo?.from ?? seq) - 1)
    if (before === undefined || spelled === undefined) throw invalid(line, 'the message before it is missing')
    for (const raw of echo?.messages ?? []) oneMessage(line, raw)
    const hashes = this.#hashes
    const { message: kept } = record
    // What was not kept cannot be hashed as it was: nothing that is sent from now on will be found to continue it.
    let chainHash = hashes.chain(before.chainHash, record.id)
    let wireHash = ''
    if (kept !== null) {
      const message = oneMessage(line, kept)
      if (message.role !== role) throw invalid(line, 'its role is not that of the message')
      chainHash = hashes.chain(before.chainHash, canonicalMessage(message.value))
      wireHash = [...(echo?.messages ?? []), kept].reduce(
        (previous, raw) => hashes.wire(previous, raw),
        spelled.wireHash,
      )
    }
    this.#history.addLink(user_id, conversation_id, seq, { chainHash, wireHash })
    const row = newMessageRow({
      user_id,
      conversation_id,
      seq,
      id: record.id,
      role,
      content: kept === null ? absentContent() : encodeContent(kept),
      model,
      chain_hash: chainHash,
      // The last message of a request is made one when its call is imported.
      is_anchor:
        telling(role) ||
        (conversation.parent_id !== null && seq === first) ||
        (call_id === null && role !== 'assistant')
          ? 1
          : 0,
      wire_hash: wireHash,
      echo_from: echo?.from ?? null,
      echo: echo === null ? null : encodeContent(echo.messages.join(echoSeparator)),
      call_id,
      created_at,
      intent: record.intent,
      cost_nanousd: record.cost_nanousd,
      metadata: record.metadata,
      deleted_at: record.deleted_at,
      items: record.items === null ? null : encodeContent(record.items),
    })
    return { line, kind: 'message', table: 'messages', rows: { messages: row } }
  }
}

function storedText(text: string | null): Uint8Array {
  return text === null ? absentContent() : encodeContent(text)
}

/** Reads a message as a request would hold it, with all that is checked of one. */
function oneMessage(line: number, raw: string): ChatMessage {
  const [message, ...more] = parseChatRequest(`{"model":"m","messages":[${raw}]}`).messages
  if (message === undefined || more.length > 0 || message.raw !== raw)
    throw invalid(line, 'message: it must be the JSON text of one message')
  return message
}

function invalid(line: number, reason: string): SteleError {
  return new SteleError('import_invalid', { line, reason })
}
