import { noteLateCalls } from '../analytics/late-calls.ts'
import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { type BeginDecision, begunCall, type CallStart, type PlacedCall, upToSeqOf } from '../model/call.ts'
import { type EventRow, eventRow } from '../store/audit-events.ts'
import { reservedIn } from '../store/instances.ts'
import { beginDocuments } from './apply-documents.ts'
import { claimKeys } from './claim-keys.ts'
import { continued, findRetold, placeContinued, withdraw } from './continue.ts'
import { findAttempts } from './find-attempts.ts'
import { findMatches, firstTellingMessage, type Match } from './find-match.ts'
import { type BeginRows, type Placement, planBegin } from './plan-begin.ts'
import { splitIntoWaves } from './waves.ts'

export interface Begun {
  readonly call: PlacedCall
  readonly decision: BeginDecision
  readonly isRepeat: boolean
  readonly isOwn: boolean
}

/**
 * Writes the intent of calls. Without `careful` it assumes that no call was begun before; a repeat then violates the
 * primary key, the batch is rolled back, and each call is applied again on its own, carefully.
 */
export async function applyBegins(
  batch: Batch,
  starts: readonly CallStart[],
  options: { careful: boolean },
): Promise<Map<string, Begun>> {
  const begun = new Map<string, Begun>()
  await claimKeys(batch, starts)
  // Two calls of one batch may tell the same story from the same beginning: the second must see what the first stored.
  const waves = splitIntoWaves(starts, start => {
    if (start.continues !== undefined) return keyOf(start.userId, start.continues.conversationId)
    const { messages } = start.request
    if (messages.length === 0) return start.callId
    return `${messages[firstTellingMessage(messages)]?.chainHash}${start.userId}`
  })
  for (const wave of waves) await applyWave(batch, wave, options, begun)
  return begun
}

async function applyWave(
  batch: Batch,
  wave: readonly CallStart[],
  options: { careful: boolean },
  begun: Map<string, Begun>,
): Promise<void> {
  const starts = options.careful ? await withoutRepeats(batch, wave, begun) : wave
  if (starts.length === 0) return
  const threaded = starts.filter(isThreaded)
  const repetitions = await findAttempts(batch, threaded)
  const firsts = threaded.filter(({ callId }) => !repetitions.has(callId))
  const matches = continued(
    firsts,
    await findMatches(
      batch,
      firsts.filter(({ continues }) => continues === undefined),
    ),
  )
  const conversations = await lockConversations(batch, firsts, matches)
  const retold = await findRetold(batch, firsts, ({ userId }, id) => conversations.get(keyOf(userId, id)))
  const met = retold.size === 0 ? matches : new Map([...matches, ...retold])
  const underWay = await callsUnderWay(batch, firsts, met, conversations)
  const plans = starts.map(start => {
    if (!isThreaded(start)) return planBegin(start, undefined, { kind: 'apart' })
    const match = matches.get(start.callId)
    const placed =
      repetitions.get(start.callId) ??
      (start.continues === undefined
        ? place(start, match, conversations, underWay)
        : placeContinued(
            start.continues,
            match,
            conversations.get(keyOf(start.userId, start.continues.conversationId)),
            unlessUnderWay(retold.get(start.callId), underWay),
          ))
    return planBegin(start, ...placed)
  })
  await write(batch, starts, plans)
  for (const { call, decision } of plans)
    begun.set(call.callId, { call, decision, isRepeat: false, isOwn: true })
}

/** Whether a call belongs to a conversation: one that is no chat has no messages. */
function isThreaded({ request, continues }: CallStart): boolean {
  return request.messages.length > 0 || continues !== undefined
}

type Conversation = Pick<Row<'conversations'>, 'user_id' | 'id' | 'next_seq' | 'deleted_at'>

const keyOf = (userId: string, id: string): string => `${id} ${userId}`

