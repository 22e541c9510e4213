import type { Batch, Kept } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { isSearchedRole } from '../model/searched-text.ts'
import { encodeContent } from '../privacy/content.ts'
import { newMessageRow } from '../store/new-rows.ts'
import { queueForSearch } from '../store/search-queue.ts'
import { type Claimant, claimKeys, releaseKey } from './claim-keys.ts'
import { isUntelling } from './find-match.ts'
import { findTips, type Tip, type TipPlace } from './find-tips.ts'
import type {
  AppendedMessage,
  AppendOperation,
  Applied,
  ConversationPlace,
  OperationResult,
} from './operations.ts'
import { describe } from './refusal.ts'
import { takenSessions } from './sessions.ts'

/** A conversation while a batch adds to it. */
interface Target {
  readonly place: TipPlace & { readonly nextSeq: number }
  /** The row that it begins with, when it is made now. */
  readonly creation: (Row<'conversations'> & Kept) | undefined
  readonly createdAt: number
  readonly isDeleted: boolean
  tip: Tip | undefined
  nextSeq: number
  updatedAt: number
}

/**
 * Adds messages to the ends of conversations, whatever the number of appends to one of them, and makes the conversations
 * that come with their first messages. An append that cannot be made is refused alone: the others of its batch are
 * committed.
 */
export async function applyAppends(
  batch: Batch,
  appends: readonly AppendOperation[],
  hashes: ConversationHashes,
): Promise<Map<AppendOperation, Applied>> {
  const outcomes = new Map<AppendOperation, Applied>()
  if (appends.length === 0) return outcomes
  const targets = await lockTargets(batch, appends)
  const sessions = await takenSessions(batch, sessionsOf(appends))
  const recorded = await recordedSeqs(batch, appends)
  const rows: (Row<'messages'> & Kept)[] = []
  for (const append of appends) {
    try {
      const { conversationId } = append
      const known = recorded.get(append.messages[0]?.id ?? '')
      const placed =
        known === undefined
          ? await underKey(batch, append, () => addTo(targets, sessions, append, hashes, rows))
          : { seq: known }
      outcomes.set(append, {
        ok: true,
        result: { conversationId, isRepeat: known !== undefined, ...placed },
      })
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      outcomes.set(append, { ok: false, error: describe(error) })
    }
  }
  await write(batch, [...targets.values()], rows)
  return outcomes
}

/** Does what an append says with its idempotency key taken, which stays free when it cannot be done. */
async function underKey<T>(batch: Batch, append: AppendOperation, work: () => T): Promise<T> {
  const { claim, creation, conversationId, messages, userId, createdAt } = append
  if (claim === undefined) return work()
  const made = creation === undefined ? messages[0]?.id : conversationId
  const claimant: Claimant = { callId: made ?? conversationId, userId, claim, createdAt }
  await claimKeys(batch, [claimant])
  try {
    return work()
  } catch (error) {
    await releaseKey(batch, claimant)
    throw error
  }
}

const keyOf = (userId: string, id: string): string => `${id} ${userId}`

async function lockTargets(batch: Batch, appends: readonly AppendOperation[]): Promise<Map<string, Target>> {
  const keys = new Map(
    appends.map(({ userId, conversationId }) => [
      keyOf(userId, conversationId),
      { user_id: userId, id: conversationId },
    ]),
  )
  const columns = [
    'user_id',
    'id',
    'next_seq',
    'parent_id',
    'parent_seq',
    'created_at',
    'updated_at',
    'deleted_at',
  ] as const
  const rows = await batch.find('conversations', ['user_id', 'id'], [...keys.values()], columns, {
    lock: true,
  })
  const places = rows.map(row => ({
    userId: row.user_id,
    id: row.id,
    parentId: row.parent_id,
    parentSeq: row.parent_seq,
    nextSeq: row.next_seq,
  }))
  const tips = await findTips(batch, places)
  return new Map(
    rows.map((row, index): [string, Target] => {
      const place = places[index]
      if (place === undefined) throw new Error('a conversation without a place')
      return [
        keyOf(row.user_id, row.id),
        {
          place,
          creation: undefined,
          createdAt: row.created_at,
          isDeleted: row.deleted_at !== null,
          tip: tips.get(place),
          nextSeq: row.next_seq,
          updatedAt: row.updated_at,
        },
      ]
    }),
  )
}

/** Where an append has put its first message, and what it made of the conversation. */
type Placed = Pick<OperationResult, 'updatedAt'> & { readonly seq: number }

/** Adds to `rows` what is appended. */
function addTo(
  targets: Map<string, Target>,
  sessions: Set<string>,
  append: AppendOperation,
  hashes: ConversationHashes,
  rows: (Row<'messages'> & Kept)[],
): Placed {
  const { userId, conversationId, creation, expectedSeq, messages } = append
  const key = keyOf(userId, conversationId)
  const target = targets.get(key)
  if (creation !== undefined) {
    if (target !== undefined) {
      // Made by this very operation before: its messages were committed with it.
      if (append.isRepeat === true && target.createdAt === creation.created_at) return { seq: 0 }
      throw new SteleError('already_exists', { what: `The conversation '${conversationId}'` })
    }
    const session = creation.session_id
    if (session !== null) {
      if (sessions.has(keyOf(userId, session)))
        throw new SteleError('already_exists', { what: `A conversation of the session '${session}'` })
      sessions.add(keyOf(userId, session))
    }
    const made = newTarget({ ...creation, writtenWith: append.apiKeyId })
    targets.set(key, made)
    return extend(made, append, hashes, rows)
  }
  if (target === undefined || target.isDeleted)
    throw new SteleError(
      'conversation_not_found',
      { conversation: conversationId },
      { param: 'conversation' },
    )
  if (expectedSeq !== undefined && expectedSeq !== target.nextSeq)
    throw new SteleError('sequence_conflict', {
      conversation: conversationId,
      expected: expectedSeq,
      actual: target.nextSeq,
    })
  if (messages.length > 0 && target.tip === undefined)
    throw new SteleError('content_unreadable', {
      reason: `message ${target.nextSeq - 1} of the conversation ${conversationId} is missing`,
    })
  return extend(target, append, hashes, rows)
}

