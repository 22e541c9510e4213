import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FoundMessage, IndexEntry, IndexSearch, SearchReader } from '../db/search-index.ts'
import type { Opened } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { isId } from '../ids.ts'
import { matchText, type Ranges } from '../model/search-match.ts'
import { parseSearchQuery, type SearchQuery } from '../model/search-query.ts'
import { indexQuery } from '../model/search-terms.ts'
import { isSearchedRole, type SearchedRole, searchedRoles } from '../model/searched-text.ts'
import { type Snippet, snippetOf } from '../model/snippet.ts'
import type { Store } from './contents.ts'
import {
  type LastHit,
  readCursor,
  type SearchPosition,
  searchFingerprint,
  writeCursor,
} from './search-cursor.ts'
import type { SearchTokens } from './search-keys.ts'
import { searchedContent } from './searched-content.ts'
import { checkUserId } from './users.ts'

/** What is searched for. Times in milliseconds since 1970. */
export interface SearchInput {
  /** Whose messages are searched; nobody else's are ever found. */
  readonly userId: string
  /** Words (all of them), "phrases", -not, prefix*: docs/search.md. */
  readonly query: string
  readonly conversationId?: string | undefined
  readonly role?: SearchedRole | undefined
  /** Messages of this time or later. */
  readonly from?: number | undefined
  /** Messages before this time. */
  readonly to?: number | undefined
  /** Hits on a page; 20 when left out, at most 100. */
  readonly limit?: number | undefined
  /** The page before this one said where it begins. */
  readonly cursor?: string | undefined
}

/** A message that was found. */
export interface SearchHit {
  readonly conversationId: string
  readonly messageId: string
  readonly seq: number
  readonly role: string
  readonly createdAt: number
  /** That of its conversation. */
  readonly title: string | undefined
  readonly snippet: Snippet
  /** Higher is better; comparable within one search alone. */
  readonly rank: number
}

export interface SearchPage {
  readonly hits: readonly SearchHit[]
  /** For the next page; undefined when there is none. A page may be short, or empty, and have a next one. */
  readonly cursor: string | undefined
}

const defaultLimit = 20
const highestLimit = 100

/**
 * Matches are ranked a stretch at a time: so many of the newest, or so many bytes of them, then those before. It bounds
 * what a page takes, whatever is on record, and an order within a stretch does not change by what is written later.
 */
const stretch = { limit: 500, byteLimit: 1024 * 1024 }

/** A stretch that a page goes on with: what was added to it meanwhile must not push its end out. */
const begunStretch = { limit: stretch.limit * 4, byteLimit: stretch.byteLimit * 4 }

/** Milliseconds after which a page ends that is not full: a phrase of common words may stand in few of their messages. */
const longestPage = 60

/** Messages that are looked at in one turn of the event loop, in which nothing else is served. */
const messagesInTurn = 64

interface Candidate extends LastHit {
  readonly message: Opened<FoundMessage>
  readonly text: string
  readonly ranges: Ranges
}

/**
 * Checks what is searched for and returns the search, which looks into the index and then at the texts that it leads to:
 * those tell whether and where they match.
 * @throws SteleError invalid_value, search_disabled; the search itself conversation_not_found
 */
export function prepareSearch(
  database: Store,
  tokens: SearchTokens,
  input: SearchInput,
): () => Promise<SearchPage> {
  const { search } = database
  if (search === undefined) throw new SteleError('search_disabled')
  const { userId, query, conversationId, role, from, to, cursor } = input
  const limit = checkLimit(input.limit)
  checkUserId(userId)
  if (role !== undefined && !isSearchedRole(role))
    throw invalid('role', `it must be ${searchedRoles.join(' or ')}.`)
  const parsed = parseSearchQuery(query)
  const fingerprint = searchFingerprint(userId, query, conversationId, role, from, to)
  const start = cursor === undefined ? { query: fingerprint } : readCursor(cursor, fingerprint)
  return async () => {
    if (conversationId !== undefined) await requireConversation(database, userId, conversationId)
    const keys = await tokens.keys.all(database, userId)
    // Whoever has no key has nothing that could be read.
    if (keys.length === 0) return { hits: [], cursor: undefined }
    const queries = keys.map(key => indexQuery(tokens.index.tokens(key), parsed))
    const asked = { userId, queries, conversationId, role, from, to }
    const { found, next } = await collect(database, search, asked, parsed, limit, start)
    return { hits: found.map(toHit), cursor: next && writeCursor(next) }
  }
}

