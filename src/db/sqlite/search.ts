import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { IndexItem, IndexQuery } from '../../model/search-terms.ts'
import {
  type FoundRow,
  foundEntries,
  type IndexedMessages,
  type IndexSearch,
  type IndexStretch,
  isIndexed,
  type SearchDocument,
  type SearchReader,
  type SearchWriter,
  whereGiven,
} from '../search-index.ts'
import type { Row, Tables } from '../tables.ts'
import type { SqliteConnection } from './connection.ts'

/** Documents are numbered by the second of their messages and, within it, as they came: so the newest are found first. */
const numbersInSecond = 2 ** 22
const lastSecond = 2 ** 31 - 2

export function sqliteSearchWriter(connection: SqliteConnection, isOn: boolean): SearchWriter {
  return {
    isOn,
    async claim(limit, userId) {
      const own = userId === undefined ? '' : 'WHERE user_id = ?'
      const statement = connection.prepare(`SELECT * FROM search_queue ${own} ORDER BY id, user_id LIMIT ?`)
      const rows = userId === undefined ? statement.all(limit) : statement.all(userId, limit)
      return rows as unknown as Row<'search_queue'>[]
    },
    async put(documents) {
      for (const document of documents) putDocument(connection, document)
    },
    async remove(userId, conversationId) {
      const its = 'FROM message_search WHERE conversation_id = ? AND user_id = ?'
      const key = [conversationId, userId]
      connection.prepare(`DELETE FROM message_words WHERE rowid IN (SELECT id ${its})`).run(...key)
      connection.prepare(`DELETE ${its}`).run(...key)
    },
  }
}

export async function unindex(tx: Kysely<Tables>, messages: IndexedMessages): Promise<void> {
  const which = isIndexed(messages)
  await sql`DELETE FROM message_words WHERE rowid IN (SELECT id FROM message_search WHERE ${which})`.execute(
    tx,
  )
  await sql`DELETE FROM message_search WHERE ${which}`.execute(tx)
}

/** Pages of the index written in one step of a merge: some milliseconds. */
const mergedAtATime = 64

/** In the numbers of FTS5's own rows this bit says that they mark what was deleted and is in the index still. */
const deletionMarks = 2 ** 53

/**
 * FTS5 leaves the words of what was deleted until it merges the part that they are in. Merges all of it into one part, step by
 * step as https://sqlite.org/fts5.html#the_merge_command says; new parts that are added meanwhile stay beside it.
 */
export function forgetWords(connection: SqliteConnection, isFirst: boolean): Promise<boolean> {
  return connection.hold(() =>
    connection.attempt(() => {
      const deleted = connection.prepare('SELECT 1 FROM message_words_data WHERE id >= ? LIMIT 1')
      if (isFirst && deleted.get(deletionMarks) === undefined) return false
      const changes = connection.prepare('SELECT total_changes() AS changes')
      const before = Number(changes.get()?.['changes'])
      connection
        .prepare(`INSERT INTO message_words (message_words, rank) VALUES ('merge', ?)`)
        .run(isFirst ? -mergedAtATime : mergedAtATime)
      return Number(changes.get()?.['changes']) - before >= 2
    }),
  )
}

function putDocument(connection: SqliteConnection, document: SearchDocument): void {
  const { userId, conversationId, seq, role, createdAt, words, starts } = document
  const id = nextNumber(connection, createdAt)
  const { changes } = connection
    .prepare(
      `INSERT INTO message_search (id, user_id, conversation_id, seq, role, created_at) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (conversation_id, user_id, seq) DO NOTHING`,
    )
    .run(id, userId, conversationId, seq, role, createdAt)
  if (Number(changes) === 0) return
  // How words begin stands behind them: no phrase holds it.
  const tokens = [...words, ...starts].join(' ')
  connection.prepare('INSERT INTO message_words (rowid, tokens) VALUES (?, ?)').run(id, tokens)
}

