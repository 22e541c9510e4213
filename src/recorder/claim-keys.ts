import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { CallStart } from '../model/call.ts'
import { leavesKeyFree } from '../store/idempotency-keys.ts'

type Key = Row<'idempotency_keys'>

/** What takes a key, under the id that the key is to stand for. */
export type Claimant = Pick<CallStart, 'callId' | 'userId' | 'claim' | 'createdAt' | 'groupId' | 'routeMode'>

interface Claim {
  readonly row: Key
  readonly now: number
  /** The group of a call that puts an answered one right: that one's key is its own. */
  readonly repairs: string | undefined
}

/**
 * Takes the idempotency keys of the calls about to be begun, in the transaction that begins them: there is no moment at
 * which a key is taken and its call unknown. A key is free when nobody has it, when it has expired, and when its call
 * ended without an answer. Two that insert the same key meet in the primary key: the later one waits for the earlier to
 * commit and then finds its own row missing. Costs nothing when no call has a key.
 * @throws SteleError idempotency_key_reused, idempotency_key_in_use
 */
export async function claimKeys(batch: Batch, starts: readonly Claimant[]): Promise<void> {
  const claims = starts.flatMap(claimOf)
  if (claims.length === 0) return
  // In one order, whoever claims, so that two batches cannot wait for each other.
  claims.sort((a, b) => (idOf(a.row) < idOf(b.row) ? -1 : 1))
  const columns = ['user_id', 'key_hash', 'request_hash', 'call_id', 'expires_at'] as const
  const keys = claims.map(({ row }) => ({ user_id: row.user_id, key_hash: row.key_hash }))
  const rows = await batch.find('idempotency_keys', ['user_id', 'key_hash'], keys, columns, { lock: true })
  const held = new Map(rows.map(row => [idOf(row), row]))
  const statuses = await statusesOf(batch, rows)

  const fresh: Key[] = []
  const passedOn: { set: Key; match: Key }[] = []
  for (const { row, now, repairs } of claims) {
    const holder = held.get(idOf(row))
    if (holder === undefined) fresh.push(row)
    // The same begin again.
    else if (holder.call_id === row.call_id) continue
    else if (holder.expires_at > now && holder.request_hash !== row.request_hash)
      throw new SteleError('idempotency_key_reused', {}, { param: 'idempotency-key' })
    else if (holder.expires_at <= now || leavesKeyFree(statuses.get(holder.call_id)))
      passedOn.push({ set: row, match: holder })
    else if (repairs !== undefined && (await isOfGroup(batch, holder, repairs)))
      passedOn.push({ set: row, match: holder })
    else throw inUse()
  }
  await insert(batch, fresh)
  const updated = await batch.update(
    'idempotency_keys',
    ['request_hash', 'call_id', 'expires_at'],
    ['user_id', 'key_hash', 'call_id'],
    passedOn,
  )
  // Two of one batch wanted the same key.
  if (updated !== passedOn.length) throw inUse()
}

/** Gives back the key of what could not be done. */
export async function releaseKey(batch: Batch, claimant: Claimant): Promise<void> {
  const rows = claimOf(claimant).map(({ row }) => row)
  if (rows.length > 0) await batch.remove('idempotency_keys', ['user_id', 'key_hash', 'call_id'], rows)
}

async function insert(batch: Batch, fresh: readonly Key[]): Promise<void> {
  if (fresh.length === 0) return
  await batch.insertAbsent('idempotency_keys', fresh)
  const own = await batch.find('idempotency_keys', ['user_id', 'key_hash', 'call_id'], fresh, ['call_id'])
  if (own.length !== fresh.length) throw inUse()
}

function claimOf({ callId, userId, claim, createdAt, groupId, routeMode }: Claimant): Claim[] {
  if (claim === undefined) return []
  const { keyHash, requestHash, expiresAt } = claim
  return [
    {
      row: {
        user_id: userId,
        key_hash: keyHash,
        request_hash: requestHash,
        call_id: callId,
        expires_at: expiresAt,
      },
      now: createdAt,
      repairs: routeMode === 'repair' ? groupId : undefined,
    },
  ]
}

async function isOfGroup(batch: Batch, { user_id, call_id }: Key, groupId: string): Promise<boolean> {
  const [row] = await batch.find('llm_requests', ['id', 'user_id'], [{ id: call_id, user_id }], ['group_id'])
  return row?.group_id === groupId
}

async function statusesOf(batch: Batch, rows: readonly Key[]): Promise<Map<string, string>> {
  const calls = rows.map(row => ({ user_id: row.user_id, request_id: row.call_id }))
  const columns = ['request_id', 'status'] as const
  const found =
    calls.length === 0 ? [] : await batch.find('llm_responses', ['user_id', 'request_id'], calls, columns)
  return new Map(found.map(row => [row.request_id, row.status]))
}

const idOf = (row: Pick<Key, 'user_id' | 'key_hash'>): string => `${row.key_hash} ${row.user_id}`

function inUse(): SteleError {
  return new SteleError('idempotency_key_in_use', {}, { param: 'idempotency-key' })
}
