import type { Batch } from '../db/batch.ts'
import type { Capabilities } from '../db/database.ts'
import type { SearchDocument } from '../db/search-index.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { indexedText, type Tokens } from '../model/search-terms.ts'
import { isSearchedRole } from '../model/searched-text.ts'
import type { SearchTokens } from '../store/search-keys.ts'
import { type QueuedConversation, queueForSearch } from '../store/search-queue.ts'
import { searchedContent } from '../store/searched-content.ts'
import type { Applied, ConversationPlace, IndexOperation, Operation, OperationResult } from './operations.ts'
import { erasedStatus } from './purge.ts'

/** Rows taken out of the queue at a time. */
const mostRows = 64

/** Milliseconds after which the rest is left for the next time. Where there is one writer, calls wait for it. */
const longestTurn = { ofOneWriter: 5, else: 100 } as const

/** Messages that are read together. */
const step = 16

/** A conversation of which messages are to be indexed: those from `at` on, before `end`. */
interface Stretch {
  readonly user_id: string
  readonly conversation_id: string
  /** How far it is indexed with this key. */
  readonly indexed: number
  readonly key_id: string
  /** Undefined when its user's keys are destroyed: then nothing of it can be found. */
  readonly tokens: Tokens | undefined
  readonly end: number
  at: number
}

/**
 * Writes the index of messages that wait for it, and how far it has come, in the same transaction: whoever dies has done
 * nothing. What goes beyond the limits stays.
 */
export async function applyIndex(
  batch: Batch,
  { userId, limit, conversations = [] }: IndexOperation,
  { hasOneWriter, tokens }: Pick<Capabilities, 'hasOneWriter'> & { readonly tokens: SearchTokens },
): Promise<OperationResult> {
  const longest = hasOneWriter ? longestTurn.ofOneWriter : longestTurn.else
  const started = performance.now()
  const count = Math.min(mostRows, limit)
  const claimed = await batch.search.claim(count, userId)
  const stretches = await stretchesOf(batch, claimed, conversations, tokens)
  for (let done = 0; done < limit; done += step) {
    if (done > 0 && performance.now() - started > longest) break
    const places = take(stretches, Math.min(step, limit - done))
    if (places.length === 0) break
    await index(batch, places)
  }
  const waiting = await settle(batch, claimed, stretches)
  const left = conversations.filter(place => waiting.has(keyOf(place.userId, place.conversationId)))
  const isIndexed = claimed.length < count && waiting.size === 0
  return { conversationId: undefined, isRepeat: false, isIndexed, left }
}

/** Queues what operations of a spool have added to, repetitions included: they may be of one that nobody has kept in mind. */
export async function queueDrained(
  batch: Batch,
  operations: readonly Operation[],
  answers: readonly Applied[],
): Promise<void> {
  const touched = operations.flatMap((operation, index): QueuedConversation[] => {
    if (!('isDrained' in operation)) return []
    const answer = answers[index]
    const conversationId = answer?.ok === true ? answer.result.conversationId : undefined
    const userId = userOf(operation)
    return conversationId === undefined || conversationId === '' || userId === undefined
      ? []
      : [{ userId, conversationId }]
  })
  if (touched.length > 0) await queueForSearch(batch, touched)
}

function userOf(operation: Extract<Operation, { isDrained?: true }>): string | undefined {
  if ('start' in operation) return operation.start.userId
  return operation.kind === 'settle' ? operation.call.userId : operation.endings[0]?.call.userId
}

function keyOf(userId: string, conversationId: string): string {
  return `${conversationId} ${userId}`
}

/** What there is to do, in the order in which whoever indexes locks conversations. */
async function stretchesOf(
  batch: Batch,
  claimed: readonly Row<'search_queue'>[],
  given: readonly ConversationPlace[],
  tokens: SearchTokens,
): Promise<Stretch[]> {
  const from = new Map<string, { user_id: string; conversation_id: string; from: number }>()
  const add = (user_id: string, conversation_id: string, seq: number): void => {
    const key = keyOf(user_id, conversation_id)
    from.set(key, { user_id, conversation_id, from: Math.min(from.get(key)?.from ?? seq, seq) })
  }
  for (const { user_id, conversation_id, from_seq } of claimed)
    add(user_id, conversation_id, from_seq ?? Number.POSITIVE_INFINITY)
  for (const { userId, conversationId } of given) add(userId, conversationId, Number.POSITIVE_INFINITY)
  const wanted = [...from].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each)
  const progress = await lockProgress(batch, wanted)
  // Read behind the lock: whoever removes a conversation's words takes the same.
  const rows = await batch.find(
    'conversations',
    ['id', 'user_id'],
    wanted.map(({ user_id, conversation_id }) => ({ id: conversation_id, user_id })),
    ['id', 'user_id', 'next_seq', 'parent_seq', 'status'],
  )
  const there = new Map(
    rows.filter(({ status }) => status !== erasedStatus).map(row => [keyOf(row.user_id, row.id), row]),
  )
  const gone = wanted.filter(each => !there.has(keyOf(each.user_id, each.conversation_id)))
  await batch.remove('search_progress', ['user_id', 'conversation_id'], gone)
  const keys = await tokens.keys.current(batch, [...new Set(wanted.map(({ user_id }) => user_id))])
  const stretches: Stretch[] = []
  for (const { user_id, conversation_id, from } of wanted) {
    const place = keyOf(user_id, conversation_id)
    const row = there.get(place)
    if (row === undefined) continue
    const key = keys.get(user_id)
    const known = progress.get(place)
    const first = (row.parent_seq ?? -1) + 1
    const isOfKey = known?.key_id === key?.id || known?.key_id === ''
    // What was made with a key that is not in use any more is made anew.
    if (!isOfKey) await batch.search.remove(user_id, conversation_id)
    const indexed = Math.max(isOfKey ? (known?.next_seq ?? 0) : 0, first)
    stretches.push({
      user_id,
      conversation_id,
      indexed,
      key_id: key?.id ?? '',
      tokens: key && tokens.index.tokens(key),
      end: row.next_seq,
      at: Math.min(isOfKey ? from : first, indexed),
    })
  }
  return stretches
}

