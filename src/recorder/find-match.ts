import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import type { CallStart } from '../model/call.ts'
import type { PreparedMessage } from '../model/prepared-request.ts'

const columns = ['user_id', 'conversation_id', 'seq', 'chain_hash', 'wire_hash', 'call_id'] as const

export type KnownMessage = Pick<Row<'messages'>, (typeof columns)[number]>

/** Where a request continues what is recorded. */
export interface Match {
  readonly conversationId: string
  /** The sequence number of the last message of the request that is recorded already. */
  readonly seq: number
  /** The call that stored that message. */
  readonly callId: string | null
  /** Up to here, stored text reproduces what the client sent; -1 when nothing does. */
  readonly exactUpTo: number
}

/**
 * How many messages are looked up at a time, counted from the end. A conversation's last exchange is where nearly every
 * request continues; tools put a few more in between, and only edits and forks reach further back.
 */
const windows = [3, 6, Number.POSITIVE_INFINITY]

/** Of more conversations than this that begin alike only the latest are looked at. */
const maxCandidates = 20

const untelling: ReadonlySet<string> = new Set(['system', 'developer', 'assistant'])

/** Instructions and a greeting do not tell one conversation from another. */
export function isUntelling(role: string): boolean {
  return untelling.has(role)
}

/** The first message of the user's. */
export function firstTellingMessage(messages: readonly PreparedMessage[]): number {
  const index = messages.findIndex(({ role }) => !isUntelling(role))
  return index === -1 ? messages.length - 1 : index
}

interface Search {
  readonly start: CallStart
  /** Depths that have not been looked up, the shallowest first. */
  readonly unseen: number[]
}

/** For each call, the deepest recorded prefix of its messages. */
export async function findMatches(batch: Batch, starts: readonly CallStart[]): Promise<Map<string, Match>> {
  const candidates = new Map<string, Match[]>()
  const found = new Map<string, KnownMessage[]>()
  let searches = starts.map((start): Search => ({ start, unseen: depthsOf(start) }))
  for (const window of windows) {
    await lookUp(batch, searches, window, found)
    searches = searches.filter(({ start, unseen }) => {
      const matches = matchesOf(start, found)
      candidates.set(start.callId, matches)
      // Looking on for text that is stored as sent: without an end to what differs, all of the history is kept again.
      return unseen.length > 0 && matches.every(match => match.exactUpTo === -1)
    })
    if (searches.length === 0) break
  }
  return followReplies(batch, starts, candidates)
}

/**
 * Moves matches on over the replies that follow them, which are not looked up by hash. Of several conversations that
 * are the same up to there, this tells which one the request goes on with.
 */
async function followReplies(
  batch: Batch,
  starts: readonly CallStart[],
  candidates: ReadonlyMap<string, readonly Match[]>,
): Promise<Map<string, Match>> {
  const matches = new Map<string, Match>()
  let reached = starts.flatMap(start => (candidates.get(start.callId) ?? []).map(match => ({ start, match })))
  while (reached.length > 0) {
    // Of those that reach as far the first is preferred, so it is set last.
    for (const { start, match } of reached.toReversed()) matches.set(start.callId, match)
    const next = reached.flatMap(({ start, match }) => {
      const message = start.request.messages[match.seq + 1]
      return message?.role === 'assistant' ? [{ start, match, message }] : []
    })
    const keys = next.map(({ start, match }) => ({
      conversation_id: match.conversationId,
      user_id: start.userId,
      seq: match.seq + 1,
    }))
    const rows = await batch.find('messages', ['conversation_id', 'user_id', 'seq'], keys, columns)
    const found = new Map(rows.map(row => [`${row.seq} ${row.conversation_id} ${row.user_id}`, row]))
    reached = next.flatMap(({ start, match, message }) => {
      const seq = match.seq + 1
      const row = found.get(`${seq} ${match.conversationId} ${start.userId}`)
      if (row?.chain_hash !== message.chainHash) return []
      const exactUpTo = row.wire_hash === message.wireHash ? seq : match.exactUpTo
      return [{ start, match: { ...match, seq, callId: row.call_id, exactUpTo } }]
    })
  }
  return matches
}

function depthsOf(start: CallStart): number[] {
  const { messages } = start.request
  // A named conversation need not be told from others, and may hold no more than instructions yet.
  const first = start.conversationId === undefined ? firstTellingMessage(messages) : 0
  return messages.map((_, index) => index).slice(first)
}

/** Adds what is known of the deepest unseen messages of each search. */
async function lookUp(
  batch: Batch,
  searches: readonly Search[],
  window: number,
  found: Map<string, KnownMessage[]>,
): Promise<void> {
  const anywhere = new Map<string, { user_id: string; chain_hash: string }>()
  const named = new Map<string, { conversation_id: string; user_id: string; seq: number }>()
  for (const { start, unseen } of searches) {
    const { userId, conversationId, request } = start
    for (const depth of unseen.splice(-window)) {
      const chainHash = request.messages[depth]?.chainHash ?? ''
      const key = keyOf(chainHash, userId, conversationId)
      if (found.has(key)) continue
      if (conversationId === undefined) anywhere.set(key, { user_id: userId, chain_hash: chainHash })
      else named.set(key, { conversation_id: conversationId, user_id: userId, seq: depth })
    }
  }
  const where = 'is_anchor = 1'
  // What many say first, and many are told, may be there any number of times.
  const latest = { by: 'conversation_id', limit: maxCandidates }
  const rows = await batch.find('messages', ['user_id', 'chain_hash'], [...anywhere.values()], columns, {
    where,
    latest,
  })
  const by = ['conversation_id', 'user_id', 'seq'] as const
  const own = await batch.find('messages', by, [...named.values()], columns, { where })
  for (const [key, group] of Map.groupBy(rows, row => keyOf(row.chain_hash, row.user_id, undefined)))
    found.set(key, group)
  for (const row of own) found.set(keyOf(row.chain_hash, row.user_id, row.conversation_id), [row])
}

function keyOf(chainHash: string | undefined, userId: string, conversationId: string | undefined): string {
  return `${chainHash} ${conversationId ?? ''} ${userId}`
}

/** Where the deepest known message of a request stands; more than once when conversations are the same up to there. */
function matchesOf(
  { userId, conversationId, request }: CallStart,
  found: ReadonlyMap<string, KnownMessage[]>,
): Match[] {
  const { messages } = request
  const known = (depth: number): KnownMessage[] =>
    (found.get(keyOf(messages[depth]?.chainHash, userId, conversationId)) ?? []).filter(
      row => row.seq === depth,
    )
  for (let depth = messages.length - 1; depth >= 0; depth--) {
    const rows = latestFirst(known(depth))
    if (rows.length === 0) continue
    return rows.map(row => {
      const inSameConversation = (at: number): KnownMessage[] =>
        known(at).filter(other => other.conversation_id === row.conversation_id)
      return {
        conversationId: row.conversation_id,
        seq: depth,
        callId: row.call_id,
        exactUpTo: exactUpTo(messages, depth, inSameConversation),
      }
    })
  }
  return []
}

function latestFirst(rows: readonly KnownMessage[]): readonly KnownMessage[] {
  return rows.length < 2 ? rows : rows.toSorted((a, b) => (a.conversation_id > b.conversation_id ? -1 : 1))
}

function exactUpTo(
  messages: readonly PreparedMessage[],
  from: number,
  known: (depth: number) => readonly KnownMessage[],
): number {
  for (let depth = from; depth >= 0; depth--) {
    const wireHash = messages[depth]?.wireHash
    if (known(depth).some(row => row.wire_hash === wireHash)) return depth
  }
  return -1
}
