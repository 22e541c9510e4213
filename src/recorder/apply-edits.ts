import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { AuditAction } from '../model/audit-actions.ts'
import type { JsonObject } from '../model/json-object.ts'
import { isLeft, readKeptItems, withoutItem } from '../model/responses/kept-items.ts'
import { decodeText, encodeContent, isAbsent } from '../privacy/content.ts'
import { isContentMode, modeOf } from '../privacy/sealed-content.ts'
import { eventRow, purgedEvents } from '../store/audit-events.ts'
import { destroyKeys, destroyRetired, retireKey } from '../store/data-keys.ts'
import type { Applied, Edit, EditOperation, Operation } from './operations.ts'
import { erasedStatus, purgeConversation } from './purge.ts'
import { describe } from './refusal.ts'
import { restartConversation } from './restart-conversation.ts'
import { takenSessions } from './sessions.ts'

type Of<A extends Edit['action']> = Extract<Edit, { action: A }>

/**
 * Makes the changes that applications ask for beside calls and appends. They are few, so they are made one after another.
 * What is refused is refused before anything of it is written, so that it fails alone.
 */
export async function applyEdits(
  batch: Batch,
  operations: readonly Operation[],
): Promise<Map<EditOperation, Applied>> {
  const outcomes = new Map<EditOperation, Applied>()
  for (const operation of operations) {
    if (operation.kind !== 'edit') continue
    try {
      await apply(batch, operation)
      outcomes.set(operation, { ok: true, result: { conversationId: undefined, isRepeat: false } })
    } catch (error) {
      // Anything else has spoiled the transaction.
      if (!(error instanceof SteleError)) throw error
      outcomes.set(operation, { ok: false, error: describe(error) })
    }
  }
  return outcomes
}

async function apply(batch: Batch, { edit, ...operation }: EditOperation): Promise<void> {
  const isRepeat = operation.isRepeat === true
  switch (edit.action) {
    case 'update-conversation':
      return updateConversation(batch, edit)
    case 'delete-conversation':
      return deleteConversation(batch, edit)
    case 'restore-conversation':
      return restoreConversation(batch, edit)
    case 'purge-conversation':
      return notePurged(batch, edit, await purgeConversation(batch, edit, isRepeat))
    case 'restart-conversation':
      return restartConversation(batch, edit, isRepeat)
    case 'update-message':
      return updateMessage(batch, edit)
    case 'delete-item':
      return deleteItem(batch, edit, isRepeat)
    case 'create-snapshot':
      return createSnapshot(batch, edit)
    case 'delete-snapshot': {
      const removed = await batch.remove(
        'context_snapshots',
        ['id', 'user_id'],
        [{ id: edit.id, user_id: edit.userId }],
      )
      if (removed > 0) return note(batch, edit, 'snapshot.deleted', edit.id)
      if (!isRepeat) throw new SteleError('snapshot_not_found', { snapshot: edit.id })
      return
    }
    case 'destroy-keys':
      return destroyKeys(batch, edit.userId, edit.at)
    case 'retire-key':
      if (await retireKey(batch, edit.userId, edit.at)) await note(batch, edit, 'data_key.rotation_begun')
      return
    case 'destroy-retired':
      await destroyRetired(batch, edit.userId, edit.keyIds, edit.at)
      await note(batch, edit, 'data_key.rotated', undefined, { keys: edit.keyIds.length })
      return
    case 'update-user':
      return updateUser(batch, edit)
  }
}

const facts = ['user_id', 'id', 'status', 'session_id', 'next_seq', 'updated_at', 'deleted_at'] as const

type Facts = Pick<Row<'conversations'>, (typeof facts)[number]>

/** The row of a conversation that has not been purged, deleted or not, locked. */
async function lock(batch: Batch, userId: string, id: string): Promise<Facts> {
  const [row] = await batch.find('conversations', ['user_id', 'id'], [{ user_id: userId, id }], facts, {
    lock: true,
  })
  if (row === undefined || row.status === erasedStatus) throw notFound(id)
  return row
}

async function lockLiving(batch: Batch, userId: string, id: string): Promise<Facts> {
  const row = await lock(batch, userId, id)
  if (row.deleted_at !== null) throw notFound(id)
  return row
}

/**
 * Changes a row, with a time of change that no other state with as many messages has had. What is not changed is not written anew:
 * how it is kept may differ from how it would be kept now.
 */
async function write(
  batch: Batch,
  row: Facts,
  change: Partial<Facts>,
  { at, apiKeyId: writtenWith }: Pick<Edit, 'at' | 'apiKeyId'>,
): Promise<void> {
  const set = { ...row, ...change, updated_at: Math.max(at, row.updated_at + 1) }
  const columns = [...changedBy(change), 'updated_at' as const]
  await batch.update('conversations', columns, ['user_id', 'id'], [{ set, match: row, writtenWith }])
}

function changedBy<T extends object>(change: T): (keyof T & string)[] {
  return Object.keys(change) as (keyof T & string)[]
}

async function updateConversation(batch: Batch, edit: Of<'update-conversation'>): Promise<void> {
  const row = await lockLiving(batch, edit.userId, edit.id)
  if (edit.set.session_id !== row.session_id) await requireFree(batch, edit.userId, edit.set.session_id)
  await write(batch, row, edit.set, edit)
}

async function deleteConversation(batch: Batch, edit: Of<'delete-conversation'>): Promise<void> {
  const row = await lock(batch, edit.userId, edit.id)
  if (row.deleted_at !== null) return
  await write(batch, row, { deleted_at: edit.at }, edit)
  await note(batch, edit, 'conversation.deleted', edit.id)
}

