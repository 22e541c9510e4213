import { noteLateCalls } from '../analytics/late-calls.ts'
import type { Batch } from '../db/batch.ts'
import { type ColumnName, primaryKeys, type Row, type TableName, userColumnOf } from '../db/tables.ts'
import { reasonOf } from '../errors.ts'
import { isSearchedRole } from '../model/searched-text.ts'
import type { Store } from '../store/contents.ts'
import { isOpenStatus, openStatuses } from '../store/responses.ts'
import { writeSealed } from '../store/sealed-batch.ts'
import { queueForSearch } from '../store/search-queue.ts'
import { addUsage } from '../store/usage.ts'
import type { PreparedLine } from './import-rows.ts'
import { type CallRows, importedEvents } from './tell-imported.ts'

interface Problem {
  readonly line: number
  readonly reason: string
}

interface Written {
  /** The numbers of the lines whose record is new. */
  readonly written: readonly number[]
  /** In the order of the lines. */
  readonly problems: readonly Problem[]
}

/** In the order in which a reader would miss them. */
const tablesInOrder = [
  'users',
  'api_keys',
  'conversations',
  'messages',
  'llm_requests',
  'llm_responses',
  'responses',
  'document_types',
  'documents',
  'stored_completions',
  'context_snapshots',
  'audit_details',
  'audit_events',
] as const satisfies readonly TableName[]

/**
 * Writes lines in one transaction. If the database refuses one of them, each is written on its own, so that a bad one is
 * refused alone. Unless `keepGoing`, nothing behind the first refused line is written.
 */
export async function writeLines(
  database: Store,
  lines: readonly PreparedLine[],
  keepGoing: boolean,
): Promise<Written> {
  if (lines.length === 0) return { written: [], problems: [] }
  try {
    for (const table of tablesInOrder) await database.ensureStorageFor(table, rowsOf(lines, table))
    await database.ensureStorageFor('audit_events', importedEvents(callsIn(lines), Date.now()))
    return await writeSealed(database, { all: usersOf(lines) }, batch => write(batch, lines, keepGoing))
  } catch (error) {
    if (database.classify(error) === 'unavailable') throw error
    const [only] = lines
    if (lines.length === 1 && only !== undefined)
      return { written: [], problems: [{ line: only.line, reason: reasonOf(error) }] }
  }
  const written: number[] = []
  const problems: Problem[] = []
  for (const line of lines) {
    const part = await writeLines(database, [line], keepGoing)
    written.push(...part.written)
    problems.push(...part.problems)
    if (problems.length > 0 && !keepGoing) break
  }
  return { written, problems }
}

async function write(batch: Batch, lines: readonly PreparedLine[], keepGoing: boolean): Promise<Written> {
  const problems = await misplaced(batch, lines)
  const refused = new Set(problems.map(({ line }) => line))
  const end = keepGoing ? Number.POSITIVE_INFINITY : (problems[0]?.line ?? Number.POSITIVE_INFINITY)
  const good = lines.filter(({ line }) => !refused.has(line) && line < end)
  await advance(batch, rowsOf(good, 'conversations'))
  await endResponses(batch, rowsOf(good, 'responses'))
  await endDocuments(batch, rowsOf(good, 'documents'))
  const fresh = new Map<TableName, Set<string>>()
  for (const table of tablesInOrder) fresh.set(table, await insertAbsent(batch, table, rowsOf(good, table)))
  await anchorRequests(batch, rowsOf(good, 'llm_requests'))
  const isNew = (table: TableName, row: object | undefined): boolean =>
    row !== undefined && fresh.get(table)?.has(keyText(table, row)) === true
  const calls = callsIn(good, isNew)
  await insertAbsent(batch, 'audit_events', importedEvents(calls, Date.now()))
  await noteLateCalls(batch, calls.requests)
  await queueForSearch(
    batch,
    rowsOf(good, 'messages')
      .filter(row => isSearchedRole(row.role) && isNew('messages', row))
      .map(({ user_id, conversation_id, seq }) => ({
        userId: user_id,
        conversationId: conversation_id,
        fromSeq: seq,
      })),
  )
  const settled = onceEach('llm_responses', good).filter(({ rows }) =>
    isNew('llm_responses', rows.llm_responses),
  )
  await addUsage(
    batch,
    settled.flatMap(({ usage }) => (usage === undefined ? [] : [usage])),
  )
  return {
    written: onceEach(undefined, good)
      .filter(({ table, rows }) => isNew(table, rows[table]) || isNew('llm_responses', rows.llm_responses))
      .map(({ line }) => line),
    problems,
  }
}

function usersOf(lines: readonly PreparedLine[]): string[] {
  return lines.flatMap(({ rows }) =>
    Object.entries(rows).map(([table, row]) =>
      String((row as Record<string, unknown>)[userColumnOf(table as TableName)] ?? ''),
    ),
  )
}

