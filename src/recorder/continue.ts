import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { CallStart } from '../model/call.ts'
import type { Continuation } from '../model/prepared-request.ts'
import type { Match } from './find-match.ts'
import type { Placement } from './plan-begin.ts'

/** Adds, for calls that know where they go on, that everything up to there is recorded as it was sent. */
export function continued(
  starts: readonly CallStart[],
  matches: ReadonlyMap<string, Match>,
): ReadonlyMap<string, Match> {
  const known = starts.flatMap(({ callId, continues }): [string, Match][] => {
    if (continues === undefined) return []
    const { conversationId, seq } = continues
    return [[callId, { conversationId, seq, callId: null, exactUpTo: seq }]]
  })
  return known.length === 0 ? matches : new Map([...matches, ...known])
}

/** What of a conversation is looked at. */
type Place = Pick<Row<'conversations'>, 'next_seq'>

const messageColumns = ['user_id', 'conversation_id', 'seq', 'wire_hash', 'call_id', 'deleted_at'] as const

/**
 * Of calls that go on from an earlier message, those that say again what stands at the end of that conversation and got no
 * reply: where that is. Whether it may still get one is not known here.
 * @param conversationOf the conversation that a call goes on from
 */
export async function findRetold(
  batch: Batch,
  starts: readonly CallStart[],
  conversationOf: (start: CallStart, id: string) => Place | undefined,
): Promise<Map<string, Match>> {
  const asked = starts.flatMap(start => {
    const { continues, request, userId } = start
    const added = request.messages.length
    if (continues === undefined || continues.onlyAtEnd === true || added === 0) return []
    const { conversationId, seq } = continues
    if (conversationOf(start, conversationId)?.next_seq !== seq + 1 + added) return []
    const keys = request.messages.map((_, index) => ({
      conversation_id: conversationId,
      user_id: userId,
      seq: seq + 1 + index,
    }))
    return [{ start, continues, keys }]
  })
  if (asked.length === 0) return new Map()
  const keys = asked.flatMap(each => each.keys)
  const rows = await batch.find('messages', ['conversation_id', 'user_id', 'seq'], keys, messageColumns)
  return new Map(
    asked.flatMap(({ start, continues, keys }): [string, Match][] => {
      const own = keys.flatMap(key => rows.find(row => isAt(row, key)) ?? [])
      const last = own.at(-1)
      const said = start.request.messages.at(-1)
      // In the same words, or nothing on record would tell what was sent.
      const isSame = own.length === keys.length && last?.wire_hash === said?.wireHash
      if (last === undefined || !isSame || own.some(row => row.deleted_at !== null)) return []
      const { conversationId } = continues
      const { seq } = last
      return [[start.callId, { conversationId, seq, callId: last.call_id, exactUpTo: seq }]]
    }),
  )
}

interface MessageKey {
  readonly conversation_id: string
  readonly user_id: string
  readonly seq: number
}

function isAt(row: MessageKey, key: MessageKey): boolean {
  return row.seq === key.seq && row.conversation_id === key.conversation_id && row.user_id === key.user_id
}

/**
 * Where the new messages of a call go that knows where it goes on: onto the end of that conversation, nowhere when they
 * stand there in vain, or into a fork when it has gone on meanwhile. @throws SteleError conversation_not_found, conversation_locked
 */
export function placeContinued(
  { conversationId, seq, onlyAtEnd }: Continuation,
  match: Match | undefined,
  conversation: Place | undefined,
  retold: Match | undefined,
): [Match | undefined, Placement] {
  const naming = { conversation: conversationId }
  if (conversation === undefined)
    throw new SteleError('conversation_not_found', naming, { param: 'conversation' })
  if (conversation.next_seq === seq + 1) return [match, { kind: 'append', conversationId }]
  if (retold !== undefined) return [retold, { kind: 'append', conversationId }]
  if (onlyAtEnd === true) throw new SteleError('conversation_locked', naming, { param: 'conversation' })
  return [match, { kind: 'new', parent: { id: conversationId, seq } }]
}

/** Takes messages out of the conversations that calls go on from, in their transactions. */
export async function withdraw(batch: Batch, starts: readonly CallStart[]): Promise<void> {
  const updates = starts.flatMap(({ userId, createdAt, continues }) =>
    (continues?.withdraws ?? []).map(seq => ({
      set: { deleted_at: createdAt },
      match: { conversation_id: continues?.conversationId ?? '', user_id: userId, seq },
    })),
  )
  if (updates.length > 0)
    await batch.update('messages', ['deleted_at'], ['conversation_id', 'user_id', 'seq'], updates)
}
