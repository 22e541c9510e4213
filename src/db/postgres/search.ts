import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { IndexItem, IndexQuery } from '../../model/search-terms.ts'
import {
  type FoundRow,
  foundEntries,
  type IndexedMessages,
  type IndexSearch,
  type IndexStretch,
  isIndexed,
  type SearchReader,
  type SearchWriter,
} from '../search-index.ts'
import type { Row, Tables } from '../tables.ts'
import type { RunStatement } from './batch.ts'

/**
 * Terms are lexemes as they are: no dictionary, no configuration. Without the list of pending entries, which every search
 * would read from end to end: the index is written in the background.
 */
export const searchIndex = {
  make: [
    `CREATE TABLE message_search (
      user_id text COLLATE "C" NOT NULL,
      conversation_id text COLLATE "C" NOT NULL,
      seq bigint NOT NULL,
      role text COLLATE "C" NOT NULL,
      created_at bigint NOT NULL,
      words tsvector NOT NULL,
      PRIMARY KEY (conversation_id, user_id, seq)
    )`,
    'CREATE INDEX message_search_words ON message_search USING gin (words) WITH (fastupdate = off)',
  ],
  remove: ['DROP TABLE message_search'],
}

/** Bounds of a tsvector: https://www.postgresql.org/docs/current/textsearch-limitations.html */
const lastPosition = 16_383
const mostPositions = 255

/** A lexeme of messages that go beyond them, which phrases are not looked for in by position. No term is like it. */
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
        `INSERT INTO message_search (user_id, conversation_id, seq, role, created_at, words)
          SELECT user_id, conversation_id, seq, role, created_at, words::tsvector
          FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
            AS u(user_id, conversation_id, seq, role, created_at, words)
          ORDER BY conversation_id, user_id, seq ON CONFLICT DO NOTHING`,
        [
          documents.map(({ userId }) => userId),
          documents.map(({ conversationId }) => conversationId),
          documents.map(({ seq }) => seq),
          documents.map(({ role }) => role),
          documents.map(({ createdAt }) => createdAt),
          documents.map(({ terms }) => vectorOf(terms)),
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

/** The text form of a tsvector: `'a':1,4 'b':2`. */
function vectorOf(terms: readonly string[]): string {
  const positions = new Map<string, number[]>()
  let isLong = terms.length > lastPosition
  for (const [index, term] of terms.entries()) {
    const known = positions.get(term) ?? []
    if (known.length === mostPositions) isLong = true
    else if (index < lastPosition) known.push(index + 1)
    positions.set(term, known)
  }
  const lexemes = [...positions].map(([term, at]) => `'${term}'${at.length === 0 ? '' : `:${at.join(',')}`}`)
  return (isLong ? [...lexemes, `'${long}'`] : lexemes).join(' ')
}

export function postgresSearchReader(db: Kysely<Tables>): SearchReader {
  return {
    async find(search, stretch) {
      const { rows } = await statement(search, stretch).execute(db)
      const [first] = rows
      const isCut = first !== undefined && (first.entries === stretch.limit || rows.length < first.entries)
      return foundEntries(
        rows.map(({ entries: _, ...row }) => row),
        isCut,
      )
    },
  }
}

const order = sql`created_at DESC, conversation_id DESC, seq DESC`

/**
 * OFFSET 0 keeps the subqueries lookups for each entry, whatever the statistics say. Contents that are beyond the limit of
 * bytes are not fetched from where large ones are kept.
 */
function statement(
  search: IndexSearch,
  { limit, byteLimit, ...places }: IndexStretch,
): RawBuilder<FoundRow & { entries: number }> {
  return sql`
    WITH entries AS MATERIALIZED (
      SELECT created_at, conversation_id, user_id, seq FROM message_search
      WHERE words @@ ${compile(search.query)}::tsquery AND user_id = ${search.userId} AND ${conditions(search, places)}
      ORDER BY ${order} LIMIT ${limit}
    ),
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
    SELECT concat_ws(' ', created_at, conversation_id, seq) AS place, entries, conversation_id, seq, id, role, content,
      said_at AS created_at, title
    FROM sized WHERE bytes - size < ${byteLimit} ORDER BY sized.created_at DESC, conversation_id DESC, seq DESC`
}

function conditions(
  { conversationId, role, from, to }: IndexSearch,
  { upTo, before, downTo }: Pick<IndexStretch, 'upTo' | 'before' | 'downTo'>,
): RawBuilder<unknown> {
  const given = <T>(value: T | undefined, condition: (value: T) => RawBuilder<unknown>) =>
    value === undefined ? [] : [condition(value)]
  return sql.join(
    [
      sql`TRUE`,
      ...given(conversationId, id => sql`conversation_id = ${id}`),
      ...given(role, name => sql`role = ${name}`),
      ...given(from, time => sql`created_at >= ${time}`),
      ...given(to, time => sql`created_at < ${time}`),
      ...given(upTo, place => sql`(created_at, conversation_id, seq) <= ${tuple(place)}`),
      ...given(before, place => sql`(created_at, conversation_id, seq) < ${tuple(place)}`),
      ...given(downTo, place => sql`(created_at, conversation_id, seq) >= ${tuple(place)}`),
    ],
    sql` AND `,
  )
}

function tuple(place: string): RawBuilder<unknown> {
  const [createdAt, conversationId, seq] = place.split(' ')
  return sql`(${Number(createdAt)}::bigint, ${conversationId ?? ''}::text COLLATE "C", ${Number(seq)}::bigint)`
}

/**
 * https://www.postgresql.org/docs/current/datatype-textsearch.html. Terms hold nothing that could mean more. Of long
 * messages those are found that may hold a phrase, and none is left out that may not.
 */
function compile({ wanted, unwanted }: IndexQuery): string {
  const looked = wanted.map(item => {
    const terms = lexemesOf(item)
    return terms.length === 1 ? terms.join('') : `(${terms.join(' <-> ')} | '${long}' & ${terms.join(' & ')})`
  })
  return [...looked, ...unwanted.map(item => `!(${lexemesOf(item).join(' <-> ')})`)].join(' & ')
}

function lexemesOf({ terms, isPrefix }: IndexItem): string[] {
  const last = terms.length - 1
  return terms.map((term, index) => `'${term}'${isPrefix && index === last ? ':*' : ''}`)
}