function nextNumber(connection: SqliteConnection, createdAt: number): number {
  for (let second = secondOf(createdAt); ; second++) {
    const first = second * numbersInSecond
    const next = first + numbersInSecond
    const row = connection
      .prepare('SELECT max(id) AS last FROM message_search WHERE id >= ? AND id < ?')
      .get(first, next)
    const last = row?.['last']
    if (typeof last !== 'number') return first
    if (last + 1 < next) return last + 1
  }
}

function secondOf(time: number): number {
  return Math.min(Math.max(0, Math.floor(time / 1000)), lastSecond)
}

export function sqliteSearchReader(db: Kysely<Tables>): SearchReader {
  return {
    async find(search, stretch) {
      const { rows } = await statement(search, stretch).execute(db)
      return foundEntries(rows, stretch)
    },
  }
}

/** Contents are read only of the entries that are within the limit of bytes. */
function statement(search: IndexSearch, { limit, byteLimit, ...places }: IndexStretch): RawBuilder<FoundRow> {
  const { userId, conversationId } = search
  // From the words to their messages, newest first; in one conversation from its few messages to their words.
  const tables =
    conversationId === undefined
      ? sql`message_words w CROSS JOIN message_search d ON d.id = w.rowid`
      : sql`message_search d CROSS JOIN message_words w ON w.rowid = d.id`
  const sizes = sql`coalesce((SELECT octet_length(content) FROM messages m
    WHERE m.conversation_id = e.conversation_id AND m.user_id = e.user_id AND m.seq = e.seq), 0)`
  return sql`
    WITH entries AS MATERIALIZED (
      SELECT d.id AS place, d.conversation_id, d.user_id, d.seq FROM ${tables}
      WHERE message_words MATCH ${compile(search.queries)} AND d.user_id = ${userId} AND ${conditions(search, places)}
      ORDER BY w.rowid DESC LIMIT ${limit}
    ),
    sized AS (SELECT e.*, ${sizes} AS size FROM entries e),
    summed AS (SELECT *, count(*) OVER () AS entries, sum(size) OVER (ORDER BY place DESC) AS bytes FROM sized)
    SELECT CAST(s.place AS TEXT) AS place, s.entries, s.conversation_id, s.seq, m.id, m.role, m.content, m.created_at, c.title
    FROM summed s
    LEFT JOIN conversations c ON c.id = s.conversation_id AND c.user_id = s.user_id AND c.deleted_at IS NULL
    LEFT JOIN messages m ON c.id IS NOT NULL AND m.conversation_id = s.conversation_id AND m.user_id = s.user_id
      AND m.seq = s.seq AND m.deleted_at IS NULL
    WHERE s.bytes - s.size < ${byteLimit} ORDER BY s.place DESC`
}

function conditions(
  { conversationId, role, from, to }: IndexSearch,
  { upTo, before, downTo }: Pick<IndexStretch, 'upTo' | 'before' | 'downTo'>,
): RawBuilder<unknown> {
  return whereGiven([
    conversationId !== undefined && sql`d.conversation_id = ${conversationId}`,
    role !== undefined && sql`d.role = ${role}`,
    from !== undefined && sql`d.created_at >= ${from} AND w.rowid >= ${secondOf(from) * numbersInSecond}`,
    to !== undefined && sql`d.created_at < ${to}`,
    upTo !== undefined && sql`w.rowid <= ${Number(upTo)}`,
    before !== undefined && sql`w.rowid < ${Number(before)}`,
    downTo !== undefined && sql`w.rowid >= ${Number(downTo)}`,
  ])
}

/** FTS5's own language (https://sqlite.org/fts5.html#full_text_query_syntax). Tokens hold nothing that could mean more. */
function compile(queries: readonly IndexQuery[]): string {
  return queries.map(query => `(${compileOne(query)})`).join(' OR ')
}

function compileOne({ wanted, unwanted }: IndexQuery): string {
  const all = wanted.map(termsOf).join(' AND ')
  return unwanted.length === 0 ? all : `(${all}) NOT (${unwanted.map(termsOf).join(' OR ')})`
}

function termsOf({ words, start }: IndexItem): string {
  const terms = words.length === 0 ? [] : [`"${words.join(' ')}"`]
  return `(${[...terms, ...(start === undefined ? [] : [`"${start}"`])].join(' AND ')})`
}
