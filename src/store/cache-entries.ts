import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { decodeContent, decodeText } from '../privacy/content.ts'
import type { Reading } from './contents.ts'

/** Whose entries may be given: one user's own, or all in a shared partition. */
export interface CachePlace {
  readonly userId: string
  /** '' for the user's own. */
  readonly partition: string
}

/** Names an entry. */
export type EntryName = Pick<Row<'cache_entries'>, 'user_id' | 'id'>

/** An answer that may be given again. */
export interface FoundEntry {
  readonly name: EntryName
  /** The reply as it was kept. */
  readonly text: string
  readonly createdAt: number
  /** What the call took that made it, as far as that is still on record. */
  readonly made: {
    readonly inputTokens: number | undefined
    readonly outputTokens: number | undefined
    readonly costNanousd: number | undefined
  }
}

/** A vector by which an entry can be found. */
export interface FoundVector {
  readonly name: EntryName
  readonly vector: Float32Array
}

export interface CacheStats {
  readonly entries: number
  /** Bytes of replies and embeddings. */
  readonly bytes: number
  /** Those that can be found by meaning. */
  readonly semantic: number
  /** How often the entries that are there now were given. */
  readonly hits: number
  /** When the oldest and the newest were made, in milliseconds since 1970; undefined of none. */
  readonly oldestAt: number | undefined
  readonly newestAt: number | undefined
}

type Where = RawBuilder<unknown>

type FoundRow = Pick<Tables['cache_entries'], 'user_id' | 'id' | 'created_at' | 'response'> &
  Pick<Tables['llm_responses'], 'input_tokens' | 'output_tokens' | 'cost_nanousd'>

const vectorsAtATime = 250

/** Vectors as they are kept: the numbers of four bytes each, the lowest byte first, as every machine has them that Node runs on. */
export function vectorBytes(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)
}

function vectorOf(bytes: Buffer): Float32Array {
  // A copy: numbers must begin at a multiple of four.
  return new Float32Array(Uint8Array.from(bytes).buffer)
}

/** Answers that may be given again, as they are read. They are written by steps of the cache. */
export function cacheEntryStore({ kysely, contents }: Reading) {
  const inPlace = ({ userId, partition }: CachePlace, now: number): Where =>
    partition === ''
      ? sql`e.user_id = ${userId} AND e.partition_key = '' AND e.expires_at > ${now}`
      : sql`e.partition_key = ${partition} AND e.expires_at > ${now}`

  /** In words of its own: building the query would take longer than answering it. */
  const found = async (where: Where): Promise<FoundEntry | undefined> => {
    const { rows } = await sql<FoundRow>`
      SELECT e.user_id, e.id, e.created_at, e.response, r.input_tokens, r.output_tokens, r.cost_nanousd
      FROM cache_entries e LEFT JOIN llm_responses r ON r.request_id = e.call_id AND r.user_id = e.user_id
      WHERE ${where} ORDER BY e.id DESC LIMIT 1`.execute(kysely)
    const entry = await contents.openOne(kysely, 'cache_entries', rows[0])
    if (entry === undefined) return undefined
    return {
      name: { user_id: entry.user_id, id: entry.id },
      text: decodeText(entry.response),
      createdAt: entry.created_at,
      made: {
        inputTokens: entry.input_tokens ?? undefined,
        outputTokens: entry.output_tokens ?? undefined,
        costNanousd: entry.cost_nanousd ?? undefined,
      },
    }
  }

  return {
    /**
     * The newest answer to the very same request, if it was made at `since` or after it.
     * @throws SteleError content_unreadable, content_not_kept, content_erased
     */
    exact: (place: CachePlace, entryHash: string, { now, since }: { now: number; since: number }) =>
      found(sql`e.entry_hash = ${entryHash} AND e.created_at >= ${since} AND ${inPlace(place, now)}`),
    /** An entry by its name. Raises the same. */
    named: (place: CachePlace, { user_id, id }: EntryName, now: number) =>
      found(sql`e.user_id = ${user_id} AND e.id = ${id} AND ${inPlace(place, now)}`),
    /** The newest entries that answer to something else said in the same context, the newest first. */
    async inContext(
      place: CachePlace,
      contextHash: string,
      { now, since, limit }: { now: number; since: number; limit: number },
    ): Promise<EntryName[]> {
      const { rows } = await sql<EntryName>`
        SELECT e.user_id, e.id FROM cache_entries e
        WHERE e.context_hash = ${contextHash} AND e.created_at >= ${since} AND ${inPlace(place, now)}
        ORDER BY e.id DESC LIMIT ${limit}`.execute(kysely)
      return rows
    },
    /** Their vectors. Those that cannot be read, of somebody who was erased say, are left out. */
    async vectors(names: readonly EntryName[]): Promise<FoundVector[]> {
      const vectors: FoundVector[] = []
      for (let at = 0; at < names.length; at += vectorsAtATime) {
        const ids = names.slice(at, at + vectorsAtATime).map(({ id }) => id)
        const rows = await kysely
          .selectFrom('cache_entries')
          .select(['user_id', 'id', 'embedding'])
          .where('user_id', 'in', [...new Set(names.map(({ user_id }) => user_id))])
          .where('id', 'in', ids)
          .execute()
        for (const row of rows) {
          const vector = await contents.openOne(kysely, 'cache_entries', row).then(vectorIn, unlessUnreadable)
          if (vector !== undefined) vectors.push({ name: { user_id: row.user_id, id: row.id }, vector })
        }
      }
      return vectors
    },
    stats: (userId?: string): Promise<CacheStats> => statsOf(kysely, userId),
  }
}

function vectorIn(row: { readonly embedding: Uint8Array | null } | undefined): Float32Array | undefined {
  return row?.embedding == null ? undefined : vectorOf(decodeContent(row.embedding))
}

function unlessUnreadable(error: unknown): undefined {
  if (!(error instanceof SteleError) || !error.code.startsWith('content_')) throw error
}

async function statsOf(kysely: Kysely<Tables>, userId: string | undefined): Promise<CacheStats> {
  const row = await kysely
    .selectFrom('cache_entries')
    .select([
      sql<number>`count(*)`.as('entries'),
      sql<number>`coalesce(sum(bytes), 0)`.as('bytes'),
      sql<number>`count(context_hash)`.as('semantic'),
      sql<number>`coalesce(sum(hits), 0)`.as('hits'),
      sql<number | null>`min(created_at)`.as('oldest'),
      sql<number | null>`max(created_at)`.as('newest'),
    ])
    .$if(userId !== undefined, query => query.where('user_id', '=', userId ?? ''))
    .executeTakeFirstOrThrow()
  const { entries, bytes, semantic, hits, oldest, newest } = row
  return { entries, bytes, semantic, hits, oldestAt: oldest ?? undefined, newestAt: newest ?? undefined }
}
