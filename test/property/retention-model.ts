import type { Row } from '../../src/db/tables.ts'
import type { RetentionDefaults } from '../../src/retention/periods.ts'
import type { Tally } from '../../src/retention/tally.ts'
import type { Stele } from '../../src/stele.ts'
import { storedRowsOf } from '../harness/rows.ts'

/** Everything that retention may change, and what it decides by. */
export interface Tables {
  readonly conversations: Row<'conversations'>[]
  readonly messages: Row<'messages'>[]
  readonly llm_requests: Row<'llm_requests'>[]
  readonly llm_responses: Row<'llm_responses'>[]
  readonly context_snapshots: Row<'context_snapshots'>[]
  readonly idempotency_keys: Row<'idempotency_keys'>[]
  readonly usage_daily: Row<'usage_daily'>[]
}

export const watched = [
  'conversations',
  'messages',
  'llm_requests',
  'llm_responses',
  'context_snapshots',
  'idempotency_keys',
  'usage_daily',
] as const

export async function tablesOf(stele: Pick<Stele, 'database'>): Promise<Tables> {
  const tables: Record<string, unknown> = {}
  for (const table of watched) tables[table] = await storedRowsOf(stele.database, table)
  return plain(tables) as unknown as Tables
}

/** Bytes as text, so that rows of every database compare. */
function plain(tables: Record<string, unknown>): unknown {
  return JSON.parse(
    JSON.stringify(tables, (_name, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : bufferText(value),
    ),
  )
}

/** A Buffer has become an object before the replacer sees it. */
function bufferText(value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: number[] }
  return type === 'Buffer' && Array.isArray(data) ? Buffer.from(data).toString('hex') : value
}

const day = 86_400_000
const absent = '03'

/** A value of the bytes columns, as `tablesOf` has it. */
const hex = (value: unknown): string | null => value as string | null
const sizeOf = (value: unknown): number => {
  const bytes = (hex(value)?.length ?? 0) / 2
  return bytes > 1 ? bytes : 0
}

interface Expected {
  readonly tables: Tables
  readonly tallies: Tally[]
}