/** How far conversations are indexed, which nobody else changes before this batch ends. */
async function lockProgress(
  batch: Batch,
  places: readonly { user_id: string; conversation_id: string }[],
): Promise<Map<string, Row<'search_progress'>>> {
  const rows = places.map(({ user_id, conversation_id }) => ({
    user_id,
    conversation_id,
    next_seq: 0,
    key_id: '',
  }))
  await batch.insertAbsent('search_progress', rows)
  const found = await batch.find(
    'search_progress',
    ['conversation_id', 'user_id'],
    rows,
    ['user_id', 'conversation_id', 'next_seq', 'key_id'],
    { lock: true },
  )
  return new Map(found.map(row => [keyOf(row.user_id, row.conversation_id), row]))
}

interface Place {
  readonly user_id: string
  readonly conversation_id: string
  readonly seq: number
  readonly tokens: Tokens
}

/** The next `count` messages of what there is to do. */
function take(stretches: readonly Stretch[], count: number): Place[] {
  const places: Place[] = []
  for (const stretch of stretches) {
    const { user_id, conversation_id, end, tokens } = stretch
    if (tokens === undefined) stretch.at = end
    else
      for (; stretch.at < end && places.length < count; stretch.at++)
        places.push({ user_id, conversation_id, seq: stretch.at, tokens })
  }
  return places
}

/** Writes how far the index has come and takes what is done out of the queue. Returns the keys of what is not. */
async function settle(
  batch: Batch,
  claimed: readonly Row<'search_queue'>[],
  stretches: readonly Stretch[],
): Promise<Set<string>> {
  const waiting = new Map(
    stretches
      .filter(({ at, end }) => at < end)
      .map(stretch => [keyOf(stretch.user_id, stretch.conversation_id), stretch]),
  )
  await batch.update(
    'search_progress',
    ['next_seq', 'key_id'],
    ['user_id', 'conversation_id'],
    stretches
      .filter(({ at, indexed }) => at > indexed)
      .map(({ user_id, conversation_id, at, key_id }) => ({
        set: { next_seq: at, key_id },
        match: { user_id, conversation_id },
      })),
  )
  const stretchOf = (row: Row<'search_queue'>) => waiting.get(keyOf(row.user_id, row.conversation_id))
  await batch.remove(
    'search_queue',
    ['user_id', 'id'],
    claimed.filter(row => stretchOf(row) === undefined),
  )
  // A row of which some is left is changed, not made anew: whoever waits for it then finds it.
  const begun = claimed.flatMap(row => {
    const { user_id, id, from_seq } = row
    const { at } = stretchOf(row) ?? {}
    return from_seq === null || at === undefined || at <= from_seq
      ? []
      : [{ set: { from_seq: at }, match: { user_id, id } }]
  })
  await batch.update('search_queue', ['from_seq'], ['user_id', 'id'], begun)
  return new Set(waiting.keys())
}

async function index(batch: Batch, places: readonly Place[]): Promise<void> {
  const key = ['conversation_id', 'user_id', 'seq'] as const
  const columns = [...key, 'role', 'content', 'created_at'] as const
  const rows = await batch
    .find('messages', key, places, columns)
    .catch(error => (places.length > 1 && isUnreadable(error) ? undefined : readable(error)))
  if (rows === undefined) {
    // One that cannot be read must not keep the others out: whoever reads it is told.
    for (const place of places) await index(batch, [place])
    return
  }
  const tokens = new Map(places.map(place => [keyOf(place.user_id, place.conversation_id), place.tokens]))
  await batch.search.put(
    rows.flatMap(row => documentOf(row, tokens.get(keyOf(row.user_id, row.conversation_id)))),
  )
}

/** Nothing, where content cannot be read or is gone. */
function readable(error: unknown): [] {
  if (isUnreadable(error)) return []
  throw error
}

function isUnreadable(error: unknown): boolean {
  return (
    error instanceof SteleError && (error.code === 'content_unreadable' || error.code === 'content_erased')
  )
}

function documentOf(
  row: Pick<Row<'messages'>, 'user_id' | 'conversation_id' | 'seq' | 'role' | 'content' | 'created_at'>,
  tokens: Tokens | undefined,
): SearchDocument[] {
  if (tokens === undefined || !isSearchedRole(row.role)) return []
  const { words, starts } = indexedText(tokens, searchedContent(row.content))
  if (words.length === 0) return []
  return [
    {
      userId: row.user_id,
      conversationId: row.conversation_id,
      seq: row.seq,
      role: row.role,
      createdAt: row.created_at,
      words,
      starts,
    },
  ]
}