async function lockConversations(
  batch: Batch,
  starts: readonly CallStart[],
  matches: ReadonlyMap<string, Match>,
): Promise<Map<string, Conversation>> {
  const keys = new Map<string, { user_id: string; id: string }>()
  for (const { callId, userId, conversationId } of starts) {
    for (const id of [matches.get(callId)?.conversationId, conversationId]) {
      if (id !== undefined) keys.set(keyOf(userId, id), { user_id: userId, id })
    }
  }
  if (keys.size === 0) return new Map()
  const columns = ['user_id', 'id', 'next_seq', 'deleted_at'] as const
  const rows = await batch.find('conversations', ['user_id', 'id'], [...keys.values()], columns, {
    lock: true,
  })
  return new Map(rows.filter(row => row.deleted_at === null).map(row => [keyOf(row.user_id, row.id), row]))
}

/** Of the requests that repeat a whole recorded request, those whose first telling still awaits its reply. */
async function callsUnderWay(
  batch: Batch,
  starts: readonly CallStart[],
  matches: ReadonlyMap<string, Match>,
  conversations: ReadonlyMap<string, Conversation>,
): Promise<Set<string>> {
  const asked = starts.flatMap(({ callId, userId, request, continues }): AskedCall[] => {
    const match = matches.get(callId)
    const isWholeRequest =
      continues === undefined
        ? match?.seq === request.messages.length - 1
        : match !== undefined && match.seq > continues.seq
    const isOpenEnd =
      match !== undefined &&
      isWholeRequest &&
      conversations.get(keyOf(userId, match.conversationId))?.next_seq === match.seq + 1
    return isOpenEnd && match.callId !== null ? [{ user_id: userId, request_id: match.callId }] : []
  })
  if (asked.length === 0) return new Set()
  const calls = [...asked, ...(await furtherAttempts(batch, asked))]
  const settled = await batch.find('llm_responses', ['user_id', 'request_id'], calls, ['request_id'])
  const answered = new Set(settled.map(row => row.request_id))
  return new Set(
    calls.filter(call => !answered.has(call.request_id)).map(call => call.first ?? call.request_id),
  )
}

function unlessUnderWay(match: Match | undefined, underWay: ReadonlySet<string>): Match | undefined {
  return match?.callId != null && underWay.has(match.callId) ? undefined : match
}

interface AskedCall {
  readonly user_id: string
  readonly request_id: string
  /** The call of which it is a further attempt. */
  readonly first?: string
}

/** A call that failed may be under way again as a retry, to which the message's row does not lead. */
async function furtherAttempts(batch: Batch, firsts: readonly AskedCall[]): Promise<AskedCall[]> {
  const keys = firsts.map(({ user_id, request_id }) => ({ group_id: request_id, user_id }))
  const columns = ['user_id', 'id', 'group_id'] as const
  const where = 'route_mode IS NOT NULL'
  const rows = await batch.find('llm_requests', ['group_id', 'user_id'], keys, columns, { where })
  return rows.map(row => ({ user_id: row.user_id, request_id: row.id, first: row.group_id ?? row.id }))
}

/** Decides where a call's messages go, and which match holds for them. */
function place(
  { userId, conversationId, request }: CallStart,
  match: Match | undefined,
  conversations: ReadonlyMap<string, Conversation>,
  underWay: ReadonlySet<string>,
): [Match | undefined, Placement] {
  const named = conversationId === undefined ? undefined : conversations.get(keyOf(userId, conversationId))
  if (conversationId !== undefined && named === undefined) {
    throw new SteleError(
      'conversation_not_found',
      { conversation: conversationId },
      { param: 'conversation' },
    )
  }
  const target = match && conversations.get(keyOf(userId, match.conversationId))
  if (match === undefined || target === undefined) {
    // A named conversation that is still empty takes the messages; one that says something else is forked from nothing.
    if (named?.next_seq === 0) return [undefined, { kind: 'append', conversationId: named.id }]
    return [
      undefined,
      named === undefined ? { kind: 'new' } : { kind: 'new', parent: { id: named.id, seq: -1 } },
    ]
  }
  const isRepeatUnderWay =
    match.callId !== null && match.seq === request.messages.length - 1 && underWay.has(match.callId)
  if (target.next_seq === match.seq + 1 && !isRepeatUnderWay)
    return [match, { kind: 'append', conversationId: target.id }]
  return [match, { kind: 'new', parent: { id: target.id, seq: match.seq } }]
}

