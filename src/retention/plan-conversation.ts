import type { Row } from '../db/tables.ts'
import { type Cutoffs, latestOf } from './periods.ts'
import type { ExpiryReason } from './tally.ts'

/** What is told of a message without reading what it says. */
export interface MessageFacts {
  readonly seq: number
  readonly created_at: number
  /** Bytes of its content and of its echo; 0 when that is not kept or was never there. */
  readonly content_bytes: number
  readonly echo_bytes: number
  readonly echo_from: number | null
  /** Whether a request may rely on it to be reproduced. */
  readonly is_exact: boolean
}

/** A call that was begun in the conversation. */
export interface CallFacts {
  readonly id: string
  readonly created_at: number
  /** Bytes of what was said in it; 0 when nothing is kept. */
  readonly bytes: number
}

export interface SnapshotFacts {
  readonly id: string
  readonly created_at: number
  readonly bytes: number
}

export type ConversationRow = Pick<
  Row<'conversations'>,
  'user_id' | 'id' | 'parent_id' | 'parent_seq' | 'created_at' | 'updated_at' | 'deleted_at'
> & {
  /** Bytes of its title as it is stored; null when it has none. */
  readonly title_bytes: number | null
}

export interface ConversationFacts {
  readonly conversation: ConversationRow
  /** In order of `seq`. */
  readonly messages: readonly MessageFacts[]
  readonly calls: readonly CallFacts[]
  readonly snapshots: readonly SnapshotFacts[]
  /** Whether a fork that is in use shares its messages. */
  readonly hasLiveFork: boolean
  /** Whether a call is under way here or in a fork: its reply will build on what is here now. */
  readonly isInUse: boolean
}

interface Leaving {
  readonly reason: ExpiryReason
  readonly bytes: number
}

export interface ConversationPlan {
  /** Messages whose rows go: the first ones. */
  readonly removed: readonly (Leaving & { readonly seq: number })[]
  /** Messages that stay without what they say. */
  readonly cleared: readonly (Leaving & { readonly seq: number })[]
  /** Messages on which no request may rely any longer: something before them is gone. */
  readonly inexact: readonly number[]
  /** Calls that stay without what was said in them: the conversation was deleted. */
  readonly clearedCalls: readonly (Leaving & { readonly id: string })[]
  readonly snapshots: readonly (Leaving & { readonly id: string })[]
  readonly title: Leaving | undefined
  /** The conversation is to be deleted: nobody used it. */
  readonly isInactive: boolean
  /** Nothing is left of it. */
  readonly isRemoved: boolean
  /**
   * Whether the message at `seq`, or one that it relies on, is gone. True, too, of what lies before the conversation's own
   * messages and is missing.
   */
  isBroken(seq: number): boolean
}

/** Nothing goes. */
const idle: ConversationPlan = {
  removed: [],
  cleared: [],
  inexact: [],
  clearedCalls: [],
  snapshots: [],
  title: undefined,
  isInactive: false,
  isRemoved: false,
  isBroken: () => false,
}

/**
 * What is to go of a conversation. Nothing in it counts as older than itself. Rows go from the beginning, so that what
 * remains has no gap; what was said goes by each message's own age. While a call is under way nothing does: the next run
 * comes soon enough.
 * @param now the time of the run: what it deletes itself counts as in use until the next one
 */
