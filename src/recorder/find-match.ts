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

/** A conversation's last exchange is where nearly every request continues; only edits and forks reach further back. */
const recentDepths = 3

/** The first message that says something of its own: instructions alone do not tell one conversation from another. */
export function firstTellingMessage(messages: readonly PreparedMessage[]): number {
  const index = messages.findIndex(({ role }) => role !== 'system' && role !== 'developer')
  return index === -1 ? messages.length - 1 : index
}

/** For each call, the deepest recorded prefix of its messages. */
export async function findMatches(batch: Batch, starts: readonly CallStart[]): Promise<Map<string, Match>> {
  const matches = new Map<string, Match>()
  const recent = await lookUp(batch, starts, (_, depths) => depths.slice(-recentDepths))
  choose(starts, recent, matches)
  const rest = starts.filter(start => !matches.has(start.callId) && depthsOf(start).length > recentDepths)
  if (rest.length > 0) {
    const older = await lookUp(batch, rest, (_, depths) => depths.slice(0, -recentDepths))
    choose(rest, older, matches)
  }
  return matches
}

function depthsOf(start: CallStart): number[] {
  const { messages } = start.request
  const first = firstTellingMessage(messages)
  return messages.map((_, index) => index).slice(first)
}

async function lookUp(
  batch: Batch,
  starts: readonly CallStart[],
  select: (start: CallStart, depths: number[]) => number[],
): Promise<Map<string, KnownMessage[]>> {
  const keys = new Map<string, { user_id: string; chain_hash: string }>()
  for (const start of starts) {
    for (const depth of select(start, depthsOf(start))) {
      const chainHash = start.request.messages[depth]?.chainHash ?? ''
      keys.set(`${chainHash}${start.userId}`, { user_id: start.userId, chain_hash: chainHash })
    }
  }
  const rows = await batch.find('messages', ['user_id', 'chain_hash'], [...keys.values()], columns)
  return Map.groupBy(rows, row => `${row.chain_hash}${row.user_id}`)
}

function choose(starts: readonly CallStart[], found: ReadonlyMap<string, KnownMessage[]>, into: Map<string, Match>): void {
  for (const start of starts) {
    const { messages } = start.request
    const known = (depth: number): KnownMessage[] =>
      (found.get(`${messages[depth]?.chainHash}${start.userId}`) ?? []).filter(row => row.seq === depth)
    for (const depth of depthsOf(start).reverse()) {
      const row = preferred(known(depth), start.conversationId)
      if (row === undefined) continue
      into.set(start.callId, {
        conversationId: row.conversation_id,
        seq: depth,
        callId: row.call_id,
        exactUpTo: exactUpTo(messages, depth, at => known(at).filter(other => other.conversation_id === row.conversation_id)),
      })
      break
    }
  }
}

/** The named conversation if it is among them, else the latest. */
function preferred(rows: readonly KnownMessage[], conversationId: string | undefined): KnownMessage | undefined {
  if (conversationId !== undefined) return rows.find(row => row.conversation_id === conversationId)
  return rows.reduce<KnownMessage | undefined>(
    (best, row) => (best === undefined || row.conversation_id > best.conversation_id ? row : best),
    undefined,
  )
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