async function write(batch: Batch, starts: readonly CallStart[], plans: readonly BeginRows[]): Promise<void> {
  const updates = plans
    .filter(plan => plan.conversation === undefined && plan.messages.length > 0)
    .map(({ call, messages }) => ({
      set: { next_seq: call.upToSeq + 1, updated_at: call.createdAt },
      match: { user_id: call.userId, id: call.conversationId, next_seq: messages[0]?.seq ?? 0 },
    }))
  const [updated] = await Promise.all([
    updates.length === 0
      ? 0
      : batch.update('conversations', ['next_seq', 'updated_at'], ['user_id', 'id', 'next_seq'], updates),
    batch.insert(
      'conversations',
      plans.flatMap(plan => plan.conversation ?? []),
    ),
    batch.insert(
      'messages',
      plans.flatMap(plan => plan.messages),
    ),
    batch.insert(
      'llm_requests',
      plans.map(plan => plan.request),
    ),
    noteLateCalls(
      batch,
      plans.map(plan => plan.request),
    ),
    batch.insert('audit_events', starts.map(auditRow)),
    insertResponses(batch, plans),
    beginDocuments(batch, starts),
    withdraw(batch, starts),
  ])
  if (updated !== updates.length)
    throw new SteleError('record_rejected', { reason: 'a conversation moved under its lock' })
}

function auditRow({ callId: target, userId, apiKeyId: by = 'library', createdAt }: CallStart): EventRow {
  return eventRow({ userId, by, action: 'call.begun', target }, createdAt)
}

/** Few calls are of a response. */
async function insertResponses(batch: Batch, plans: readonly BeginRows[]): Promise<void> {
  const rows = plans.flatMap(plan => plan.response ?? [])
  if (rows.length > 0) await batch.insert('responses', rows)
}

/** Takes out calls that are recorded already and answers for them from the record. */
async function withoutRepeats(
  batch: Batch,
  starts: readonly CallStart[],
  begun: Map<string, Begun>,
): Promise<CallStart[]> {
  const keys = starts.map(({ userId, callId }) => ({ user_id: userId, id: callId }))
  const columns = [
    'user_id',
    'id',
    'conversation_id',
    'prompt_hash',
    'request_model',
    'messages_at',
    'instance_id',
    'created_at',
    'reserved_tokens',
    'reserved_nanousd',
  ] as const
  const rows = await batch.find('llm_requests', ['user_id', 'id'], keys, columns)
  const known = new Map(rows.map(row => [row.id, row]))
  const settled = await settledOf(batch, rows)
  const conversations = await batch.find(
    'conversations',
    ['user_id', 'id'],
    rows.map(row => ({ user_id: row.user_id, id: row.conversation_id })),
    ['id', 'parent_seq'],
  )
  const forkedAt = new Map(conversations.map(row => [row.id, row.parent_seq]))
  return starts.filter(start => {
    const row = known.get(start.callId)
    if (row === undefined) return true
    if (row.prompt_hash !== start.request.promptHash || row.request_model !== start.requestModel) {
      throw new SteleError('call_id_conflict', { call: start.callId })
    }
    const decision = {
      conversationId: row.conversation_id,
      isKeptWhole: row.messages_at === null,
      // A fork from the request's own end has no message of its own before the reply.
      anchorsReply: forkedAt.get(row.conversation_id) === upToSeqOf(start),
      reserved: reservedIn(row),
    }
    const isOwn =
      row.instance_id === start.instanceId && row.created_at === start.createdAt && !settled.has(start.callId)
    begun.set(start.callId, { call: begunCall(start, decision), decision, isRepeat: true, isOwn })
    return false
  })
}

async function settledOf(
  batch: Batch,
  calls: readonly Pick<Row<'llm_requests'>, 'user_id' | 'id'>[],
): Promise<Set<string>> {
  const keys = calls.map(({ user_id, id }) => ({ user_id, request_id: id }))
  const rows = await batch.find('llm_responses', ['user_id', 'request_id'], keys, ['request_id'])
  return new Set(rows.map(row => row.request_id))
}
