import type { Batch } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import { documentIdOf, responseIdOf } from '../ids.ts'
import { absentContent } from '../privacy/content.ts'
import { removeFromSearch } from '../store/search-queue.ts'
import type { Edit } from './operations.ts'

/** The status of a conversation of which nothing is left but messages that its forks share. */
export const erasedStatus = 'purged'

/**
 * Removes what was said in a conversation: its messages, its context snapshots, and the requests and replies of the calls
 * made in it, responses and documents included. What the calls cost and took stays. Messages that a fork shares are the fork's too: they stay, out of
 * reach but through the fork, and go when the last such fork is purged.
 * Returns the calls of which something went; undefined when there was nothing to purge.
 * @throws SteleError conversation_not_found; conversation_in_use while a call is under way, whose reply would come after
 */
export async function purgeConversation(
  batch: Batch,
  { userId, id }: Pick<Edit, 'userId'> & { readonly id: string },
  isRepeat: boolean,
): Promise<readonly string[] | undefined> {
  const [row] = await batch.find(
    'conversations',
    ['user_id', 'id'],
    [{ user_id: userId, id }],
    ['status', 'parent_id'],
    { lock: true },
  )
  if (row === undefined || row.status === erasedStatus) {
    if (isRepeat) return undefined
    throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
  }
  const calls = await eraseCalls(batch, userId, id)
  await batch.remove(
    'context_snapshots',
    ['conversation_id', 'user_id'],
    [{ conversation_id: id, user_id: userId }],
  )
  await removeUnshared(batch, userId, id)
  return calls
}

/** Returns the calls of which something went. */
async function eraseCalls(batch: Batch, userId: string, id: string): Promise<readonly string[]> {
  const key = { conversation_id: id, user_id: userId }
  const calls = await batch.find('llm_requests', ['conversation_id', 'user_id'], [key], ['id'])
  const messages = await batch.find('messages', ['conversation_id', 'user_id'], [key], ['call_id'])
  // A reply whose place was taken lies in a fork, and its call with the conversation it was made in.
  const ids = new Set([...calls.map(call => call.id), ...messages.flatMap(({ call_id }) => call_id ?? [])])
  const replies = await batch.find(
    'llm_responses',
    ['request_id', 'user_id'],
    [...ids].map(request_id => ({ request_id, user_id: userId })),
    ['request_id', 'conversation_id'],
  )
  const answered = new Set(replies.map(reply => reply.request_id))
  if (calls.some(call => !answered.has(call.id)))
    throw new SteleError('conversation_in_use', { conversation: id })

  await batch.stored.permit('purge')
  const own = new Set(calls.map(call => call.id))
  const erased = replies.filter(reply => own.has(reply.request_id) || reply.conversation_id === id)
  await batch.update(
    'llm_requests',
    ['params', 'body', 'sent', 'messages_at', 'separator'],
    ['id', 'user_id'],
    calls.map(call => ({
      set: { params: null, body: absentContent(), sent: null, messages_at: null, separator: null },
      match: { id: call.id, user_id: userId },
    })),
  )
  await batch.update(
    'llm_responses',
    ['body', 'content_at', 'error_message'],
    ['request_id', 'user_id'],
    erased.map(({ request_id }) => ({
      set: { body: absentContent(), content_at: null, error_message: null },
      match: { request_id, user_id: userId },
    })),
  )
  for (const table of ['stored_completions', 'cache_entries'] as const)
    await batch.remove(
      table,
      ['user_id', 'call_id'],
      erased.map(({ request_id }) => ({ user_id: userId, call_id: request_id })),
    )
  await forgetKeys(batch, userId, new Set(erased.map(reply => reply.request_id)))
  // A response, or a document, has the name of the first of its calls, which may lie where a reply whose place was taken does not.
  const groups = await batch.find(
    'llm_requests',
    ['id', 'user_id'],
    erased.map(({ request_id }) => ({ id: request_id, user_id: userId })),
    ['id', 'group_id'],
  )
  const firsts = groups.map(({ id: call, group_id }) => group_id ?? call)
  const responses = new Set([...own, ...firsts].map(responseIdOf))
  await batch.remove(
    'responses',
    ['id', 'user_id'],
    [...responses].map(response => ({ id: response, user_id: userId })),
  )
  const documents = new Set([...own, ...firsts].map(documentIdOf))
  await batch.remove(
    'documents',
    ['id', 'user_id'],
    [...documents].map(document => ({ id: document, user_id: userId })),
  )
  return [...new Set([...own, ...erased.map(({ request_id }) => request_id)])].sort()
}

/** A key stands for a reply that can be given again. */
async function forgetKeys(batch: Batch, userId: string, calls: ReadonlySet<string>): Promise<void> {
  const columns = ['user_id', 'key_hash', 'call_id'] as const
  const keys = await batch.find('idempotency_keys', ['user_id'], [{ user_id: userId }], columns)
  await batch.remove(
    'idempotency_keys',
    ['user_id', 'key_hash'],
    keys.filter(key => calls.has(key.call_id)),
  )
}

/** Removes the messages that no fork shares, and the conversation itself when none shares any. None is found any more. */
async function removeUnshared(batch: Batch, userId: string, id: string): Promise<void> {
  await removeFromSearch(batch, userId, id)
  const key = { user_id: userId, id }
  const [row] = await batch.find('conversations', ['user_id', 'id'], [key], ['parent_id'], { lock: true })
  const columns = ['user_id', 'id', 'parent_seq'] as const
  const forks = await batch.find(
    'conversations',
    ['user_id', 'parent_id'],
    [{ user_id: userId, parent_id: id }],
    columns,
  )
  const sharedUpTo = Math.max(-1, ...forks.map(fork => fork.parent_seq ?? -1))
  const place = { conversation_id: id, user_id: userId }
  const messages = await batch.find('messages', ['conversation_id', 'user_id'], [place], ['seq'])
  await batch.remove(
    'messages',
    ['conversation_id', 'user_id', 'seq'],
    messages.filter(({ seq }) => seq > sharedUpTo).map(({ seq }) => ({ ...place, seq })),
  )
  if (sharedUpTo >= 0) return keepShared(batch, key, sharedUpTo)

  await batch.update(
    'conversations',
    ['parent_id', 'parent_seq'],
    ['user_id', 'id'],
    forks.map(fork => ({ set: { parent_id: null, parent_seq: null }, match: fork })),
  )
  await batch.remove('conversations', ['user_id', 'id'], [key])
  const parentId = row?.parent_id
  if (parentId == null) return
  const [parent] = await batch.find(
    'conversations',
    ['user_id', 'id'],
    [{ user_id: userId, id: parentId }],
    ['status'],
  )
  if (parent?.status === erasedStatus) await removeUnshared(batch, userId, parentId)
}

async function keepShared(
  batch: Batch,
  key: { readonly user_id: string; readonly id: string },
  sharedUpTo: number,
): Promise<void> {
  const at = Date.now()
  const set = {
    title: null,
    intent: null,
    status: erasedStatus,
    metadata: null,
    preferences: null,
    session_id: null,
    next_seq: sharedUpTo + 1,
    updated_at: at,
    deleted_at: at,
  }
  const columns = Object.keys(set) as (keyof typeof set)[]
  await batch.update('conversations', columns, ['user_id', 'id'], [{ set, match: key }])
}
