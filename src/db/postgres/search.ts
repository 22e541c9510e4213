import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { IndexedText, IndexItem, IndexQuery } from '../../model/search-terms.ts'
import {
  type FoundRow,
  foundEntries,
  type IndexedMessages,
  type IndexSearch,
  type IndexStretch,
  isIndexed,
  type SearchReader,
  type SearchWriter,
  whereGiven,
} from '../search-index.ts'
import type { Row, Tables } from '../tables.ts'
import type { RunStatement } from './batch.ts'

/** Bounds of a tsvector: https://www.postgresql.org/docs/current/textsearch-limitations.html */
const lastPosition = 16_383
const mostPositions = 255

/** A lexeme of messages that go beyond them, which phrases are not looked for in by position. No token is like it. */
const long = '*'

export function postgresSearchWriter(run: RunStatement, isOn: boolean): SearchWriter {
  return {
    isOn,
    async claim(limit, userId) {
      const [own, lock] = userId === undefined ? ['', ' SKIP LOCKED'] : ['WHERE user_id = $2', '']
      const { rows } = await run(
        `SELECT * FROM search_queue ${own} ORDER BY id, user_id LIMIT $1 FOR UPDATE${lock}`,
        userId === undefined ? [limit] : [limit, userId],
      )
      return rows as Row<'search_queue'>[]
    },
    async put(documents) {
      if (documents.length === 0) return
      await run(
        `INSERT INTO message_search (user_id, conversation_id, seq, role, created_at, tokens)
          SELECT user_id, conversation_id, seq, role, created_at, tokens::tsvector
          FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
            AS u(user_id, conversation_id, seq, role, created_at, tokens)
          ORDER BY conversation_id, user_id, seq ON CONFLICT DO NOTHING`,
        [
          documents.map(({ userId }) => userId),
          documents.map(({ conversationId }) => conversationId),
          documents.map(({ seq }) => seq),
          documents.map(({ role }) => role),
          documents.map(({ createdAt }) => createdAt),
          documents.map(vectorOf),
        ],
      )
    },
    async remove(userId, conversationId) {
      await run('DELETE FROM message_search WHERE conversation_id = $1 AND user_id = $2', [
        conversationId,
        userId,
      ])
    },
  }
}

export async function unindex(tx: Kysely<Tables>, messages: IndexedMessages): Promise<void> {
  await sql`DELETE FROM message_search WHERE ${isIndexed(messages)}`.execute(tx)
}

/** The text form of a tsvector: `'a':1,4 'b':2`. How words begin has no position. */
function vectorOf({ words, starts }: IndexedText): string {
  const positions = new Map<string, number[]>()
  let isLong = words.length > lastPosition
  for (const [index, word] of words.entries()) {
    const known = positions.get(word) ?? []
    if (known.length === mostPositions) isLong = true
    else if (index < lastPosition) known.push(index + 1)
    positions.set(word, known)
  }
  const lexemes = [...positions].map(([word, at]) => `'${word}'${at.length === 0 ? '' : `:${at.join(',')}`}`)
  return [...lexemes, ...starts.map(start => `'${start}'`), ...(isLong ? [`'${long}'`] : [])].join(' ')
}

/** A row, with the place of the last message that was looked at when there may be more; without an entry, only that. */
type ReadRow = Omit<FoundRow, 'place'> & { readonly place: string | null; readonly reached: string | null }

export function postgresSearchReader(db: Kysely<Tables>): SearchReader {
  return {
    async find(search, stretch) {
      const { rows } = await db.transaction().execute(async tx => {
        // Connections that read would rather go through the whole table than use an index that gives no order.
        await sql`SELECT set_config('enable_seqscan', 'off', true)`.execute(tx)
        return statement(search, stretch).execute(tx)
      })
      const found = foundEntries(
        rows.flatMap(({ reached: _, place, ...row }) => (place === null ? [] : [{ place, ...row }])),
        stretch,
      )
      return { ...found, reached: found.reached ?? rows[0]?.reached ?? undefined }
    },
  }
}