/** What a run must leave and what it must count, by going through every row with every other. */
export function expectedAfter(
  before: Tables,
  policies: readonly Row<'retention_policies'>[],
  defaults: RetentionDefaults,
  now: number,
): Expected {
  const tallies: Tally[] = []
  const cutoffs = (user: string) => {
    const own = policies.find(policy => policy.user_id === user)
    const at = (days: number | null | undefined): number =>
      days ? now - days * day : Number.NEGATIVE_INFINITY
    const days = {
      content: own?.content_days ?? defaults.contentDays,
      metadata: own?.metadata_days ?? defaults.metadataDays,
      inactive: own?.inactive_days ?? defaults.inactiveDays,
    }
    const words = (value: number | undefined) => (value ? `${value} d` : 'for ever')
    return {
      content: Math.max(at(days.content), at(days.metadata)),
      metadata: at(days.metadata),
      inactive: at(days.inactive),
      deleted: at(defaults.deletedDays),
      group:
        own === undefined
          ? 'default'
          : `content ${words(days.content)}, metadata ${words(days.metadata)}, inactive ${words(days.inactive)}`,
    }
  }
  const count = (
    user: string,
    reason: Tally['reason'],
    kind: Tally['kind'],
    ...values: readonly unknown[]
  ): void => {
    const bytes = values.reduce<number>((sum, value) => sum + sizeOf(value), 0)
    tallies.push({ group: cutoffs(user).group, reason, kind, rows: 1, bytes })
  }

  const after = structuredClone(before) as Tables
  const mine = <T extends { user_id: string }>(rows: T[], { user_id }: { user_id: string }): T[] =>
    rows.filter(row => row.user_id === user_id)
  const replyOf = (call: Row<'llm_requests'>) =>
    mine(before.llm_responses, call).find(reply => reply.request_id === call.id)
  const forksOf = (conversation: Row<'conversations'>) =>
    mine(before.conversations, conversation).filter(other => other.parent_id === conversation.id)
  const callsOf = (conversation: Row<'conversations'>) =>
    mine(before.llm_requests, conversation).filter(call => call.conversation_id === conversation.id)
  const isInUse = (conversation: Row<'conversations'>): boolean =>
    callsOf(conversation).some(call => replyOf(call) === undefined) || forksOf(conversation).some(isInUse)
  const clearCall = (call: Row<'llm_requests'>): void => {
    const kept = after.llm_requests.find(row => row.id === call.id && row.user_id === call.user_id)
    const reply = after.llm_responses.find(row => row.request_id === call.id && row.user_id === call.user_id)
    Object.assign(kept ?? {}, {
      params: null,
      messages_at: null,
      separator: null,
      body: absent,
      sent: null,
    })
    if (reply !== undefined)
      Object.assign(reply, {
        body: reply.body === null ? null : absent,
        content_at: null,
        error_message: null,
      })
  }

  for (const call of before.llm_requests) {
    const reply = replyOf(call)
    const { content, metadata } = cutoffs(call.user_id)
    if (reply === undefined || call.created_at >= content) continue
    const said = [call.params, call.body, call.sent, reply.body]
    if (call.created_at < metadata) {
      count(call.user_id, 'metadata', 'calls', ...said)
      drop(after.llm_requests, row => row.id === call.id && row.user_id === call.user_id)
      drop(after.llm_responses, row => row.request_id === call.id && row.user_id === call.user_id)
      drop(after.idempotency_keys, row => row.call_id === call.id && row.user_id === call.user_id)
    } else if (said.some(value => sizeOf(value) > 0)) {
      count(call.user_id, 'content', 'calls', ...said)
      clearCall(call)
    }
  }

  for (const conversation of before.conversations) {
    if (isInUse(conversation)) continue
    const { user_id, id, created_at, updated_at, deleted_at } = conversation
    const { content, metadata, inactive, deleted } = cutoffs(user_id)
    const isOwn = (row: { user_id: string; conversation_id: string }) =>
      row.user_id === user_id && row.conversation_id === id
    const ageOf = (time: number) => Math.max(time, created_at)
    const hasLiveFork = forksOf(conversation).some(
      fork => fork.deleted_at === null && Math.max(fork.updated_at, fork.created_at) >= metadata,
    )
    const isPurged = deleted_at !== null && deleted_at < deleted && !hasLiveFork
    const why = (time: number) =>
      ageOf(time) < content ? ('content' as const) : isPurged ? ('deleted' as const) : undefined
    const own = before.messages.filter(isOwn).sort((a, b) => a.seq - b.seq)
    const firstKept = own.find(message => ageOf(message.created_at) >= metadata)?.seq
    for (const message of own) {
      const row = after.messages.find(other => isOwn(other) && other.seq === message.seq)
      const reason = why(message.created_at)
      if (firstKept === undefined || message.seq < firstKept) {
        count(user_id, 'metadata', 'messages', message.content, message.echo)
        drop(after.messages, other => other === row)
      } else if (reason !== undefined && sizeOf(message.content) + sizeOf(message.echo) > 0) {
        count(user_id, reason, 'messages', message.content, message.echo)
        Object.assign(row ?? {}, { content: absent, echo: null, echo_from: null, wire_hash: '' })
      }
    }
    if (isPurged)
      for (const call of callsOf(conversation)) {
        const said = [call.params, call.body, call.sent, replyOf(call)?.body]
        if (call.created_at < content || said.every(value => sizeOf(value) === 0)) continue
        count(user_id, 'deleted', 'calls', ...said)
        clearCall(call)
      }
    const lastUse = ageOf(updated_at)
    const isRemoved =
      firstKept === undefined &&
      lastUse < metadata &&
      callsOf(conversation).every(call => call.created_at < metadata)
    for (const snapshot of before.context_snapshots.filter(isOwn)) {
      const reason = isRemoved ? 'metadata' : why(snapshot.created_at)
      if (reason === undefined) continue
      count(user_id, reason, 'snapshots', snapshot.content)
      drop(after.context_snapshots, row => row.id === snapshot.id && row.user_id === user_id)
    }
    const row = after.conversations.find(other => other.id === id && other.user_id === user_id)
    if (isRemoved) {
      tallies.push({
        group: cutoffs(user_id).group,
        reason: 'metadata',
        kind: 'conversations',
        rows: 1,
        bytes: 0,
      })
      drop(after.conversations, other => other === row)
      for (const fork of after.conversations)
        if (fork.parent_id === id && fork.user_id === user_id)
          Object.assign(fork, { parent_id: null, parent_seq: null })
      continue
    }
    const titleReason = why(updated_at)
    if (conversation.title !== null && titleReason !== undefined) {
      tallies.push({
        group: cutoffs(user_id).group,
        reason: titleReason,
        kind: 'titles',
        rows: 1,
        bytes: sizeOf(conversation.title),
      })
      Object.assign(row ?? {}, { title: null })
    }
    if (deleted_at === null && lastUse < inactive && !hasLiveFork) {
      tallies.push({
        group: cutoffs(user_id).group,
        reason: 'inactive',
        kind: 'conversations',
        rows: 1,
        bytes: 0,
      })
      Object.assign(row ?? {}, { deleted_at: now })
    }
  }
  for (const message of after.messages)
    if (isBroken(after, message)) Object.assign(message, { wire_hash: '' })
  return { tables: after, tallies: summed(tallies) }
}

/**
 * Without the hashes that may stay or go: of messages that were broken before already. Those have lost theirs, or have one
 * that matches nothing, as has a reply to a request that is kept whole.
 */
export function withoutDeadHashes(tables: Tables, before: Tables): Tables {
  const dead = new Set(
    before.messages.filter(message => isBroken(before, message)).map(message => message.id),
  )
  return {
    ...tables,
    messages: tables.messages.map(row => (dead.has(row.id) ? { ...row, wire_hash: '' } : row)),
  }
}

/** Whether reading the history back from a message, as a request is rebuilt, meets something that is gone. */
function isBroken(
  tables: Tables,
  message: Pick<Row<'messages'>, 'user_id' | 'conversation_id' | 'seq'>,
): boolean {
  let { conversation_id: id, seq } = message
  while (seq >= 0) {
    const conversation = tables.conversations.find(row => row.id === id && row.user_id === message.user_id)
    if (conversation?.parent_id != null && seq <= (conversation.parent_seq ?? -1)) {
      id = conversation.parent_id
      continue
    }
    const row = tables.messages.find(
      other => other.user_id === message.user_id && other.conversation_id === id && other.seq === seq,
    )
    if (row === undefined || hex(row.content) === absent) return true
    seq = row.echo === null || row.echo_from === null ? seq - 1 : row.echo_from - 1
  }
  return false
}

function drop<T>(rows: T[], isGone: (row: T) => boolean): void {
  const at = rows.findIndex(isGone)
  if (at >= 0) rows.splice(at, 1)
}

function summed(tallies: readonly Tally[]): Tally[] {
  const groups = Map.groupBy(tallies, ({ group, reason, kind }) => `${group} ${reason} ${kind}`)
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, members]) => ({
      ...(members[0] as Tally),
      rows: members.length,
      bytes: members.reduce((sum, { bytes }) => sum + bytes, 0),
    }))
}