export function planConversation(facts: ConversationFacts, cutoffs: Cutoffs, now: number): ConversationPlan {
  if (facts.isInUse) return idle
  const { conversation, messages, calls, snapshots, hasLiveFork } = facts
  const ageOf = (createdAt: number): number => Math.max(createdAt, conversation.created_at)
  const isDeleted = conversation.deleted_at !== null && conversation.deleted_at < now
  const isPurged = isDeleted && (conversation.deleted_at ?? now) < cutoffs.deleted && !hasLiveFork
  const reasonFor = (createdAt: number): ExpiryReason | undefined => {
    if (ageOf(createdAt) < cutoffs.content) return 'content'
    return isPurged ? 'deleted' : undefined
  }

  const stays = messages.findIndex(({ created_at }) => ageOf(created_at) >= cutoffs.metadata)
  const removed = stays === -1 ? messages : messages.slice(0, stays)
  const remaining = stays === -1 ? [] : messages.slice(stays)
  const cleared = remaining.flatMap(message => {
    const reason = reasonFor(message.created_at)
    const bytes = message.content_bytes + message.echo_bytes
    return reason === undefined || bytes === 0 ? [] : [{ seq: message.seq, reason, bytes }]
  })
  const isBroken = brokenIn(
    remaining,
    new Set(cleared.map(({ seq }) => seq)),
    conversation.parent_id === null ? missingBefore : sharedBefore((conversation.parent_seq ?? -1) + 1),
  )
  const lastUse = Math.max(conversation.updated_at, conversation.created_at)
  const isRemoved =
    remaining.length === 0 &&
    lastUse < cutoffs.metadata &&
    calls.every(({ created_at }) => created_at < cutoffs.metadata)
  const titleReason = reasonFor(lastUse)
  return {
    removed: removed.map(({ seq, content_bytes, echo_bytes }) => ({
      seq,
      reason: 'metadata',
      bytes: content_bytes + echo_bytes,
    })),
    cleared,
    inexact: remaining.filter(({ seq, is_exact }) => is_exact && isBroken(seq)).map(({ seq }) => seq),
    clearedCalls: !isPurged
      ? []
      : calls.flatMap(({ id, bytes, created_at }) =>
          // What is old enough goes with all other calls of its age.
          bytes > 0 && created_at >= cutoffs.content ? [{ id, reason: 'deleted', bytes }] : [],
        ),
    snapshots: snapshots.flatMap(({ id, created_at, bytes }) => {
      const reason = isRemoved ? 'metadata' : reasonFor(created_at)
      return reason === undefined ? [] : [{ id, reason, bytes }]
    }),
    title:
      conversation.title_bytes === null || isRemoved || titleReason === undefined
        ? undefined
        : { reason: titleReason, bytes: conversation.title_bytes },
    isInactive: conversation.deleted_at === null && !isRemoved && lastUse < cutoffs.inactive && !hasLiveFork,
    isRemoved,
    isBroken,
  }
}

/** What is known of a conversation before its messages are looked at one by one. */
export interface ConversationSummary {
  readonly conversation: ConversationRow
  /** When its first message was made, and the first of those that still say something. */
  readonly oldest: number | undefined
  readonly oldestKept: number | undefined
  readonly oldestSnapshot: number | undefined
  readonly hasKeptCalls: boolean
}

/** False when nothing of a conversation can be due; true may turn out to be nothing. */
export function mayBeDue(
  { conversation, oldest, oldestKept, oldestSnapshot, hasKeptCalls }: ConversationSummary,
  cutoffs: Cutoffs,
): boolean {
  const { created_at, updated_at, deleted_at, title_bytes } = conversation
  if (created_at >= latestOf(cutoffs)) return false
  const before = (time: number | undefined, cutoff: number): boolean =>
    time !== undefined && Math.max(time, created_at) < cutoff
  const isPurged = deleted_at !== null && deleted_at < cutoffs.deleted
  return (
    before(oldestKept, isPurged ? Number.POSITIVE_INFINITY : cutoffs.content) ||
    before(oldestSnapshot, isPurged ? Number.POSITIVE_INFINITY : cutoffs.content) ||
    before(oldest ?? updated_at, cutoffs.metadata) ||
    (title_bytes !== null && (isPurged || before(updated_at, cutoffs.content))) ||
    (deleted_at === null && before(updated_at, cutoffs.inactive)) ||
    (isPurged && hasKeptCalls)
  )
}

type Breaks = (seq: number) => boolean

/** A conversation that shares nothing has every message from 0 on, or has lost it. */
const missingBefore: Breaks = seq => seq >= 0

/** What a fork shares is its parent's affair: when that loses something, its forks are seen to. */
function sharedBefore(own: number): Breaks {
  return seq => seq >= own
}

/** What a row tells of how it is read: by itself and then from the one before it, or from where its echo begins. */
export type Reading = Pick<MessageFacts, 'seq' | 'content_bytes' | 'echo_bytes' | 'echo_from'>

/**
 * Tells for the messages of a conversation whether reading back from one of them meets a message that is gone.
 * @param cleared those that are about to lose what they say
 * @param before the same for sequence numbers of which there is no row
 */
export function brokenIn(messages: readonly Reading[], cleared: ReadonlySet<number>, before: Breaks): Breaks {
  const known = new Map<number, boolean>()
  const isBroken: Breaks = seq => known.get(seq) ?? before(seq)
  for (const { seq, content_bytes, echo_bytes, echo_from } of messages) {
    const isGone = content_bytes === 0 || cleared.has(seq)
    const previous = echo_bytes > 0 && echo_from !== null ? echo_from - 1 : seq - 1
    known.set(seq, isGone || isBroken(previous))
  }
  return isBroken
}
