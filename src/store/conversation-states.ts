import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { keyText } from '../model/json-object.ts'

/** What changes whenever anything of a conversation does: no two states of it have the same. */
export interface ConversationState {
  readonly id: string
  readonly nextSeq: number
  readonly createdAt: number
  readonly updatedAt: number
}

const columns = [
  'id',
  'next_seq',
  'created_at',
  'updated_at',
  'deleted_at',
  'parent_id',
  'parent_seq',
] as const

type Facts = Pick<Row<'conversations'>, (typeof columns)[number]>

export function conversationStates(kysely: Kysely<Tables>) {
  const facts = (userId: string, ids: readonly string[]): Promise<Facts[]> =>
    kysely
      .selectFrom('conversations')
      .select(columns)
      .where('user_id', '=', keyText('userId', userId))
      .where('id', 'in', ids)
      .execute()

  return {
    /**
     * The states of a living conversation and of others that are named with it, as far as there are such, in one
     * statement. @throws SteleError conversation_not_found
     */
    async of(userId: string, id: string, others: readonly string[]): Promise<ConversationState[]> {
      const rows = await facts(userId, [id, ...others])
      requireLiving(
        id,
        rows.find(row => row.id === id),
      )
      return rows.map(stateOf)
    },
    /**
     * The states of a living conversation and of those that it shares messages with, itself first.
     * @throws SteleError conversation_not_found
     */
    async lineage(userId: string, id: string): Promise<ConversationState[]> {
      const states: ConversationState[] = []
      for (let next: string | null = id; next !== null; ) {
        const [row]: Facts[] = await facts(userId, [next])
        if (next === id) requireLiving(id, row)
        if (row === undefined) break
        states.push(stateOf(row))
        next = (row.parent_seq ?? -1) < 0 ? null : row.parent_id
      }
      return states
    },
  }
}

function requireLiving(id: string, row: Facts | undefined): void {
  if (row === undefined || row.deleted_at !== null)
    throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
}

function stateOf(row: Facts): ConversationState {
  return { id: row.id, nextSeq: row.next_seq, createdAt: row.created_at, updatedAt: row.updated_at }
}
