import { type RawBuilder, sql } from 'kysely'
import type { IndexQuery } from '../model/search-terms.ts'
import type { Row, Tables } from './tables.ts'

/** A message as the search index holds it: by its terms, which tell nothing but where to look. */
export interface SearchDocument {
  readonly userId: string
  readonly conversationId: string
  readonly seq: number
  readonly role: string
  readonly createdAt: number
  /** In the order of the text: see `termsOf`. */
  readonly terms: readonly string[]
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
  readonly query: IndexQuery
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
  /** Whether there may be older ones within the stretch. */
  readonly hasMore: boolean
}

/** The reading side of the search index. */
export interface SearchReader {
  find(search: IndexSearch, stretch: IndexStretch): Promise<FoundEntries>
}

/** A row as a reader's statement gives it: the message's columns are null where there is none to show. */
export type FoundRow = { readonly place: string } & {
  readonly [C in keyof FoundMessage]: FoundMessage[C] | null
}

/** The entries of a statement that was asked for one row more than the limit. */
export function foundEntries(rows: readonly FoundRow[], isCut: boolean): FoundEntries {
  return {
    entries: rows.map(({ place, ...row }) => ({
      place,
      message: row.id === null ? undefined : (row as FoundMessage),
    })),
    hasMore: isCut,
  }
}

/** Tells the rows of `message_search` that stand for these messages. */
export function isIndexed({ userId, conversationId, seqs }: IndexedMessages): RawBuilder<boolean> {
  const some = seqs === undefined ? sql`` : sql` AND seq IN (${sql.join(seqs)})`
  return sql`conversation_id = ${conversationId} AND user_id = ${userId}${some}`
}