async function collect(
  database: Store,
  search: SearchReader,
  asked: IndexSearch,
  query: SearchQuery,
  limit: number,
  start: SearchPosition,
): Promise<{ found: Candidate[]; next: SearchPosition | undefined }> {
  const found: Candidate[] = []
  const until = performance.now() + longestPage
  for (let position = start; ; ) {
    const { upTo, before, downTo, last } = position
    const size = downTo === undefined ? stretch : begunStretch
    const { entries, reached } = await search.find(asked, { upTo, before, downTo, ...size })
    const ranked = (await matchesOf(database, asked.userId, entries, query)).sort(inOrder)
    const left = last === undefined ? ranked : ranked.filter(candidate => inOrder(last, candidate) < 0)
    const shown = left.slice(0, limit - found.length)
    found.push(...shown)
    const end = downTo ?? reached ?? entries.at(-1)?.place
    const isLast = downTo === undefined ? reached === undefined : position.isLast === true
    const lastShown = shown.at(-1)
    if (lastShown !== undefined && shown.length < left.length) {
      const { rank, createdAt, messageId } = lastShown
      const next = {
        query: start.query,
        upTo: upTo ?? entries[0]?.place,
        downTo: end,
        ...(isLast ? { isLast } : {}),
        last: { rank, createdAt, messageId },
      }
      return { found, next }
    }
    if (end === undefined || isLast) return { found, next: undefined }
    position = { query: start.query, before: end }
    if (found.length === limit || performance.now() > until) return { found, next: position }
  }
}

async function matchesOf(
  database: Store,
  userId: string,
  entries: readonly IndexEntry[],
  query: SearchQuery,
): Promise<Candidate[]> {
  const matches: Candidate[] = []
  const found = entries.flatMap(({ message }) => (message === undefined ? [] : [message]))
  for (let from = 0; from < found.length; from += messagesInTurn) {
    if (from > 0) await nextTurn()
    const messages = await openFound(database, userId, found.slice(from, from + messagesInTurn))
    matches.push(...matchesAmong(messages, query))
  }
  return matches
}

/** Messages and the titles of their conversations, readable. */
async function openFound(
  { kysely, contents }: Pick<Store, 'kysely' | 'contents'>,
  userId: string,
  found: readonly FoundMessage[],
): Promise<Opened<FoundMessage>[]> {
  const messages = await contents.open(
    kysely,
    'messages',
    found.map(message => ({ ...message, user_id: userId })),
  )
  const titles = await contents.open(
    kysely,
    'conversations',
    found.map(({ conversation_id, title }) => ({ user_id: userId, id: conversation_id, title })),
  )
  return messages.map((message, index) => ({ ...message, title: titles[index]?.title ?? null }))
}

function matchesAmong(messages: readonly Opened<FoundMessage>[], query: SearchQuery): Candidate[] {
  const matches: Candidate[] = []
  for (const message of messages) {
    const text = searchedContent(message.content)
    const match = matchText(query, text)
    if (match === undefined) continue
    matches.push({ message, text, ...match, createdAt: message.created_at, messageId: message.id })
  }
  return matches
}

/** The best first, the newest first among equals. */
function inOrder(a: LastHit, b: LastHit): number {
  if (a.rank !== b.rank) return b.rank - a.rank
  if (a.createdAt !== b.createdAt) return b.createdAt - a.createdAt
  return a.messageId > b.messageId ? -1 : 1
}

function toHit({ message, text, ranges, rank, createdAt, messageId }: Candidate): SearchHit {
  return {
    conversationId: message.conversation_id,
    messageId,
    seq: message.seq,
    role: message.role,
    createdAt,
    title: message.title ?? undefined,
    snippet: snippetOf(text, ranges),
    rank,
  }
}

async function requireConversation({ prompt }: Store, userId: string, id: string): Promise<void> {
  const row = isId('conversation', id)
    ? await prompt
        .selectFrom('conversations')
        .select('id')
        .where('id', '=', id)
        .where('user_id', '=', userId)
        .where('deleted_at', 'is', null)
        .executeTakeFirst()
    : undefined
  if (row === undefined)
    throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
}

function checkLimit(limit = defaultLimit): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= highestLimit) return limit
  throw invalid('limit', `it must be a whole number from 1 to ${highestLimit}.`)
}

function invalid(name: string, reason: string): SteleError {
  return new SteleError('invalid_value', { name, reason }, { param: name })
}