function newTarget(creation: Row<'conversations'> & Kept): Target {
  return {
    place: { userId: creation.user_id, id: creation.id, parentId: null, parentSeq: null, nextSeq: 0 },
    creation,
    createdAt: creation.created_at,
    isDeleted: false,
    tip: { chainHash: '', wireHash: '' },
    nextSeq: 0,
    updatedAt: creation.updated_at,
  }
}

function extend(
  target: Target,
  append: AppendOperation,
  hashes: ConversationHashes,
  rows: (Row<'messages'> & Kept)[],
): Placed {
  const { nextSeq: seq, updatedAt: before } = target
  if (append.messages.length === 0) return { seq }
  for (const [index, message] of append.messages.entries()) {
    const before = target.tip ?? { chainHash: '', wireHash: '' }
    const tip = {
      chainHash: hashes.chain(before.chainHash, message.canonical),
      wireHash: hashes.wire(before.wireHash, message.raw),
    }
    const isAnchor = isFound(append.messages, index, target)
    rows.push({ ...messageRow(target, message, tip, isAnchor), writtenWith: append.apiKeyId })
    target.tip = tip
    target.nextSeq++
  }
  target.updatedAt = Math.max(before, append.createdAt)
  return { seq, updatedAt: { before, after: target.updatedAt } }
}

/**
 * Whether a message is looked up by its hash: as with those of a request, but a reply that follows a message of the same
 * conversation is always reached through that one.
 */
function isFound(messages: readonly AppendedMessage[], index: number, { place, nextSeq }: Target): boolean {
  const role = messages[index]?.role ?? ''
  if (role === 'assistant') return nextSeq === (place.parentSeq ?? -1) + 1
  return (
    !isUntelling(role) ||
    index === messages.length - 1 ||
    messages.slice(0, index).some(message => !isUntelling(message.role))
  )
}

function messageRow(
  { place, nextSeq }: Target,
  message: AppendedMessage,
  { chainHash, wireHash }: Tip,
  isAnchor: boolean,
): Row<'messages'> {
  return newMessageRow({
    user_id: place.userId,
    conversation_id: place.id,
    seq: nextSeq,
    id: message.id,
    role: message.role,
    content: encodeContent(message.raw),
    model: message.model ?? null,
    chain_hash: chainHash,
    is_anchor: isAnchor ? 1 : 0,
    wire_hash: wireHash,
    created_at: message.createdAt,
    intent: message.intent ?? null,
    cost_nanousd: message.costNanousd ?? null,
    metadata: message.metadata ?? null,
    items: message.items === undefined ? null : encodeContent(message.items),
  })
}

async function write(
  batch: Batch,
  targets: readonly Target[],
  rows: (Row<'messages'> & Kept)[],
): Promise<void> {
  const updates = targets
    .filter(({ creation, place, nextSeq }) => creation === undefined && nextSeq !== place.nextSeq)
    .map(({ place, nextSeq, updatedAt }) => ({
      set: { next_seq: nextSeq, updated_at: updatedAt },
      match: { user_id: place.userId, id: place.id, next_seq: place.nextSeq },
    }))
  const updated = await batch.update(
    'conversations',
    ['next_seq', 'updated_at'],
    ['user_id', 'id', 'next_seq'],
    updates,
  )
  if (updated !== updates.length)
    throw new SteleError('record_rejected', { reason: 'a conversation moved under its lock' })
  const creations = targets.flatMap(({ creation, nextSeq, updatedAt }) =>
    creation === undefined ? [] : [{ ...creation, next_seq: nextSeq, updated_at: updatedAt }],
  )
  await batch.insert('conversations', creations)
  await batch.insert('messages', rows)
  await queueForSearch(batch, rows.filter(({ role }) => isSearchedRole(role)).map(placeOfConversation))
}

function placeOfConversation({ user_id, conversation_id }: Row<'messages'>): ConversationPlace {
  return { userId: user_id, conversationId: conversation_id }
}

function sessionsOf(appends: readonly AppendOperation[]): { user_id: string; session_id: string }[] {
  return appends.flatMap(({ userId, creation }) =>
    creation?.session_id == null ? [] : [{ user_id: userId, session_id: creation.session_id }],
  )
}

/**
 * Of appends that may have been committed before: where the messages are that have been. Reads the whole conversation,
 * which is seldom needed and cheaper for every append than an index of ids would be.
 */
async function recordedSeqs(batch: Batch, appends: readonly AppendOperation[]): Promise<Map<string, number>> {
  const repeats = appends.filter(({ isRepeat, creation }) => isRepeat === true && creation === undefined)
  const keys = new Map(
    repeats.map(({ userId, conversationId }) => [
      keyOf(userId, conversationId),
      { conversation_id: conversationId, user_id: userId },
    ]),
  )
  if (keys.size === 0) return new Map()
  const rows = await batch.find('messages', ['conversation_id', 'user_id'], [...keys.values()], ['id', 'seq'])
  return new Map(rows.map(({ id, seq }) => [id, seq]))
}
