import type { Kysely } from 'kysely'
import { requireCurrentSchema } from '../db/migrate.ts'
import type { Opened, Row, TableName, Tables } from '../db/tables.ts'
import { commitsToCall } from '../model/call-record.ts'
import { decodeContent, decodeText, isAbsent, unlessNotKept } from '../privacy/content.ts'
import { isContentMode } from '../privacy/sealed-content.ts'
import { nameOf } from '../store/audit-queries.ts'
import { saidIn } from '../store/audit-reading.ts'
import { callStore } from '../store/calls.ts'
import type { Reading, Store } from '../store/contents.ts'
import { echoSeparator } from '../store/echo.ts'
import { toContent } from './content-text.ts'
import { conversationsParentsFirst } from './conversation-order.ts'
import { type Content, formatName, formatVersion, type LineOf, type RecordLine } from './export-format.ts'
import { countFactsHeld, factsHeld } from './held-facts.ts'
import { countRows, pagesOf, type Stretch } from './pages.ts'
import { isOfImport } from './tell-imported.ts'

export interface ExportOptions {
  /** Only what belongs to this user, and everything else that is held on them. */
  readonly userId?: string | undefined
  /** The hashes of API keys too: whoever imports them lets the same keys in. */
  readonly withKeys?: boolean | undefined
  /** Told after every few records. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * Writes a database as lines of JSON, its content decoded, as it stands at one moment. Memory does not grow with the
 * database. Secrets are never written. Returns the number of records.
 * @param write takes some lines, each with its end; it is waited for
 * @throws SteleError schema_missing, schema_newer, content_unreadable
 */
export async function exportLines(
  database: Store,
  write: (lines: string) => Promise<void>,
  { userId, withKeys = false, onProgress }: ExportOptions = {},
): Promise<number> {
  return database.snapshot(async db => {
    await requireCurrentSchema(database, db)
    const total = await countRecords(db, userId, withKeys)
    const source = database.location.display
    let lines = lineOf({ format: formatName, version: formatVersion, created_at: Date.now(), source })
    let records = 0
    const reading = { kysely: db, contents: database.contents }
    for await (const record of recordsOf(reading, userId, withKeys)) {
      lines += lineOf(record)
      records++
      if (lines.length < textAtATime) continue
      await write(lines)
      lines = ''
      onProgress?.(records, total)
    }
    await write(lines + lineOf({ type: 'end', records } satisfies LineOf<'end'>))
    onProgress?.(records, total)
    return records
  })
}

/** Characters of lines that are written at once. */
const textAtATime = 256 * 1024

const exportedTables = [
  'users',
  'conversations',
  'messages',
  'llm_requests',
  'responses',
  'documents',
  'stored_completions',
  'context_snapshots',
  'audit_events',
] as const

async function countRecords(
  db: Kysely<Tables>,
  userId: string | undefined,
  withKeys: boolean,
): Promise<number> {
  const tables: TableName[] = [
    ...exportedTables,
    ...(withKeys ? (['api_keys'] as const) : []),
    ...(userId === undefined ? (['document_types'] as const) : []),
  ]
  let total = 0
  for (const table of tables) total += await countRows(db, table, { userId })
  return userId === undefined ? total : total + (await countFactsHeld(db, userId))
}

/** Pages of a table, their content readable. */
async function* openPages<T extends TableName>(
  { kysely, contents }: Reading,
  table: T,
  stretch: Stretch,
): AsyncGenerator<Opened<Tables[T]>[]> {
  for await (const rows of pagesOf(kysely, table, stretch)) yield contents.open(kysely, table, rows)
}

async function* recordsOf(
  reading: Reading,
  userId: string | undefined,
  withKeys: boolean,
): AsyncGenerator<RecordLine> {
  for await (const rows of openPages(reading, 'users', { userId })) for (const row of rows) yield userOf(row)
  if (withKeys)
    for await (const rows of openPages(reading, 'api_keys', { userId }))
      for (const row of rows) yield { type: 'api_key', ...row, content_mode: modeOf(row) }
  const { kysely, contents } = reading
  for await (const stored of conversationsParentsFirst(kysely, userId)) {
    for (const conversation of await contents.open(kysely, 'conversations', [stored]))
      yield { type: 'conversation', ...conversation }
    yield* messagesOf(reading, stored)
  }
  for await (const rows of pagesOf(kysely, 'llm_requests', { userId }))
    for (const row of rows) yield await callOf(reading, row)
  for await (const rows of openPages(reading, 'responses', { userId }))
    for (const row of rows)
      yield { type: 'response', ...(row as ResponseRow), input: textOf(row.input), body: textOf(row.body) }
  // Configuration, and no user's.
  if (userId === undefined)
    for await (const rows of openPages(reading, 'document_types', {}))
      for (const row of rows) yield { type: 'document_type', ...row }
  for await (const rows of openPages(reading, 'documents', { userId }))
    for (const row of rows) yield documentOf(row)
  for await (const rows of openPages(reading, 'stored_completions', { userId }))
    for (const row of rows) yield { type: 'stored_completion', ...row, metadata: row.metadata || '{}' }
  for await (const rows of openPages(reading, 'context_snapshots', { userId }))
    for (const row of rows)
      yield { type: 'context_snapshot', ...row, content: toContent(decodeContent(row.content)) }
  for await (const rows of openPages(reading, 'audit_events', { userId })) {
    const said = await saidIn(reading, rows)
    for (const row of rows) if (!isOfImport(row)) yield eventOf(row, said.get(nameOf(row.id, row.user_id)))
  }
  if (userId !== undefined) yield* factsHeld(kysely, userId)
}

function eventOf(
  { commitment, ...row }: Row<'audit_events'>,
  content: string | undefined,
): LineOf<'audit_event'> {
  const isTold = commitment !== null && !commitsToCall(row.action)
  const hex = isTold ? Buffer.from(commitment).toString('hex') : null
  return { type: 'audit_event', ...row, commitment: hex, content: content ?? null }
}

function modeOf({ content_mode }: { readonly content_mode: string | null }) {
  return isContentMode(content_mode) ? content_mode : null
}

/** Named one by one: a column that is added to the table and holds a secret must not get out by itself. */
function userOf(row: Row<'users'>): LineOf<'user'> {
  const { id, email, username, role, status, created_at, deleted_at, preferences, erased_at } = row
  const content_mode = modeOf(row)
  return {
    type: 'user',
    id,
    email,
    username,
    role,
    status,
    created_at,
    deleted_at,
    preferences,
    content_mode,
    erased_at,
  }
}

async function* messagesOf(
  reading: Reading,
  { id, user_id }: Tables['conversations'],
): AsyncGenerator<LineOf<'message'>> {
  const own = { after: [id, user_id, -1], upTo: [id, user_id, Number.MAX_SAFE_INTEGER] }
  for await (const rows of openPages(reading, 'messages', own)) {
    for (const row of rows) {
      const { seq, role, model, call_id, created_at } = row
      yield {
        type: 'message',
        id: row.id,
        user_id,
        conversation_id: id,
        seq,
        role,
        message: textOf(row.content),
        model,
        call_id,
        created_at,
        intent: row.intent,
        cost_nanousd: row.cost_nanousd,
        metadata: row.metadata,
        deleted_at: row.deleted_at,
        items: row.items === null ? null : textOf(row.items),
        echo: echoOf(row),
      }
    }
  }
}

function echoOf({ echo, echo_from: from }: Opened<Tables['messages']>): LineOf<'message'>['echo'] {
  const told = echo === null ? null : textOf(echo)
  return told === null || from === null ? null : { from, messages: told.split(echoSeparator) }
}

async function callOf(reading: Reading, row: Tables['llm_requests']): Promise<LineOf<'call'>> {
  const calls = callStore(reading)
  const { id, user_id, conversation_id, up_to_seq, api_key_id, provider, request_model, operation } = row
  return {
    type: 'call',
    id,
    user_id,
    conversation_id: conversation_id || null,
    up_to_seq,
    api_key_id,
    provider,
    request_model,
    operation,
    group_id: row.group_id,
    route_mode: row.route_mode as LineOf<'call'>['route_mode'],
    document_type: row.document_type,
    document_version: row.document_version,
    created_at: row.created_at,
    request: contentOf(await calls.exactRequest(user_id, id).catch(unlessNotKept)),
    compression: row.compression,
    sent: row.compression === null ? null : ((await calls.sentRecord(user_id, id))?.facts ?? null),
    response: await responseOf(reading, row),
  }
}

async function responseOf(
  reading: Reading,
  { id, user_id }: Tables['llm_requests'],
): Promise<LineOf<'call'>['response']> {
  const { kysely, contents } = reading
  const stored = await kysely
    .selectFrom('llm_responses')
    .selectAll()
    .where('request_id', '=', id)
    .where('user_id', '=', user_id)
    .executeTakeFirst()
  const row = await contents.openOne(kysely, 'llm_responses', stored)
  if (row === undefined) return null
  const body = await callStore(reading).exactResponse(user_id, id).catch(unlessNotKept)
  const {
    user_id: _user,
    request_id: _request,
    content_at: _at,
    finish_reasons,
    status,
    usage_source,
    ...facts
  } = row
  return {
    status: status as NonNullable<LineOf<'call'>['response']>['status'],
    usage_source: usage_source as NonNullable<LineOf<'call'>['response']>['usage_source'],
    ...facts,
    body: contentOf(body),
    finish_reasons: finish_reasons === null ? [] : (JSON.parse(finish_reasons) as string[]),
  }
}

function documentOf({ instance_id: _, ...row }: Opened<Tables['documents']>): LineOf<'document'> {
  const { input, output, status } = row
  return {
    type: 'document',
    ...row,
    status: status as LineOf<'document'>['status'],
    input: textOf(input),
    output: output === null ? null : textOf(output),
  }
}

type ResponseRow = Row<'responses'> & Pick<LineOf<'response'>, 'status'>

function textOf(stored: Uint8Array): string | null {
  return isAbsent(stored) ? null : decodeText(stored)
}

function contentOf(bytes: Buffer | undefined): Content | null {
  return bytes === undefined ? null : toContent(bytes)
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`
}