async function restoreConversation(batch: Batch, edit: Of<'restore-conversation'>): Promise<void> {
  const row = await lock(batch, edit.userId, edit.id)
  if (row.deleted_at === null) return
  await requireFree(batch, edit.userId, row.session_id)
  await write(batch, row, { deleted_at: null }, edit)
  await note(batch, edit, 'conversation.restored', edit.id)
}

async function requireFree(
  batch: Batch,
  userId: string,
  sessionId: string | null | undefined,
): Promise<void> {
  if (sessionId == null) return
  const taken = await takenSessions(batch, [{ user_id: userId, session_id: sessionId }])
  if (taken.size > 0)
    throw new SteleError('already_exists', { what: `A conversation of the session '${sessionId}'` })
}

async function updateMessage(batch: Batch, edit: Of<'update-message'>): Promise<void> {
  const { userId, place, set, apiKeyId: writtenWith } = edit
  const { conversationId, seq, id } = place
  const conversation = await lockOwner(batch, userId, conversationId)
  const key = { conversation_id: conversationId, user_id: userId, seq }
  const [row] = await batch.find('messages', ['conversation_id', 'user_id', 'seq'], [key], ['id'])
  if (conversation === undefined || row?.id !== id) throw new SteleError('message_not_found', { message: id })
  const columns = changedBy(set)
  if (columns.length > 0)
    await batch.update(
      'messages',
      columns,
      ['conversation_id', 'user_id', 'seq'],
      [{ set: set as Row<'messages'>, match: key, writtenWith }],
    )
  await write(batch, conversation, {}, edit)
  if (set.deleted_at != null) await note(batch, edit, 'message.deleted', id)
}

/** Takes one item of a message away; with the last one the message goes. */
async function deleteItem(batch: Batch, edit: Of<'delete-item'>, isRepeat: boolean): Promise<void> {
  const { userId, place, itemId, at } = edit
  const conversation = await lockOwner(batch, userId, place.conversationId)
  const key = { conversation_id: place.conversationId, user_id: userId, seq: place.seq }
  const columns = ['id', 'items', 'deleted_at'] as const
  const [row] = await batch.find('messages', ['conversation_id', 'user_id', 'seq'], [key], columns)
  if (conversation === undefined || row?.id !== place.id)
    throw new SteleError('item_not_found', { item: itemId })
  const known = row.items === null || isAbsent(row.items) ? edit.items : decodeText(row.items)
  const items = readKeptItems(known)
  const isThere = row.deleted_at === null && items.some(item => item.id === itemId && isLeft(item))
  if (!isThere) {
    if (isRepeat) return
    throw new SteleError('item_not_found', { item: itemId })
  }
  const left = withoutItem(items, itemId)
  const [stored] = await batch.stored.find(
    'messages',
    ['conversation_id', 'user_id', 'seq'],
    [key],
    ['content', 'items'],
  )
  // What is left of it stays as it was kept.
  const contentMode = modeOf((stored?.items ?? stored?.content) as unknown as Uint8Array)
  const set = {
    items: encodeContent(JSON.stringify(left)),
    deleted_at: left.some(isLeft) ? null : at,
  }
  await batch.update(
    'messages',
    ['items', 'deleted_at'],
    ['conversation_id', 'user_id', 'seq'],
    [{ set, match: key, contentMode }],
  )
  await write(batch, conversation, {}, edit)
  await note(batch, edit, 'item.deleted', place.id)
}

/** The conversation that has a message as its own; it may be deleted while a fork still shows the message. */
async function lockOwner(batch: Batch, userId: string, id: string): Promise<Facts | undefined> {
  const [row] = await batch.find('conversations', ['user_id', 'id'], [{ user_id: userId, id }], facts, {
    lock: true,
  })
  return row
}

async function createSnapshot(batch: Batch, { userId, row }: Of<'create-snapshot'>): Promise<void> {
  const conversation = await lockLiving(batch, userId, row.conversation_id)
  if (row.up_to_seq >= conversation.next_seq)
    throw new SteleError(
      'invalid_value',
      { name: 'upToSeq', reason: `the last message has the seq ${conversation.next_seq - 1}` },
      { param: 'upToSeq' },
    )
  await batch.insertAbsent('context_snapshots', [row])
}

async function updateUser(batch: Batch, edit: Of<'update-user'>): Promise<void> {
  const { userId, set } = edit
  const [row] = await batch.find('users', ['id'], [{ id: userId }], ['id'], { lock: true })
  if (row === undefined) throw new SteleError('user_not_found', { user: userId })
  const columns = changedBy(set)
  if (columns.length === 0) return
  // What is said together with a mode is kept in that mode.
  const contentMode = isContentMode(set.content_mode) ? set.content_mode : undefined
  const update = { set: set as Row<'users'>, match: { id: userId }, contentMode }
  await batch.update('users', columns, ['id'], [update])
  const mode = set.content_mode === undefined ? {} : { content_mode: set.content_mode }
  await note(batch, edit, 'user.updated', userId, { changed: columns, ...mode })
}

/** Names the calls of which something went, so that whoever verifies what is on record can tell why it is not. */
async function notePurged(
  batch: Batch,
  { userId, apiKeyId: by = 'library', at, id }: Of<'purge-conversation'>,
  calls: readonly string[] | undefined,
): Promise<void> {
  if (calls !== undefined) await batch.insert('audit_events', purgedEvents({ userId, by, id, calls }, at))
}

function note(
  batch: Batch,
  { userId, apiKeyId: by = 'library', at }: Edit,
  action: AuditAction,
  target?: string,
  details?: JsonObject,
): Promise<void> {
  return batch.insert('audit_events', [eventRow({ userId, by, action, target, details }, at)])
}

function notFound(id: string): SteleError {
  return new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
}
