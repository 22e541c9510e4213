import type { Batch } from '../db/batch.ts'

/** The hashes of a conversation so far. */
export interface Tip {
  readonly chainHash: string
  readonly wireHash: string
}

/** What tells where the last message of a conversation is. */
export interface TipPlace {
  readonly userId: string
  readonly id: string
  readonly parentId: string | null
  readonly parentSeq: number | null
  readonly nextSeq: number
}

/**
 * The hashes up to the last message of each conversation, found by its key alone. The last message of a fork without one
 * of its own lies with the conversation it was forked from, or with the one that was forked from. Left out when missing.
 */
export async function findTips<P extends TipPlace>(batch: Batch, places: readonly P[]): Promise<Map<P, Tip>> {
  const tips = new Map<P, Tip>()
  for (const place of places) if (place.nextSeq === 0) tips.set(place, { chainHash: '', wireHash: '' })
  const sought = await findHolders(
    batch,
    places.filter(place => place.nextSeq > 0),
  )
  if (sought.length === 0) return tips
  const rows = await batch.find(
    'messages',
    ['conversation_id', 'user_id', 'seq'],
    distinct(
      sought.map(({ place, holder }) => ({
        conversation_id: holder.id,
        user_id: place.userId,
        seq: place.nextSeq - 1,
      })),
    ),
    ['conversation_id', 'user_id', 'seq', 'chain_hash', 'wire_hash'],
  )
  const found = new Map(rows.map(row => [`${row.seq} ${row.conversation_id} ${row.user_id}`, row]))
  for (const { place, holder } of sought) {
    const row = found.get(`${place.nextSeq - 1} ${holder.id} ${place.userId}`)
    if (row !== undefined) tips.set(place, { chainHash: row.chain_hash, wireHash: row.wire_hash })
  }
  return tips
}

type Holder = Pick<TipPlace, 'id' | 'parentId' | 'parentSeq'>

interface Sought<P> {
  readonly place: P
  holder: Holder
}

/** With which conversation each one's last message lies. */
async function findHolders<P extends TipPlace>(batch: Batch, places: readonly P[]): Promise<Sought<P>[]> {
  const sought = places.map((place): Sought<P> => ({ place, holder: place }))
  for (let shared = sought.filter(isShared); shared.length > 0; ) {
    const keys = distinct(
      shared.map(({ place, holder }) => ({ user_id: place.userId, id: holder.parentId ?? '' })),
    )
    const columns = ['user_id', 'id', 'parent_id', 'parent_seq'] as const
    const rows = await batch.find('conversations', ['user_id', 'id'], keys, columns)
    const parents = new Map(rows.map(row => [`${row.id} ${row.user_id}`, row]))
    shared = shared.filter(one => {
      const parent = parents.get(`${one.holder.parentId} ${one.place.userId}`)
      if (parent === undefined) return false
      one.holder = { id: parent.id, parentId: parent.parent_id, parentSeq: parent.parent_seq }
      return isShared(one)
    })
  }
  return sought
}

function isShared({ place, holder }: Sought<TipPlace>): boolean {
  return holder.parentId !== null && place.nextSeq - 1 <= (holder.parentSeq ?? -1)
}

/** A key that is asked for twice may be answered twice. */
function distinct<T extends object>(keys: readonly T[]): T[] {
  return [...new Map(keys.map(key => [JSON.stringify(key), key])).values()]
}