/**
 * So many of a user's newest messages are looked at one by one. When at least this many of them match, that is a stretch;
 * words that are rarer than that are few in all, and the index finds them.
 */
const newest = 4_000
const enough = 100

const order = sql`created_at DESC, conversation_id DESC, seq DESC`

/**
 * OFFSET 0 keeps the subqueries lookups for each entry, whatever the statistics say. Contents that are beyond the limit of
 * bytes are not fetched from where large ones are kept.
 */
function statement(search: IndexSearch, { limit, byteLimit, ...places }: IndexStretch): RawBuilder<ReadRow> {
  const among = search.conversationId === undefined ? amongAll : amongConversation
  return sql`
    WITH ${among(search, places, limit)},
    sized AS (
      SELECT e.*, m.id, m.role, m.content, m.created_at AS said_at, c.title, count(*) OVER () AS entries,
        coalesce(octet_length(m.content), 0) AS size,
        sum(coalesce(octet_length(m.content), 0))
          OVER (ORDER BY e.created_at DESC, e.conversation_id DESC, e.seq DESC) AS bytes
      FROM entries e
      LEFT JOIN LATERAL (SELECT id, title FROM conversations c
        WHERE c.id = e.conversation_id AND c.user_id = e.user_id AND c.deleted_at IS NULL OFFSET 0) c ON TRUE
      LEFT JOIN LATERAL (SELECT id, role, content, created_at FROM messages m
        WHERE c.id IS NOT NULL AND m.conversation_id = e.conversation_id AND m.user_id = e.user_id AND m.seq = e.seq
          AND m.deleted_at IS NULL OFFSET 0) m ON TRUE
    )
    SELECT s.created_at || ' ' || s.conversation_id || ' ' || s.seq AS place, coalesce(entries, 0) AS entries,
      conversation_id, seq, id, role, content, said_at AS created_at, title, reached
    FROM looked LEFT JOIN sized s ON bytes - size < ${byteLimit}
    ORDER BY s.created_at DESC, conversation_id DESC, seq DESC`
}

type Places = Pick<IndexStretch, 'upTo' | 'before' | 'downTo'>

/** Of one conversation, whose messages are few. */
function amongConversation(search: IndexSearch, places: Places, limit: number): RawBuilder<unknown> {
  return sql`
    entries AS MATERIALIZED (
      SELECT created_at, conversation_id, user_id, seq FROM message_search
      WHERE tokens @@ ${compile(search.queries)}::tsquery AND ${conditions(search, places)}
      ORDER BY ${order} LIMIT ${limit}
    ),
    looked AS (SELECT NULL::text AS reached)`
}

/**
 * Going through a user's newest messages is quick where what is looked for is in many of them, the index where it is in few,
 * and each takes the longer the more messages there are where the other is quick. A phrase of common words is the exception:
 * the index finds its words together in many, each to be looked at, so it is looked for among so many messages at a time.
 * In a stretch that has been begun everything is found. What is older is written so that no index but that of tokens serves.
 */
