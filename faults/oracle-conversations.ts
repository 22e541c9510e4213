import type { Stele } from '../src/stele.ts'
import type { Violation } from './verdict.ts'

/** The client's conversation that a call belongs to. */
export interface Owner {
  readonly conversation: string
  /** Whether the client told it in more than one way. */
  readonly mayFork: boolean
}

/**
 * Messages of each recorded conversation are numbered without gaps and it knows the next number; a conversation that its
 * client told in one way is one conversation; none holds what two clients said.
 */
export async function checkConversations(
  { database }: Stele,
  owners: ReadonlyMap<string, Owner>,
): Promise<Violation[]> {
  const { kysely } = database
  const conversations = await kysely
    .selectFrom('conversations')
    .select(['id', 'next_seq', 'parent_id', 'parent_seq'])
    .execute()
  const messages = await kysely.selectFrom('messages').select(['conversation_id', 'seq']).execute()
  const numbers = new Map<string, number[]>()
  for (const { conversation_id: id, seq } of messages) {
    const known = numbers.get(id)
    if (known === undefined) numbers.set(id, [seq])
    else known.push(seq)
  }
  const requests = await kysely.selectFrom('llm_requests').select(['id', 'conversation_id']).execute()
  const replies = await kysely
    .selectFrom('llm_responses')
    .select(['request_id as id', 'conversation_id'])
    .where('conversation_id', 'is not', null)
    .execute()
  const forked = new Set(conversations.filter(row => row.parent_id !== null).map(row => row.id))
  return [
    ...conversations.flatMap(row => checkNumbers(row, numbers.get(row.id) ?? [])),
    ...checkOwners([...requests, ...replies], owners, forked),
  ]
}

function checkNumbers(
  row: { id: string; next_seq: number; parent_seq: number | null },
  numbers: readonly number[],
): Violation[] {
  const first = (row.parent_seq ?? -1) + 1
  const sorted = numbers.toSorted((a, b) => a - b)
  const isWhole =
    sorted.length === row.next_seq - first && sorted.every((seq, index) => seq === first + index)
  if (isWhole) return []
  const detail = `messages ${sorted.join(' ')}, but it begins at ${first} and goes on at ${row.next_seq}`
  return [{ check: 'sequence', about: row.id, detail }]
}

function checkOwners(
  calls: readonly { id: string; conversation_id: string | null }[],
  owners: ReadonlyMap<string, Owner>,
  forked: ReadonlySet<string>,
): Violation[] {
  const tellers = new Map<string, Set<string>>()
  const places = new Map<string, Set<string>>()
  for (const { id, conversation_id: place } of calls) {
    const owner = owners.get(id)
    if (owner === undefined || place === null) continue
    add(tellers, place, owner.conversation)
    if (!owner.mayFork) add(places, owner.conversation, place)
  }
  return [
    ...[...tellers].flatMap(([place, who]): Violation[] =>
      who.size === 1
        ? []
        : [{ check: 'fork', about: place, detail: `it holds what ${[...who].join(' and ')} said` }],
    ),
    ...[...places].flatMap(([conversation, where]): Violation[] => {
      const forks = [...where].filter(place => forked.has(place))
      if (where.size === 1 && forks.length === 0) return []
      return [
        { check: 'fork', about: `conversation ${conversation}`, detail: `it is in ${[...where].join(', ')}` },
      ]
    }),
  ]
}

function add(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key)
  if (set === undefined) sets.set(key, new Set([value]))
  else set.add(value)
}
