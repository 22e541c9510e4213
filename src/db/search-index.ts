import { type RawBuilder, sql } from 'kysely'
import type { IndexedText, IndexQuery } from '../model/search-terms.ts'
import type { Row, Tables } from './tables.ts'

/** A message as the search index holds it: by tokens, which tell nothing but where to look. */
export interface SearchDocument extends IndexedText {
  readonly userId: string
  readonly conversationId: string
  readonly seq: number
  readonly role: string
  readonly createdAt: number
}

/** The writing side of the search index, inside a batch. */
export interface SearchWriter {
  /** Whether messages are to be found; otherwise nothing is queued for the index. */
  readonly isOn: boolean
  /**
   * Up to `limit` rows of the queue, oldest first, that nobody else takes before this batch ends: of one user, waiting
   * for whoever has some of them in hand, or of everybody, leaving those aside.
   */
  claim(limit: number, userId?: string): Promise<Row<'search_queue'>[]>
  /** Adds the documents that are not there yet. */
  put(documents: readonly SearchDocument[]): Promise<void>
  /** Takes a conversation's messages out of the index. */
  remove(userId: string, conversationId: string): Promise<void>
}

/** Messages of a conversation, or all of them, that are to leave the index. */
export interface IndexedMessages {
  readonly userId: string
  readonly conversationId: string
  readonly seqs?: readonly number[]
}

/** What is looked for in an index. Times in milliseconds since 1970. */
export interface IndexSearch {
  readonly userId: string
  /** The same for each key that tokens may have been made with; at least one. */
  readonly queries: readonly IndexQuery[]
  readonly conversationId?: string | undefined
  readonly role?: string | undefined
  /** Messages of this time or later. */
  readonly from?: number | undefined
  /** Messages before this time. */
  readonly to?: number | undefined
}

/** A stretch of what an index finds, by places, which only the index itself can read. */
export interface IndexStretch {
  /** From the newest: everything, what is at this place or older, or what is older. */
  readonly upTo?: string | undefined
  readonly before?: string | undefined
  /** To this place, itself included; to the end when left out. */
  readonly downTo?: string | undefined
  /** Entries at most. */
  readonly limit: number
  /** Bytes of content at most, though never less than one entry. */
  readonly byteLimit: number
}

/** An entry of the index with the message that it stands for. */
export interface IndexEntry {
  readonly place: string
  /** Undefined when the message, or its conversation, is deleted. */
  readonly message: FoundMessage | undefined
}

export type FoundMessage = Pick<
  Tables['messages'],
  'conversation_id' | 'seq' | 'id' | 'role' | 'content' | 'created_at'
> &
  Pick<Tables['conversations'], 'title'>

export interface FoundEntries {
  /** Newest first. */
  readonly entries: readonly IndexEntry[]
  /** The place that was looked at last, when there may be older entries within the stretch. */
  readonly reached: string | undefined
}

/** The reading side of the search index. */
export interface SearchReader {
  find(search: IndexSearch, stretch: IndexStretch): Promise<FoundEntries>
}

/** A row as a reader's statement gives it; the message's columns are null where there is none to show. */
export type FoundRow = {
  readonly place: string
  /** How many entries there are, those included whose contents are beyond the limit of bytes. */
  readonly entries: number
} & { readonly [C in keyof FoundMessage]: FoundMessage[C] | null }

export function foundEntries(
  rows: readonly FoundRow[],
  { limit }: Pick<IndexStretch, 'limit'>,
): FoundEntries {
  const [first] = rows
  const isCut = first !== undefined && (first.entries === limit || rows.length < first.entries)
  return {
    entries: rows.map(({ place, entries: _, ...row }) => ({
      place,
      message: row.id === null ? undefined : (row as FoundMessage),
    })),
    reached: isCut ? rows.at(-1)?.place : undefined,
  }
}

/** The conditions of what is given. */
export function whereGiven(
  conditions: readonly (RawBuilder<unknown> | false | undefined)[],
): RawBuilder<unknown> {
  const given = conditions.filter(condition => condition !== undefined && condition !== false)
  return given.length === 0 ? sql`TRUE` : sql.join(given, sql` AND `)
}

/** Tells the rows of `message_search` that stand for these messages. */
export function isIndexed({ userId, conversationId, seqs }: IndexedMessages): RawBuilder<boolean> {
  const some = seqs === undefined ? sql`` : sql` AND seq IN (${sql.join(seqs)})`
  return sql`conversation_id = ${conversationId} AND user_id = ${userId}${some}`
}