function amongAll(search: IndexSearch, places: Places, limit: number): RawBuilder<unknown> {
  const asked = sql`${compile(search.queries)}::tsquery`
  const words = sql`${compile(search.queries.map(withoutOrder))}::tsquery`
  const isBegun = places.downTo !== undefined
  const count = isBegun ? newest * 2 : newest
  const isEnough = isBegun ? sql`FALSE` : sql`hits >= ${enough} OR likely >= ${enough}`
  return sql`
    newest AS MATERIALIZED (
      SELECT created_at, conversation_id, user_id, seq, tokens @@ ${asked} AS is_hit, tokens @@ ${words} AS is_likely
      FROM message_search WHERE ${conditions(search, places)}
      ORDER BY user_id DESC, ${order} LIMIT ${count}
    ),
    counted AS MATERIALIZED (
      SELECT count(*) = ${count} AS is_full, count(*) FILTER (WHERE is_hit) AS hits,
        count(*) FILTER (WHERE is_likely) AS likely FROM newest
    ),
    last AS MATERIALIZED (
      SELECT created_at, conversation_id, seq FROM newest ORDER BY created_at, conversation_id, seq LIMIT 1
    ),
    older AS MATERIALIZED (
      SELECT created_at, conversation_id, user_id, seq FROM message_search
      WHERE (SELECT is_full AND NOT (${isEnough}) FROM counted) AND tokens @@ ${asked}
        AND ${conditions(search, places, sql`(user_id || '')`)}
        AND NOT (created_at, conversation_id, seq) >= (SELECT created_at, conversation_id, seq FROM last)
      ORDER BY created_at + 0 DESC, conversation_id DESC, seq DESC LIMIT ${limit}
    ),
    entries AS MATERIALIZED (
      SELECT created_at, conversation_id, user_id, seq FROM newest WHERE is_hit
      UNION ALL SELECT * FROM older
      ORDER BY ${order} LIMIT ${limit}
    ),
    looked AS (
      SELECT CASE WHEN is_full AND (${isEnough})
        THEN (SELECT created_at || ' ' || conversation_id || ' ' || seq FROM last) END AS reached FROM counted
    )`
}

function conditions(
  { userId, conversationId, role, from, to }: IndexSearch,
  { upTo, before, downTo }: Places,
  user = sql`user_id`,
): RawBuilder<unknown> {
  return whereGiven([
    sql`${user} = ${userId}`,
    conversationId !== undefined && sql`conversation_id = ${conversationId}`,
    role !== undefined && sql`role = ${role}`,
    from !== undefined && sql`created_at >= ${from}`,
    to !== undefined && sql`created_at < ${to}`,
    upTo !== undefined && sql`(created_at, conversation_id, seq) <= ${tuple(upTo)}`,
    before !== undefined && sql`(created_at, conversation_id, seq) < ${tuple(before)}`,
    downTo !== undefined && sql`(created_at, conversation_id, seq) >= ${tuple(downTo)}`,
  ])
}

function tuple(place: string): RawBuilder<unknown> {
  const [createdAt, conversationId, seq] = place.split(' ')
  return sql`(${Number(createdAt)}::bigint, ${conversationId ?? ''}::text COLLATE "C", ${Number(seq)}::bigint)`
}

/** https://www.postgresql.org/docs/current/datatype-textsearch.html. Tokens hold nothing that could mean more. */
function compile(queries: readonly IndexQuery[]): string {
  return queries.map(query => `(${compileOne(query)})`).join(' | ')
}

function compileOne({ wanted, unwanted }: IndexQuery): string {
  return [...wanted.map(wantedTerms), ...unwanted.map(item => `!(${termsOf(item)})`)].join(' & ')
}

/** Of long messages those are found that may hold a phrase, and none is left out that may not. */
function wantedTerms(item: IndexItem): string {
  if (item.words.length < 2) return termsOf(item)
  return `(${termsOf(item)} | '${long}' & ${apart(item).map(termsOf).join(' & ')})`
}

function termsOf({ words, start }: IndexItem): string {
  const phrase = words.length === 0 ? [] : [`(${words.map(quoted).join(' <-> ')})`]
  return [...phrase, ...(start === undefined ? [] : [quoted(start)])].join(' & ')
}

/** The same words wherever they stand. */
function withoutOrder({ wanted, unwanted }: IndexQuery): IndexQuery {
  return { wanted: wanted.flatMap(apart), unwanted: unwanted.filter(({ words }) => words.length < 2) }
}

function apart({ words, start }: IndexItem): IndexItem[] {
  const each = words.map(word => ({ words: [word], start: undefined }))
  return start === undefined ? each : [...each, { words: [], start }]
}

function quoted(token: string): string {
  return `'${token}'`
}