/** Inserts the rows that are not there yet and returns their keys. */
async function insertAbsent<T extends TableName>(
  batch: Batch,
  table: T,
  rows: readonly Row<T>[],
): Promise<Set<string>> {
  if (rows.length === 0) return new Set()
  const unique = new Map(rows.toReversed().map(row => [keyText(table, row), row]))
  const key = primaryKeys[table] as readonly string[] as readonly ColumnName<T>[]
  for (const row of await batch.find(table, key, [...unique.values()] as never, key))
    unique.delete(keyText(table, row as object))
  // Should another process have written one since it was looked for, all is rolled back and tried line by line: what is
  // counted as usage must be what was written.
  await batch.insert(table, [...unique.values()].reverse() as never)
  return new Set(unique.keys())
}

/** Messages in whose place another one stands: here the conversation went on differently. */
async function misplaced(batch: Batch, lines: readonly PreparedLine[]): Promise<Problem[]> {
  const key = primaryKeys.messages
  const found = await batch.find('messages', key, rowsOf(lines, 'messages'), [...key, 'id'])
  const ids = new Map(found.map(row => [keyText('messages', row), row.id]))
  return lines.flatMap(({ line, rows: { messages: row } }) => {
    if (row === undefined) return []
    const place = keyText('messages', row)
    const id = ids.get(place)
    ids.set(place, id ?? row.id)
    return id === undefined || id === row.id
      ? []
      : [{ line, reason: 'another message stands in its place: the conversation went on differently here' }]
  })
}

/** A later export of a conversation that is here brings messages that follow. */
async function advance(batch: Batch, rows: readonly Row<'conversations'>[]): Promise<void> {
  const found = await batch.find('conversations', ['user_id', 'id'], rows, ['user_id', 'id', 'next_seq'], {
    lock: true,
  })
  const here = new Map(found.map(row => [keyText('conversations', row), row.next_seq]))
  const updates = rows.flatMap(({ user_id, id, next_seq, updated_at }) => {
    const seq = here.get(keyText('conversations', { user_id, id }))
    if (seq === undefined || seq >= next_seq) return []
    return [{ set: { next_seq, updated_at }, match: { user_id, id, next_seq: seq } }]
  })
  await batch.update('conversations', ['next_seq', 'updated_at'], ['user_id', 'id', 'next_seq'], updates)
}

/** A later export of a response that was under way brings what has come of it. */
async function endResponses(batch: Batch, rows: readonly Row<'responses'>[]): Promise<void> {
  const updates = rows
    .filter(({ status }) => !isOpenStatus(status))
    .flatMap(({ user_id, id, call_id, conversation_id, seq, status, body }) =>
      openStatuses.map(open => ({
        set: { call_id, conversation_id, seq, status, body },
        match: { user_id, id, status: open },
      })),
    )
  const columns = ['call_id', 'conversation_id', 'seq', 'status', 'body'] as const
  if (updates.length > 0) await batch.update('responses', columns, ['id', 'user_id', 'status'], updates)
}

/** The same of a document. */
async function endDocuments(batch: Batch, rows: readonly Row<'documents'>[]): Promise<void> {
  const updates = rows
    .filter(({ status }) => status !== 'in_progress')
    .map(({ user_id, id, call_id, status, output, error_code, error_message, ended_at }) => ({
      set: { call_id, status, output, error_code, error_message, ended_at },
      match: { user_id, id, status: 'in_progress' },
    }))
  const columns = ['call_id', 'status', 'output', 'error_code', 'error_message', 'ended_at'] as const
  if (updates.length > 0) await batch.update('documents', columns, ['id', 'user_id', 'status'], updates)
}

/** The last message of a request is found by its hash, whoever said it: the same request again continues there. */
async function anchorRequests(batch: Batch, rows: readonly Row<'llm_requests'>[]): Promise<void> {
  const updates = rows.map(({ user_id, conversation_id, up_to_seq, id }) => ({
    set: { is_anchor: 1 },
    match: { user_id, conversation_id, seq: up_to_seq, call_id: id },
  }))
  await batch.update('messages', ['is_anchor'], ['conversation_id', 'user_id', 'seq', 'call_id'], updates)
}

/** What lines say of calls, as far as it is meant. */
function callsIn(
  lines: readonly PreparedLine[],
  isMeant: (table: TableName, row: object) => boolean = () => true,
): CallRows {
  return {
    requests: rowsOf(lines, 'llm_requests').filter(row => isMeant('llm_requests', row)),
    responses: rowsOf(lines, 'llm_responses').filter(row => isMeant('llm_responses', row)),
    events: rowsOf(lines, 'audit_events'),
  }
}

function rowsOf<T extends TableName>(lines: readonly PreparedLine[], table: T): Row<T>[] {
  return lines.flatMap(({ rows }) => {
    const row = rows[table] as Row<T> | undefined
    return row === undefined ? [] : [row]
  })
}

/** Of lines that name the same row (of `table`, or of their own) only the first. */
function onceEach(table: TableName | undefined, lines: readonly PreparedLine[]): PreparedLine[] {
  const seen = new Set<string>()
  return lines.filter(line => {
    const its = table ?? line.table
    const row = line.rows[its]
    if (row === undefined) return false
    const key = `${its} ${keyText(its, row)}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

function keyText(table: TableName, row: object): string {
  return JSON.stringify(primaryKeys[table].map(column => (row as Record<string, unknown>)[column]))
}
