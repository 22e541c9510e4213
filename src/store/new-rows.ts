import type { Row } from '../db/tables.ts'

/** What a row says unless told otherwise: everything that not every conversation or message has. */
type Given<R, K extends keyof R> = Partial<R> & Pick<R, K>

/** A conversation as a call begins it. */
export function newConversationRow(
  fields: Given<Row<'conversations'>, 'user_id' | 'id' | 'next_seq' | 'created_at'>,
): Row<'conversations'> {
  return {
    title: null,
    status: 'active',
    metadata: null,
    parent_id: null,
    parent_seq: null,
    updated_at: fields.created_at,
    deleted_at: null,
    intent: null,
    preferences: null,
    session_id: null,
    ...fields,
  }
}

/** A message as a call brings it. */
export function newMessageRow(
  fields: Given<
    Row<'messages'>,
    | 'user_id'
    | 'conversation_id'
    | 'seq'
    | 'id'
    | 'role'
    | 'content'
    | 'chain_hash'
    | 'is_anchor'
    | 'wire_hash'
    | 'created_at'
  >,
): Row<'messages'> {
  return {
    model: null,
    echo_from: null,
    echo: null,
    call_id: null,
    intent: null,
    cost_nanousd: null,
    metadata: null,
    deleted_at: null,
    items: null,
    ...fields,
  }
}
